"""Files that other programs wrote: nothing is fixed that is not broken, and what is broken is fixed."""

import os
import shutil
import subprocess

import pytest

from analyzer.check.diagnosis.logged_entries import newest_pages
from analyzer.repair.plan import plan_repair
from tests.analyzer.repair.helpers import SAME, codes_of, fixed_copy
from tests.support.corpus_files import CORPUS, mutations
from tests.support.sources import PatchedSource
from vhdx.image import image_from, open_image
from vhdx.patched import OverlaySource, Patch
from vhdx.source import FileSource, read_at

pytestmark = pytest.mark.corpus
STORED = CORPUS.rglob("*.xz") if CORPUS.is_dir() else ()
FILES = sorted(path.relative_to(CORPUS).with_suffix("").as_posix() for path in STORED)
LIVE = {"genuine/qemu-dirty-log-10g.vhdx", "openvmm/dirty_unapplied/base.vhdx"}

REFUSED = {"openvmm/incomplete/incomplete.vhdx"}
posix = pytest.mark.skipif(os.name == "nt", reason="qemu-img of a POSIX system")


def plan(path):
    with FileSource(path) as source:
        return plan_repair(source, SAME)


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_programs_have_nothing_to_fix_but_live_logs(corpus, name):
    found = plan(corpus(name))
    assert codes_of(found) == (["LOG-01"] * 3 if name in LIVE else [])
    assert found.opens or name in REFUSED or "quirk" in name
    assert not found.unfixable or name in REFUSED or "quirk" in name


@pytest.mark.parametrize(
    "name", ["hyperv-2019-orphan-child.avhdx", "hyperv-2012-dynamic-1g.vhdx", "windows10-dynamic.vhdx"]
)
@pytest.mark.parametrize("damage", [bytes(4096), bytes(512), b"\x05" * 8, b"\xff" * 8])
def test_the_block_table_of_a_genuine_file_comes_back_from_its_closed_log(corpus, name, damage):
    with FileSource(corpus(f"genuine/{name}")) as source:
        table = image_from(source).table
        whole = read_at(source, table.bat_offset, len(damage))
        assert newest_pages(image_from(source).log)[table.bat_offset].content.startswith(whole)
        broken = OverlaySource(source, [Patch.of(table.bat_offset, whole, damage)])
        found = plan_repair(broken, SAME)
        assert codes_of(found) == ["BAT-16"]
        assert found.unfixable == ()
        (fix,) = found.fixes
        assert read_at(OverlaySource(broken, fix.patches), table.bat_offset, len(damage)) == whole


@posix
@pytest.mark.peers
@pytest.mark.parametrize("name", sorted(LIVE))
def test_qemu_opens_what_it_refused_and_sees_the_same_disk(corpus, tmp_path, name):
    qemu = shutil.which("qemu-img")
    if qemu is None:
        pytest.skip("qemu-img is not installed")
    copy = fixed_copy(corpus(name), tmp_path / "fixed.vhdx")
    done = subprocess.run([qemu, "check", "-f", "vhdx", str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with open_image(corpus(name)) as before, open_image(copy) as after:
        assert list(before.runs()) == [*after.runs()]
        assert before.source.size == after.source.size


@pytest.mark.slow
def test_openvmms_mutations_are_fixed_or_explained(corpus):
    fixed = {}
    for case in mutations():
        with FileSource(corpus(f"openvmm/{case['base']}")) as source:
            patches = [(offset, bytes.fromhex(text)) for offset, text in case["patches"]]
            size = case["truncate_to"]
            data = read_at(source, 0, source.size if size is None else size)
            found = plan_repair(PatchedSource(data, patches), SAME)
        assert found.opens or found.unfixable, case["name"]
        if found.fixes:
            fixed[case["name"]] = codes_of(found)
    from_the_log = {name for name, codes in fixed.items() if codes == ["BAT-16"]}
    assert from_the_log >= {"bat_state_4", "bat_reserved", "bat_beyond_eof", "bat_in_log", "diff_sbm_collides_payload"}
    assert fixed["current_header_bad_crc"] == ["HDR-03"]
    assert fixed["regions_differ_both_valid"] == ["REG-05"]
