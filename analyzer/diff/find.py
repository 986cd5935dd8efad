"""What differs between two states: plan how it is found, then find it.

By provenance: two disks that read the same place of the same file read the same bytes. Nothing but tables is read for
that, so that the cost follows the change and not the disk.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.address.state import form_of
from analyzer.convert.cells import units_touched
from analyzer.diff.ranges import UNIT, Change, ChangeTable, compare, joined, rounded
from analyzer.progress import Progress, no_progress
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.layers import in_step
from vhdx.ranges import NO_RANGES, Column, Ranges
from vhdx.runs import Kind, RunTable, changed, cut_alike
from vhdx.sink import Sink
from vhdx.source import ByteSource, FileSource

# Granules whose bits are made at once, a multiple of 8: 128 KiB of the file.
_AT_ONCE = 1 << 20


class Trust(Enum):
    """Whether provenance is believed where it says that something changed; where nothing did, it is a proof."""

    PROVENANCE = "provenance"
    VERIFY = "verify"


class Method(Enum):
    """How changes are found."""

    PROVENANCE = "provenance"
    """From tables alone: every change, and what was written anew with the bytes that it held."""
    VERIFIED = "verified"
    """What provenance says, compared by content: exact."""
    CHUNKS = "chunks"
    """The disks are restore points: the ids of chunks say what is the same, the others are compared. Exact."""
    CONTENT = "content"
    """The disks share no file: all that either holds is compared. Exact."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangesPlan:
    """How two states are going to be compared; all sizes are bytes."""

    method: Method
    numbers: tuple[Column, Column]
    """The number of each layer of the old disk, and of the new one: one file has the same number in both."""
    shared: tuple[Path, ...]
    """The files that both are made of, as the new disk calls them, base first."""
    granularity: int
    size: int
    """Of the larger disk: where the last granule ends."""
    work: int
    """Bytes to be compared, for progress; 0 by provenance."""


@dataclass
class Totals:
    """What was found, counted while it passes by."""

    ranges: int = 0
    bytes: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))

    @property
    def changed_bytes(self) -> int:
        """Bytes of all kinds."""
        return sum(self.bytes.values())

    def passing(self, tables: Iterable[ChangeTable]) -> Iterator[tuple[int, int, Change]]:
        """The ranges of the tables, one by one, each table counted."""
        for table in tables:
            self.ranges += len(table)
            for change in Change:
                self.bytes[change] += int(table.length[table.kind == change].sum())
            yield from table


