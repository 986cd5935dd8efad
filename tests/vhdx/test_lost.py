"""What a reader puts where bytes cannot be known: by policy, one byte not more and not less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vhdx.errors import InputOutputError, LostDataError, NeedsParentError, ShortReadError
from vhdx.lost import RAISE, UNIT, FillZeros, NoteLost
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource

SIZE = 64 * UNIT
LOST = Range(8 * UNIT, 4 * UNIT)
PARENTS = Range(12 * UNIT, 4 * UNIT)
DATA = bytes(1 + at % 255 for at in range(SIZE))


class Failing(MemorySource):
    """Bytes of which some sectors cannot be read; `asked` counts the reads."""

    def __init__(self, bad=(), end=SIZE):
        super().__init__(DATA)
        self.bad, self.end, self.asked = set(bad), end, 0

    def read_into(self, offset, buffer):
        self.asked += 1
        if offset + len(buffer) > self.end:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.end - offset))
        if self.bad & set(range(offset // UNIT, -(-(offset + len(buffer)) // UNIT))):
            raise InputOutputError(self.path, "read", "bad sector", offset)
        super().read_into(offset, buffer)


class OneRun:
    """A disk of one file: LOST in a range, its parent's in the next."""

    size = SIZE

    def __init__(self, source):
        self.sources = (source,)

    def windows(self, start, end):
        behind = PARENTS.end
        rows = [(0, LOST.start, Kind.DATA, 0, 0), (*LOST, Kind.LOST, 0, 0), (*PARENTS, Kind.HOLE, 0, 0)]
        yield RunTable.of([*rows, (behind, SIZE - behind, Kind.DATA, 0, behind)]).clip(start, end)

    def error_for(self, run):
        if run.kind is Kind.LOST:
            return LostDataError(self.sources[0].path, run.start, run.length, "it is gone")
        return NeedsParentError(self.sources[0].path, run.start) if run.kind is Kind.HOLE else None


def expected(*zeros):
    content = bytearray(DATA)
    for one in zeros:
        content[one.start : one.end] = bytes(one.length)
    return bytes(content)


def test_without_a_policy_what_is_lost_is_an_error_and_a_failing_file_is_asked_once():
    source = Failing(bad={30})
    with pytest.raises(LostDataError, match="it is gone"):
        Reader(OneRun(source)).read(0, LOST.end)
    source.asked = 0
    with pytest.raises(InputOutputError, match="bad sector"):
        Reader(OneRun(source), RAISE).read(PARENTS.end, SIZE - PARENTS.end)
    assert source.asked == 1


def test_zeros_stand_for_what_is_lost_and_for_nothing_that_only_fails():
    disk = OneRun(Failing(bad={30}))
    assert Reader(disk, FillZeros()).read(0, LOST.end) == expected(LOST)[: LOST.end]
    with pytest.raises(NeedsParentError):
        Reader(disk, FillZeros()).read(0, SIZE)
    with pytest.raises(InputOutputError):
        Reader(disk, FillZeros()).read(PARENTS.end, SIZE - PARENTS.end)


@given(st.sets(st.integers(PARENTS.end // UNIT, SIZE // UNIT - 1)), st.sampled_from((UNIT, 4096)), st.data())
def test_everything_that_cannot_be_read_is_zeros_and_noted_in_whole_sectors_of_the_disk(bad, unit, data):
    start = data.draw(st.integers(0, SIZE - 1))
    part = Range.between(start, data.draw(st.integers(start, SIZE)))
    lost = NoteLost(unit)
    found = Reader(OneRun(Failing(bad)), lost).read(*part)
    touched = Ranges.of([Range(at * UNIT, UNIT) for at in bad]).within(part)
    widened = [Range.between(one.start // unit * unit, -(-one.end // unit) * unit) for one in touched]
    missed = Ranges.of([LOST, PARENTS, *widened]).within(part)
    assert Ranges.of(lost.take_missed()) == missed
    assert found == expected(*missed)[part.start : part.end]
    assert lost.take_missed() == []


def test_a_file_that_was_cut_is_missed_from_its_end_on():
    lost = NoteLost()
    found = Reader(OneRun(Failing(end=40 * UNIT + 100)), lost).read(PARENTS.end, SIZE - PARENTS.end)
    assert Ranges.of(lost.take_missed()) == Ranges.of([Range.between(40 * UNIT, SIZE)])
    assert found == expected(Range.between(40 * UNIT, SIZE))[PARENTS.end :]
