"""`vhdx resize`: into a new file, in place, and what is refused."""

import random

import pytest

from fixtures import encode
from tests.analyzer.guest.images import run
from tests.analyzer.judgement.disks import KEPT, files_of, volume
from tests.analyzer.resize.test_resizing import MIB, spec
from vhdx.chain import open_chain
from vhdx.image import open_image


def content(path):
    with open_chain(path) as chain:
        return chain.read(0, chain.size)


@pytest.fixture
def disk(tmp_path):
    encode(spec()).write_to(tmp_path / "disk.vhdx")
    return tmp_path / "disk.vhdx"


def test_into_a_new_file_the_disk_itself_is_only_read(vhdx_command, disk):
    before = disk.read_bytes()
    answer = vhdx_command("resize", disk, "24M", disk.with_name("new.vhdx"), "--fix-gpt", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["output"]["size"] == 24 * MIB
    assert disk.read_bytes() == before
    with open_image(disk.with_name("new.vhdx")) as image:
        assert image.size == 24 * MIB


def test_in_place_it_becomes_as_small_as_its_partitions_allow(vhdx_command, disk):
    answer = vhdx_command("resize", disk, "min", "--in-place", "--json")
    assert answer.code == 0
    assert answer.json["resized"]["size"] == 6 * MIB
    assert answer.json["resized"]["written_size"] == disk.stat().st_size
    assert "--fix-gpt" in answer.err


def test_a_dry_run_says_sizes_and_changes_nothing(vhdx_command, disk):
    before = disk.read_bytes()
    answer = vhdx_command("resize", disk, "1G", "--dry-run")
    assert (answer.code, disk.read_bytes()) == (0, before)
    assert "would be 1 GiB" in answer.out
    assert "at the least" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["1M", "--in-place"], 5), (["1G"], 2), (["lots", "--in-place"], 2), (["1G", "x.vhdx", "--in-place"], 2),
     (["1G", "-"], 2)],
)  # fmt: skip
def test_what_cannot_be_is_refused(vhdx_command, disk, monkeypatch, arguments, code):
    monkeypatch.chdir(disk.parent)
    assert vhdx_command("resize", disk, *arguments).code == code


# What makes them larger and smaller (a file, its MiB, its bytes), looks at them, and shows a file inside; ntfsresize
# leaves it to Windows to look.
FILE_SYSTEMS = {
    "ext4": (["e2fsck -fp {0}", "resize2fs {0} {1}M"], "e2fsck -fn {0}", "debugfs|-R|cat {1}|{0}"),
    "ntfs": (["ntfsresize -f -f -s {2} {0}", "ntfsfix -d {0}"], "ntfsfix -n {0}", "ntfscat|-f|{0}|{1}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_file_system_inside_may_become_larger_and_smaller_and_the_disk_follows_it(vhdx_command, tmp_path, kind):
    resize, check, show = FILE_SYSTEMS[kind]
    raw, path, new = (tmp_path / name for name in ("disk.raw", "disk.vhdx", "new.vhdx"))
    raw.write_bytes(volume(kind, KEPT[1]))
    convert = "convert", raw, path, "--force", "--block-size", "1M"
    assert vhdx_command(*convert).code == 0
    assert vhdx_command("resize", path, "96M", "--in-place").code == 0
    for mib, changed in ((96, path), (60, new), (60, path)):
        raw.write_bytes(content(path))
        for words in resize:
            run(*words.format(raw, mib, mib * MIB).split(), input=b"y\n")
        assert vhdx_command(*convert).code == 0
        assert vhdx_command("resize", path, f"{mib - 4}M", "--in-place").code == 5  # that would cut the volume
        assert vhdx_command("resize", path, "min", *([new] if changed is new else ["--in-place"])).code == 0
        raw.write_bytes(content(changed))
        assert raw.stat().st_size == mib * MIB
        run(*check.format(raw).split())
        for name, data in list(files_of(random.Random(f"{kind} {KEPT[1]}")).items())[-12:]:
            assert run(*show.format(raw, name).split("|")) == data
