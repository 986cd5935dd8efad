"""Outputs that share blocks with their sources: the same disk, and the truth about what is shared."""

import errno
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from analyzer.convert.cells import GRAIN
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.merge_upper import plan_merge_upper
from analyzer.convert.model import Options, OutputFormat, Reflink, Verify
from analyzer.convert.sharing import shareable
from benchmarks.chain import Recipe, make_chain
from fixtures import Block, BlockState, ImageSpec, encode
from tests.analyzer.convert.helpers import MIB, SEEDED, convert, merge
from tests.support.corpus_files import file_hash
from tests.support.sharing import play_sharing
from tests.support.strategies import stacks
from vhdx.errors import FileSystemFullError, OutputError, VerificationError
from vhdx.runs import Kind, RunTable, concatenate
from vhdx.sink import part_of
from vhdx.system import files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone shares ranges of files here")
FORMATS = [OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED]
RUN = st.integers(1, 40), st.sampled_from((Kind.DATA, Kind.ZERO)), st.integers(0, 2), st.integers(0, 99)
ALWAYS = Options(identities=SEEDED.identities, reflink=Reflink.ALWAYS)


def content_of(path, output):
    if output is OutputFormat.RAW:
        return path.read_bytes()
    with vhdx.open_image(path) as image:
        return image.read(0, image.size)


@pytest.fixture
def disk(tmp_path):
    """20 MiB: whole blocks, and one that begins and ends with a sector that no whole grain holds."""
    blocks = {number: Block(state=BlockState.FULLY_PRESENT, data={5: b"x" * 512}) for number in (0, 3, 9)}
    path = tmp_path / "in.vhdx"
    encode(ImageSpec(size=20 * MIB, block_size=2 * MIB, blocks=blocks)).write_to(path)
    with vhdx.open_chain(path) as chain:
        yield chain


