"""Disks of another size: what they show, what stands in the way, and where the backup of a GPT is."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from uuid import UUID

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.layouts.gpt import parse_entries
from analyzer.guest.layouts.partitions import gpt_copies, parse_mbr
from analyzer.resize.plan import Gpt, plan_resize
from analyzer.resize.run import require_resizable, resized, run_resize
from fixtures import Block, BlockState, Identity, ImageSpec, LocatorSpec, Provision, encode, stamp
from fixtures import gpt as fixture_gpt
from tests.analyzer.judgement.disks import volume
from tests.support.crashing import PagedFile, Recorder, crash_states, full_at_each_write, interrupted_at_each_step
from tests.support.plain_reader import disk_of
from vhdx.chain import open_chain
from vhdx.contents import Structures
from vhdx.errors import OutputError
from vhdx.image import open_image
from vhdx.reader import Reader

MIB = 1 << 20
PATH = Path("disk.vhdx")
SIZE = 8 * MIB
TABLE = fixture_gpt.Gpt(
    last=6 * MIB // 512 - 1, disk=UUID(int=5), partition=UUID(int=6), kind=fixture_gpt.LINUX, name="root"
)


def blocks(with_gpt):
    front = (TABLE.front if with_gpt else b"").ljust(MIB, b"\1")
    found = {number: stamp(number * MIB, MIB, 1) for number in (2, 4, 5)}
    if with_gpt:
        found[5] = stamp(5 * MIB, MIB, 1)[: MIB - len(TABLE.back)] + TABLE.back
    return {
        number: Block(state=BlockState.FULLY_PRESENT, data={0: data}) for number, data in {0: front, **found}.items()
    }


def spec(*, with_gpt=True, **more):
    return ImageSpec(size=SIZE, identity=Identity.of("resize"), blocks=blocks(with_gpt), **more)


def resize(run, size, gpt=Gpt.MOVE):
    with open_chain(PATH, opened=lambda path: Structures(run.media[path])) as chain:
        plan = plan_resize(chain, size, gpt)
    run_resize(PATH, plan, lambda path: nullcontext(run.media[path]))
    return plan


def recorder(**more):
    return Recorder({PATH: PagedFile.of(encode(spec(**more)), PATH)})


def copies(data):
    return list(gpt_copies(lambda at, length: data[at : at + length], len(data), 512))


def assert_table_is_at_the_end(data):
    found = copies(data)
    assert [copy.header.here for copy in found] == [1, len(data) // 512 - 1]
    assert [entry.name for entry in parse_entries(found[0].table, 128)] == ["root"]
    assert found[0].table == found[1].table
    assert parse_mbr(data[:512]).entries[0].sectors == len(data) // 512 - 1


@pytest.mark.parametrize("size", [7 * MIB, 8 * MIB + 512, 40 * MIB, 3 << 30])
@pytest.mark.parametrize("provision", [Provision.DYNAMIC, Provision.FIXED])
def test_a_disk_of_another_size_shows_its_content_and_its_table_is_at_the_end(size, provision):
    if provision is Provision.FIXED and size > 40 * MIB:
        pytest.skip("a fixed file of gigabytes")
    run = recorder(provision=provision)
    before = disk_of([run.files[PATH]])
    resize(run, size)
    after = disk_of([run.files[PATH]]) if size < 1 << 30 else None
    with open_image_of(run) as image:
        assert image.size == size
        data = after if after is not None else image.read(0, 8 * MIB)
        kept = slice(34 * 512, 6 * MIB - len(TABLE.back))
        assert data[kept] == before[kept]
        if after is not None:
            assert_table_is_at_the_end(after)


@contextmanager
def open_image_of(run):
    with open_chain(PATH, opened=lambda path: Structures(run.media[path])) as chain:
        yield chain


@pytest.mark.slow
@pytest.mark.parametrize("size", [7 * MIB, 24 * MIB])
def test_at_every_moment_the_disk_has_one_size_or_the_other_and_a_table_that_is_whole(size):
    run = recorder()
    before = disk_of([run.files[PATH]])
    resize(run, size)
    after = disk_of([run.files[PATH]])
    for number, (words, files) in enumerate(crash_states(run, shuffled=1)):
        assert_is_whole(disk_of([files[PATH]]), before, len(after), words)
        if number % 40 == 0:  # live logs among them
            again = Recorder(files)
            resize(again, size)
            assert disk_of([again.files[PATH]]) == after, words


@pytest.mark.slow
@pytest.mark.parametrize("size", [7 * MIB, 24 * MIB])
def test_on_a_medium_that_is_full_at_any_write_the_disk_has_one_size_or_the_other_and_the_same_plan_goes_on(size):
    before = disk_of([recorder().files[PATH]])
    for run in full_at_each_write(recorder().files, lambda run: resize(run, size)):
        assert_is_whole(disk_of([run.files[PATH]]), before, size)
        again = Recorder(run.files)
        resize(again, size)
        after = disk_of([again.files[PATH]])
        assert_is_whole(after, before, size)
        assert len(after) == size


@pytest.mark.slow
@pytest.mark.parametrize("size", [7 * MIB, 3 << 37])
def test_ctrl_c_at_any_step_leaves_a_disk_of_one_size_or_the_other_and_the_same_plan_goes_on(size):
    """The larger one needs another block table: the old place is free when the regions' new places are durable."""
    before = disk_of([recorder().files[PATH]])
    for run in interrupted_at_each_step(recorder().files, lambda run: resize(run, size)):
        for one in run, again(run, size):
            with open_image_of(one) as image:
                assert image.size in {SIZE, size}
                data = image.read(0, min(image.size, SIZE))
            kept = slice(34 * 512, 6 * MIB - len(TABLE.back))
            assert data[kept] == before[kept], run.operations[-1][1][0]
        assert image.size == size


