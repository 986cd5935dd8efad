"""Media that fail while they are read: a right map, no crash, and nothing is asked for twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance
from analyzer.recover.inputs.bad_sectors import CarefulSource
from analyzer.recover.inputs.collect import gather
from analyzer.recover.inputs.layers import Basis
from analyzer.recover.inputs.open_file import open_carefully
from analyzer.recover.inputs.order import NothingToRecoverError
from analyzer.recovery_map.mapfile import Status
from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from tests.analyzer.recover.disks import NOWHERE, statuses
from tests.support.sources import SparseSource
from vhdx.errors import InputOutputError, ShortReadError
from vhdx.lost import UNIT, read_what_can_be
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind
from vhdx.source import MemorySource
from vhdx.structures.constants import BAT_REGION, HEADER_OFFSETS

MIB = 1 << 20
SIZE = 6 * MIB


class FailingSource:
    """A source with bad sectors, which may end earlier than it said, and which counts what is asked of it."""

    def __init__(self, below, bad=(), end=None):
        self._below, self.path, self.size = below, below.path, below.size
        self.bad, self.end, self.asked = Ranges.of(bad), below.size if end is None else end, []
        self.planned = 0

    def read_into(self, offset, buffer):
        self.asked.append((offset, offset + len(buffer)))
        if self.bad.touches(Range(offset, len(buffer))):
            raise InputOutputError(self.path, "read", "Input/output error", offset)
        if offset + len(buffer) > self.end:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.end - offset))
        self._below.read_into(offset, buffer)

    def asked_to_plan_and_copy(self):
        """What was asked before `planned` was noted, and since."""
        return self.asked[: self.planned], self.asked[self.planned :]


def a_file():
    """A dynamic disk with three blocks of data and gaps between them."""
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={0: stamp(n * MIB, MIB, n + 1)}) for n in (0, 2, 5)}
    spec = ImageSpec(size=SIZE, identity=Identity.of("failing"), block_size=MIB, blocks=blocks)
    return encode(spec)


def recovered(bad=(), end=None, fill=Fill.ZERO):
    """The partial disk, filled, and the source that fails."""
    source = FailingSource(SparseSource(a_file(), Path("/nowhere/disk.vhdx")), bad, end)
    found = gather([source.path], NOWHERE, None, lambda _path: source)
    filled = FilledDisk(PartialDisk(found.levels), fill)
    return filled, source


def place_of(block):
    """Where a block of the file stands, in bytes."""
    filled, _ = recovered()
    return next(run.file_offset for table in filled.disk.windows(0, SIZE) for run in table if run.start == block * MIB)


WHOLE = b"".join(stamp(n * MIB, MIB, n + 1) if n in (0, 2, 5) else bytes(MIB) for n in range(SIZE // MIB))


@given(st.lists(st.integers(0, 2 * MIB // UNIT - 1), max_size=6), st.integers(0, 3000), st.integers(1, 600_000))
def test_exactly_the_bad_sectors_are_lost_of_whatever_is_read(sectors, offset, length):
    data = bytes(range(256)) * (2 * MIB // 256)
    bad = Ranges.of(Range(n * UNIT, UNIT) for n in sectors)
    source = FailingSource(MemorySource(data), bad)
    buffer = bytearray(length)
    lost = read_what_can_be(source.read_into, offset, memoryview(buffer))
    assert lost == bad.within(Range(offset, length))
    for one, is_lost in lost.split(Range(offset, length)):
        start, end = one.start, one.end
        expected = bytes(end - start) if is_lost else data[start:end]
        assert bytes(buffer[start - offset : end - offset]) == expected


def test_a_sector_that_failed_is_not_asked_for_again():
    source = FailingSource(MemorySource(bytes(MIB)), [Range(4096, 512)])
    careful = CarefulSource(source)
    for _ in range(2):
        read_what_can_be(careful.read_into, 0, memoryview(bytearray(MIB)))
    assert source.asked.count((4096, 4608)) == 1
    assert sum(start <= 4096 < end for start, end in source.asked) <= 12


@pytest.mark.parametrize("fill", Fill)
def test_bad_sectors_in_a_block_are_lost_alone_and_in_the_map(fill):
    at = place_of(2)
    filled, _ = recovered([Range(at + 5 * 512, 512), Range(at + 700 * 512, 1024)], fill=fill)
    content = Reader(filled).read(0, SIZE)
    expected = {2 * MIB // 512 + n for n in (5, 700, 701)}
    found = statuses(filled.disk, filled.faults)
    assert {n for n, status in enumerate(found) if status is not Status.KNOWN} == expected
    assert {
        row.basis for row in Provenance(filled.disk, filled.faults, EarlierRun()).rows() if row.status is Status.LOST
    } == {Basis.UNREADABLE}
    for n in range(SIZE // 512):
        sector = content[n * 512 : n * 512 + 512]
        if n not in expected:
            assert sector == WHOLE[n * 512 : n * 512 + 512]
        elif fill is Fill.ZERO:
            assert not any(sector)
        else:
            assert b"vhdx recover" in sector
            assert f"{n * 512:016x}".encode() in sector


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 8 * MIB // UNIT), st.integers(1, 400)), max_size=6),
    st.none() | st.integers(0, 8 * MIB),
)
def test_wherever_a_medium_fails_what_is_called_known_is_right_and_the_rest_is_filled(places, end):
    bad = [Range(start * UNIT, count * UNIT) for start, count in places]
    try:
        filled, _ = recovered(bad, end)
    except NothingToRecoverError as error:
        assert "disk.vhdx" in str(error)  # noqa: PT017 - most files can be read, and are looked at below
        return
    content = Reader(filled).read(0, SIZE)
    for n, status in enumerate(statuses(filled.disk, filled.faults)):
        sector = content[n * 512 : n * 512 + 512]
        # What is stale here is what a header or table that was made anew gives: right all the same.
        assert sector == (bytes(512) if status is Status.LOST else WHOLE[n * 512 : n * 512 + 512])


def test_a_file_that_shrinks_while_it_is_read_loses_what_it_no_longer_has():
    filled, source = recovered()
    at = place_of(5)
    source.end = at + 300 * 512
    content = Reader(filled).read(0, SIZE)
    found = statuses(filled.disk, filled.faults)
    assert [n for n, status in enumerate(found) if status is Status.LOST] == [*range(5 * MIB // 512 + 300, SIZE // 512)]
    assert content[: 5 * MIB + 300 * 512] == WHOLE[: 5 * MIB + 300 * 512]


def test_a_file_that_cannot_be_opened_says_which_it_is_through_the_source_that_was_given():
    """[nothing reads a file around its source]: no file is at this path."""
    source = FailingSource(SparseSource(a_file(), Path("/nowhere/disk.vhdx")), [Range.between(192 << 10, 1 << 62)])
    opened = open_carefully(source.path, lambda _path: source)
    assert opened.image is None
    assert opened.record.identity == Identity.of("failing").data_write_guid


def test_a_header_that_cannot_be_read_is_what_its_copy_is_for():
    for offset in HEADER_OFFSETS:
        filled, _ = recovered([Range(offset, 512)])
        assert Reader(filled).read(0, SIZE) == WHOLE
        assert set(statuses(filled.disk, filled.faults)) == {Status.KNOWN}


def test_a_piece_of_the_block_table_that_cannot_be_read_loses_its_blocks_and_no_crash():
    filled, _ = recovered()
    bat = filled.leaf.regions.current.find(BAT_REGION).file_offset
    filled, _ = recovered([Range(bat, 512)])
    assert set(statuses(filled.disk)) == {Status.LOST}


def test_a_bitmap_that_cannot_be_read_loses_its_blocks_and_leaves_the_others():
    from fixtures import BitmapState, LocatorSpec

    base = ImageSpec(size=SIZE, identity=Identity.of("below"), block_size=MIB)
    blocks = {
        1: Block(state=BlockState.PARTIALLY_PRESENT, data={7: stamp(MIB + 7 * 512, 512, 9)}),
        3: Block(state=BlockState.FULLY_PRESENT, data={0: stamp(3 * MIB, MIB, 8)}),
    }
    spec = ImageSpec(
        size=SIZE,
        identity=Identity.of("above"),
        block_size=MIB,
        parent=LocatorSpec.full(".\\base.vhdx", base.data_write_guid),
        blocks=blocks,
        bitmaps={0: BitmapState.PRESENT},
    )
    source = FailingSource(SparseSource(encode(spec), Path("/nowhere/child.avhdx")))
    found = gather([source.path], NOWHERE, None, lambda _path: source)
    disk = PartialDisk(found.levels)
    bitmap = disk.images[0].table.bitmap_entry(0).file_offset
    assert [run.length for run in next(disk.windows(0, SIZE)).of_kind(Kind.DATA)] == [512, MIB]
    source.bad |= Ranges.of([Range(bitmap, MIB)])
    disk = PartialDisk(gather([source.path], NOWHERE, None, lambda _path: source).levels)
    rows = list(Provenance(disk, NO_RANGES, EarlierRun()).rows())
    assert [(row.start, row.length) for row in rows if row.status is Status.KNOWN] == [(3 * MIB, MIB)]