@given(
    st.lists(st.tuples(*RUN)),
    st.sets(st.integers(0, 2)),
    st.sampled_from((1, 4, 8)),
)
def test_what_is_shared_is_whole_units_of_both_files_and_all_of_these(runs, layers, unit):
    rows, position = [], 3
    for length, kind, layer, offset in runs:
        rows.append((position, length, kind, layer, offset if kind is Kind.DATA else 0))
        position += length
    expected = {
        (start + at, layer, offset + at)
        for start, length, kind, layer, offset in rows
        for at in range(length)
        if kind is Kind.DATA
        and layer in layers
        and (start - offset) % unit == 0
        and (start + at) // unit * unit >= start
        and ((start + at) // unit + 1) * unit <= start + length
    }
    found = shareable(RunTable.of(rows), sorted(layers), unit)
    assert {(run.start + at, run.layer, run.file_offset + at) for run in found for at in range(run.length)} == expected


@pytest.mark.slow
@settings(max_examples=15)
@given(stack=stacks(max_layers=3), output=st.sampled_from(FORMATS), verify=st.sampled_from(Verify))
def test_a_random_chain_shared_reads_as_one_that_is_copied(tmp_path_factory, stack, output, verify):
    folder = tmp_path_factory.mktemp("shared")
    paths = stack.write_to(folder)
    hashes = [file_hash(path) for path in paths]
    with pytest.MonkeyPatch.context() as patch, vhdx.open_chain(paths[-1]) as chain:
        shared = play_sharing(patch)
        outcome = convert(chain, folder / "out", output, Options(identities=SEEDED.identities, verify=verify))
        # All runs at once: windows may end inside a grain, where a layer does.
        possible = int(shareable(chain.runs(), range(9), GRAIN).length.sum())
    assert content_of(folder / "out", output) == stack.disks[-1].bytes
    assert outcome.cloned_bytes == possible <= sum(length for _, length in shared)
    assert [file_hash(path) for path in paths] == hashes


@pytest.mark.parametrize("output", FORMATS)
def test_the_outcome_says_what_is_shared_and_never_shares_nothing(disk, tmp_path, monkeypatch, output):
    shared = play_sharing(monkeypatch)
    assert convert(disk, tmp_path / "shared", output).cloned_bytes == 6 * MIB
    assert convert(disk, tmp_path / "shared again", output, ALWAYS).copied_bytes == 0
    before = len(shared)
    outcome = convert(disk, tmp_path / "copied", output, Options(identities=SEEDED.identities, reflink=Reflink.NEVER))
    assert (outcome.cloned_bytes, len(shared)) == (0, before)
    assert content_of(tmp_path / "copied", output) == content_of(tmp_path / "shared", output)


def test_what_cannot_be_shared_after_all_is_copied(disk, tmp_path, monkeypatch):
    play_sharing(monkeypatch, fails_after=3)
    outcome = convert(disk, tmp_path / "out", OutputFormat.RAW)
    assert 0 < outcome.cloned_bytes < 6 * MIB
    assert outcome.cloned_bytes + outcome.copied_bytes == 6 * MIB
    assert (tmp_path / "out").read_bytes() == disk.read(0, disk.size)


def test_a_full_file_system_is_said_and_nothing_is_left(disk, tmp_path, monkeypatch):
    play_sharing(monkeypatch, fails_after=3, error=errno.ENOSPC)
    with pytest.raises(FileSystemFullError):
        convert(disk, tmp_path / "out", OutputFormat.VHDX)
    assert list(tmp_path.iterdir()) == [disk.path]


def test_a_source_that_somebody_may_write_to_is_copied(disk, tmp_path, monkeypatch):
    shared = play_sharing(monkeypatch)
    with disk.path.open("r+b"):
        assert convert(disk, tmp_path / "out", OutputFormat.RAW).cloned_bytes == 0
        with pytest.raises(OutputError, match="nobody has open for writing"):
            convert(disk, tmp_path / "always", OutputFormat.RAW, ALWAYS)
    assert not shared


@pytest.mark.parametrize("output", [OutputFormat.RAW, OutputFormat.VHDX])
def test_shared_bytes_that_are_not_those_of_the_source_are_found(disk, tmp_path, monkeypatch, output):
    play_sharing(monkeypatch)
    share = files.clone_range

    def elsewhere(descriptor, offset, source, source_offset, length):
        share(descriptor, offset, source, source_offset - (GRAIN if offset else 0), length)

    monkeypatch.setattr(files, "clone_range", elsewhere)
    with pytest.raises(VerificationError):
        convert(disk, tmp_path / "out", output)
    monkeypatch.setattr(files, "clone_range", lambda *_: None)  # says that it did, and did nothing
    with pytest.raises(VerificationError):
        convert(disk, tmp_path / "out", output)
    assert list(tmp_path.iterdir()) == [disk.path]


def test_where_nothing_can_be_shared_always_is_refused_before_anything_is_written(disk, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="qcow2 keeps no blocks"):
        plan_conversion(disk, tmp_path / "out", OutputFormat.QCOW2, ALWAYS)
    monkeypatch.setattr(files, "may_share", lambda _: False)
    with pytest.raises(OutputError, match="cannot share blocks"):
        plan_conversion(disk, tmp_path / "out", OutputFormat.RAW, ALWAYS)
    play_sharing(monkeypatch, fails_after=0)
    with pytest.raises(OutputError, match="refuses to share"):
        convert(disk, tmp_path / "out", OutputFormat.RAW, ALWAYS)
    assert list(tmp_path.iterdir()) == [disk.path]


def test_a_merge_onto_a_parent_that_must_share_and_cannot_is_refused(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "may_share", lambda _: False)
    with pytest.raises(OutputError, match="cannot share blocks"):
        plan_merge_upper(chain, chain.base.path, tmp_path / "out", ALWAYS)


@pytest.mark.slow
@settings(max_examples=20)
@given(stack=stacks(min_layers=2, max_layers=4), data=st.data(), verify=st.sampled_from(Verify))
def test_upper_layers_that_are_shared_read_as_those_that_are_copied(tmp_path_factory, stack, data, verify):
    folder = tmp_path_factory.mktemp("shared")
    paths = stack.write_to(folder)
    kept = data.draw(st.integers(0, len(paths) - 2))
    options = Options(identities=SEEDED.identities, verify=verify)
    with pytest.MonkeyPatch.context() as patch, vhdx.open_chain(paths[-1]) as chain:
        shared = play_sharing(patch)
        outcome = merge(chain, paths[kept], folder / "merged.avhdx", options)
        possible = int(shareable(concatenate(chain.windows_above(kept + 1)), range(9), GRAIN).length.sum())
        with vhdx.open_chain(folder / "merged.avhdx") as merged:
            assert merged.read(0, merged.size) == stack.disks[-1].bytes
            holes = [concatenate(disk.windows_above(kept + 1)).of_kind(Kind.HOLE) for disk in (chain, merged)]
            assert [(run.start, run.length) for run in holes[0]] == [(run.start, run.length) for run in holes[1]]
    assert outcome.cloned_bytes == possible <= sum(length for _, length in shared)


def test_shared_bytes_of_upper_layers_that_are_not_those_of_the_source_are_found(tmp_path, monkeypatch):
    made = make_chain(Recipe(4 * MIB, 3, 8), tmp_path)
    play_sharing(monkeypatch)
    share = files.clone_range
    monkeypatch.setattr(files, "clone_range", lambda *given: None if given[1] else share(*given))
    with vhdx.open_chain(made.leaf) as chain, pytest.raises(VerificationError):
        merge(chain, made.base, tmp_path / "merged.avhdx", Options(identities=SEEDED.identities))
    assert not part_of(tmp_path / "merged.avhdx").exists()


# On real file systems

KILLED = """
import os, sys
from vhdx.system import files
left, share = int(sys.argv[1]), files.clone_range
def clone_range(*given):
    global left
    left -= 1
    os._exit(9) if left < 0 else share(*given)
files.clone_range = clone_range
from cli.main import main
main(["convert", sys.argv[2], sys.argv[3], "--reflink", "always"])
"""


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def mounted(request, tmp_path_factory):
    """A file system that shares blocks, on a loop device."""
    if os.geteuid() != 0 or not shutil.which(f"mkfs.{request.param}"):
        pytest.skip(f"root and mkfs.{request.param} are needed")
    folder = tmp_path_factory.mktemp(request.param)
    with (folder / "image").open("wb") as file:
        file.truncate(400 * MIB)  # the least that mkfs.xfs takes is 300
    subprocess.run([f"mkfs.{request.param}", "-q", folder / "image"], check=True, capture_output=True)
    (folder / "here").mkdir()
    mount = subprocess.run(["mount", "-o", "loop", folder / "image", folder / "here"], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip(f"nothing can be mounted here: {mount.stderr.decode().strip()}")
    yield folder / "here"
    subprocess.run(["umount", folder / "here"], check=True)


def used(folder):
    subprocess.run(["sync", "-f", folder], check=True)
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture(scope="module")
def leaf(mounted):
    """Of a chain of three files, 32 MiB of noise and scattered changes."""
    return make_chain(Recipe(64 * MIB, 3, 100), mounted).leaf


@pytest.mark.slow
@pytest.mark.parametrize("output", FORMATS)
def test_a_real_file_system_takes_next_to_no_room_for_what_is_shared(mounted, leaf, output):
    before, hashes, target = used(mounted), [file_hash(path) for path in leaf.parent.iterdir()], mounted / "out"
    with vhdx.open_chain(leaf) as chain:
        outcome = run_conversion(plan_conversion(chain, target, output, ALWAYS), chain)
        expected = chain.read(0, chain.size)
    assert outcome.cloned_bytes > 32 * MIB
    assert used(mounted) - before < 0.15 * outcome.cloned_bytes
    assert content_of(target, output) == expected
    target.unlink()
    assert [file_hash(path) for path in leaf.parent.iterdir()] == hashes


@pytest.mark.slow
def test_upper_layers_take_next_to_no_room_on_a_real_file_system(mounted, leaf):
    before, target = used(mounted), mounted / "merged.avhdx"
    with vhdx.open_chain(leaf) as chain:
        outcome = merge(chain, chain.base.path, target, ALWAYS)
        with vhdx.open_chain(target) as merged:
            assert merged.read(0, merged.size) == chain.read(0, chain.size)
    assert outcome.copied_bytes == 0 < outcome.cloned_bytes
    assert used(mounted) - before < MIB + 0.15 * outcome.cloned_bytes  # a sector bitmap is written, not shared
    target.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 17])
def test_a_process_killed_while_it_shares_leaves_no_output(mounted, leaf, at):
    hashes, target = [file_hash(path) for path in leaf.parent.iterdir()], mounted / "out.raw"
    run = subprocess.run([sys.executable, "-c", KILLED, str(at), leaf, target], check=False)
    assert run.returncode == 9
    assert not target.exists()
    part_of(target).unlink()
    assert [file_hash(path) for path in leaf.parent.iterdir()] == hashes