def again(run, size):
    """The run that goes on from what another one left."""
    further = Recorder(run.files)
    resize(further, size)
    return further


def assert_is_whole(data, before, size, words=""):
    """A disk of the size that it had, or will have, with its content and a table."""
    kept = slice(34 * 512, 6 * MIB - len(TABLE.back))
    assert len(data) in {len(before), size}, words
    assert data[kept] == before[kept], words
    assert copies(data), words


@pytest.mark.parametrize("size", [7 * MIB, 24 * MIB])
def test_a_new_file_shows_the_same_as_a_change_in_place(size, tmp_path):
    run = recorder()
    encode(spec()).write_to(tmp_path / "disk.vhdx")
    with open_chain(tmp_path / "disk.vhdx") as chain:
        plan = plan_resize(chain, size, Gpt.MOVE)
        shown = Reader(resized(chain, plan)).read(0, size)
    resize(run, size)
    assert shown == disk_of([run.files[PATH]])


def test_what_blocks_leave_is_zeros_and_the_end_is_cut():
    run = recorder(with_gpt=False)
    encoded = run.media[PATH].size
    resize(run, None)
    assert run.media[PATH].size == encoded  # nothing is known of what is on it: all of it is kept


def test_the_least_size_keeps_the_last_partition_and_room_for_the_backup():
    run = recorder()
    plan = resize(run, None)
    assert plan.size == plan.least == 6 * MIB
    assert_table_is_at_the_end(disk_of([run.files[PATH]]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "ntfs", "fat32", "exfat"])
def test_the_least_size_of_a_disk_without_partitions_is_where_its_volume_ends(kind, tmp_path):
    (tmp_path / "disk.raw").write_bytes(volume(kind, 1) + bytes(4 * MIB))
    with RawDisk(tmp_path / "disk.raw") as one:
        assert plan_resize(one, None, Gpt.LEAVE).size == 64 * MIB


def test_a_size_that_cuts_a_partition_is_refused():
    with pytest.raises(OutputError, match="would cut"):
        resize(recorder(), 6 * MIB - 512)
    with pytest.raises(OutputError, match="would cut"):
        resize(recorder(with_gpt=False), SIZE - 512)


@pytest.mark.parametrize("size", [0, 100, 65 << 40])
def test_a_size_that_no_disk_has_is_refused(size):
    with pytest.raises(OutputError, match="whole sectors"):
        resize(recorder(), size)


def test_a_table_that_is_left_is_said():
    assert resize(recorder(), 7 * MIB, Gpt.LEAVE).gpt_is_left
    assert not resize(recorder(), 7 * MIB).gpt_is_left


def test_checkpoints_and_what_they_were_made_upon_are_refused(tmp_path):
    base = spec()
    encode(base).write_to(tmp_path / "base.vhdx")
    locator = LocatorSpec.full(".\\base.vhdx", base.data_write_guid)
    encode(ImageSpec(size=SIZE, identity=Identity.of("child"), parent=locator)).write_to(tmp_path / "child.avhdx")
    for name in ("base.vhdx", "child.avhdx"):
        with open_image(tmp_path / name) as image, pytest.raises(OutputError, match="0xC03A0017"):
            require_resizable(image)