def with_bitmap(tables: Iterable[ChangeTable], sink: Sink, size: int, granularity: int) -> Iterator[ChangeTable]:
    """The tables as they come, of whole granules and ascending, each noted in a sparse file, which is whole at the end.

    It has one bit for each granule of a disk of `size` bytes, least significant bit first, set where the granule
    changed: bit n & 7 of byte n >> 3 is for the bytes of the disk from n * granularity; bits past the end are 0.
    """
    sink.make_sparse()
    sink.set_size(-(-size // granularity) // 8 + bool(-(-size // granularity) % 8))
    number, bits = -1, np.empty(0, dtype=np.bool_)
    for table in tables:
        for here, marked in _marks(table, granularity):
            if here != number:
                _write_bits(sink, number, bits)
                number, bits = here, np.zeros(_AT_ONCE, dtype=np.bool_)
            bits |= marked
        yield table
    _write_bits(sink, number, bits)
    sink.flush()


def _marks(table: ChangeTable, granularity: int) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """For so many granules at once that any range touches: their number, and which of them are touched."""
    first = table.start // granularity
    last = (table.start + table.length - 1) // granularity + 1
    for number in units_touched([Ranges.of_columns(table.start, table.length)], granularity * _AT_ONCE):
        begin = number * _AT_ONCE
        here = (last > begin) & (first < begin + _AT_ONCE)
        steps = np.zeros(_AT_ONCE + 1, dtype=np.int64)
        np.add.at(steps, np.maximum(first[here] - begin, 0), 1)
        np.add.at(steps, np.minimum(last[here] - begin, _AT_ONCE), -1)
        yield number, np.cumsum(steps)[:-1] > 0


def _write_bits(sink: Sink, number: int, bits: npt.NDArray[np.bool_]) -> None:
    if bits.any():
        packed = np.packbits(bits, bitorder="little")
        whole = packed[: int(np.flatnonzero(packed)[-1]) + 1]
        sink.write_at(number * _AT_ONCE // 8, whole.data)


def plan_changes(old: Disk, new: Disk, trust: Trust, granularity: int | None = None) -> ChangesPlan:
    """Choose how to compare; `granularity` in bytes, None for the larger sector of the two.

    Raises ValueError for a granularity that is no multiple of 512, and what reading tables raises.
    """
    granule = granularity or max(old.sector_size, new.sector_size)
    if granule <= 0 or granule % UNIT:
        raise ValueError(f"a granularity of {granule} bytes is no multiple of {UNIT}")
    numbers, shared = number_layers(old, new)
    method = Method.VERIFIED if trust is Trust.VERIFY else Method.PROVENANCE
    # Without a file in common provenance proves nothing: all that either disk holds is a candidate.
    method = method if shared else Method.CHUNKS if _are_points(old, new) else Method.CONTENT
    candidates = () if method is Method.PROVENANCE else changes_by_provenance(old, new, numbers)
    work = sum(int(table.length[table.kind != Kind.HOLE].sum()) for table, _ in candidates)
    size = max(old.size, new.size)
    return ChangesPlan(method=method, numbers=numbers, shared=shared, granularity=granule, size=size, work=work)


def exact_changes(plan: ChangesPlan, old: Disk, new: Disk, progress: Progress = no_progress) -> Iterator[ChangeTable]:
    """Tables of what differs, to the sector, as found; then what the longer disk has past the other's end.

    Raises what reading raises; SourceChangedError at the end when a file was written meanwhile.
    """
    candidates = changes_by_provenance(old, new, plan.numbers)
    if plan.method is Method.PROVENANCE:
        yield from (ChangeTable.of_runs(table) for table, _ in candidates)
    else:
        yield from compare(old, new, candidates, progress)
    # Past the end of the shorter disk there is nothing to compare: what a new, longer one has there is its content.
    for table in new.windows(old.size, new.size) if new.size > old.size else ():
        yield ChangeTable.of_content(table)
    yield ChangeTable.of(new.size, max(old.size, new.size), Change.GONE)
    for disk in (old, new):
        disk.require_unchanged()


def find_changes(plan: ChangesPlan, old: Disk, new: Disk, progress: Progress = no_progress) -> Iterator[ChangeTable]:
    """Tables of the ranges that differ, in whole granules; raises as `exact_changes` does."""
    return joined(rounded(exact_changes(plan, old, new, progress), plan.granularity, plan.size))


def number_layers(old: Disk, new: Disk) -> tuple[tuple[Column, Column], tuple[Path, ...]]:
    """A number for each layer of both disks, one file's the same in both; and the files that both have.

    A layer is shared when it is the same file and has the same data_write_guid. A copy, although it may hold the same
    bytes, is another file. That no file was written between the two openings, `require_unchanged` of both says.
    """
    before, after = _files(old), _files(new)
    numbers = {key: number for number, key in enumerate(dict.fromkeys([*before, *after]))}
    shared = tuple(path for key, path in after.items() if key in before)
    first, second = (np.array([numbers[key] for key in keys], dtype=np.int64) for keys in (before, after))
    return (first, second), shared


def _files(disk: Disk) -> dict[object, Path]:
    """What identifies each layer's file, base first."""

    def identity(file: ByteSource) -> object:
        return file.identity if isinstance(file, FileSource) else id(file)

    if isinstance(disk, Chain):
        # Two openings of one path may be of two contents, where somebody wrote to the file between them.
        return {(identity(layer.file), layer.data_write_guid): layer.path for layer in disk.layers}
    return {identity(source): source.path for source in disk.sources}


def changes_by_provenance(old: Disk, new: Disk, numbers: tuple[Column, Column]) -> Iterator[tuple[RunTable, RunTable]]:
    """For each window what of `new` comes from elsewhere than in `old` (HOLE: nothing), and the old window beside it.

    Every byte that differs is in it; bytes that were written anew with what they held are in it too.
    """
    end, same = min(old.size, new.size), _same_chunks(old, new)
    for before, after in in_step([old.windows(0, end), new.windows(0, end)]):
        numbered = replace(before, layer=numbers[0][before.layer])
        table = changed(numbered, replace(after, layer=numbers[1][after.layer]))
        yield (_without(table, same) if same else table), numbered


def _are_points(*disks: Disk) -> bool:
    return all(form_of(disk) == "point" for disk in disks)


def _same_chunks(old: Disk, new: Disk) -> Ranges:
    """Where two restore points have the same chunks, which need no reading; nowhere of all else."""
    if not _are_points(old, new):
        return NO_RANGES
    # Loaded where restore points are compared.
    from analyzer.diff.points import same_chunks

    return same_chunks(old, new)


def _without(table: RunTable, same: Ranges) -> RunTable:
    """The table with HOLE, nothing, where it is the same; what is LOST stays."""
    marks, table = cut_alike(RunTable.marking(same, table.range, Kind.ZERO), table)
    is_same = (marks.kind == Kind.ZERO) & (table.kind != Kind.LOST)
    return replace(table, kind=np.where(is_same, np.int64(Kind.HOLE), table.kind))
