"""A partial disk as an output takes it: every byte has a value, and what is lost is filled as it was asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from threading import Lock

import numpy as np

from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Read
from vhdx.disk_items import items_of_disk
from vhdx.errors import LostDataError, VhdxError
from vhdx.findings import Finding
from vhdx.image import Image
from vhdx.lost import NoteLost
from vhdx.ranges import NO_RANGES, GrowingRanges, Range, Ranges, union
from vhdx.runs import Kind, Run, RunTable, choose, cut_at, merge_neighbours, with_lost
from vhdx.source import ByteSource
from vhdx.structures.metadata import MetadataItem

_WORDS = b"vhdx recover: this sector is lost; it stands at byte 0x"
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
# A 64-bit place in hexadecimal: of one width, so that every sector of the pattern is made by the same table.
_WIDTH = 16


class Fill(Enum):
    """What the output has where the disk is lost."""

    ZERO = "zero"
    PATTERN = "pattern"
    """A sentence in every sector, with the sector's place on the disk: it cannot pass for data."""


class FilledDisk:
    """What `convert` reads: the runs of the files, of an earlier run's image, and of the fill."""

    def __init__(
        self,
        disk: PartialDisk,
        fill: Fill | None,
        earlier: EarlierRun | None = None,
        faults: GrowingRanges | None = None,
        only: Ranges | None = None,
    ) -> None:
        """`earlier` is what a run before this one has already, `faults` takes what cannot be read; see `noted`.

        `only`: the ranges that are taken from the files; all else is LOST, as if it could not be read.
        """
        self.disk, self.fill, self.earlier = disk, fill, earlier or EarlierRun()
        self.left_out = NO_RANGES if only is None else only.gaps(Range(0, disk.size))
        """What is not asked of the files."""
        self._only = only
        self.layers: Sequence[Image] = disk.images
        """The files that are there, base first."""
        self.base, self.leaf = disk.images[0], disk.images[-1]
        self.path, self.size, self.sector_size = self.leaf.path, disk.size, disk.sector_size
        before = _Placed(disk, self.earlier.read)
        self.policy = Rescue(disk.sector_size, fill, replace(self.earlier, read=before.read_into), faults)
        self.findings: tuple[Finding, ...] = ()
        files = (image.source for image in disk.images)
        self.sources: Sequence[ByteSource] = (*files, before, _Placed(disk, self.policy.put))
        self._earlier_layer, self._fill_layer = len(disk.images), len(disk.images) + 1

    @property
    def items(self) -> Sequence[MetadataItem]:
        """What the newest file says of the disk beside its parameters; nothing where that cannot be read."""
        try:
            return items_of_disk(self.leaf.structures)
        except VhdxError:
            return ()

    @property
    def faults(self) -> Ranges:
        """The ranges of the disk that could not be read so far."""
        return self.policy.faults.ranges

    def noted(self) -> "FilledDisk":
        """The same disk with zeros for what is lost, for one who wants to hear which ranges these are."""
        disk = FilledDisk(self.disk, None, self.earlier, self.policy.faults, self._only)
        if self.earlier.known or self.left_out:
            # A medium that fails is asked for nothing that an earlier run has, or nobody wants, whoever looks at its
            # files.
            shown = disk._shown_files()
            files = [_Shown(source, ranges) for source, ranges in zip(disk.sources, shown, strict=False)]
            disk.sources = (*files, *disk.sources[len(files) :])
        return disk

    def limited_to(self, only: Ranges) -> "FilledDisk":
        """The same disk, of which these ranges alone are taken from the files."""
        return FilledDisk(self.disk, self.fill, self.earlier, self.policy.faults, only)

    def _shown_files(self) -> list[Ranges]:
        """For each file what of it the disk shows, in bytes of the file."""
        shown = [list[Ranges]() for _ in self.layers]
        for table in self.windows(0, self.size):
            data = table.select(table.kind == Kind.DATA)
            for layer, found in enumerate(shown):
                mine = data.select(data.layer == layer)
                found.append(Ranges.of_columns(mine.file_offset, mine.length))
        return [union(found) for found in shown]

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """See RunSource: LOST is left only where the reader hears of it."""
        for window in self.disk.windows(start, end):
            table = replace(window, layer=self.disk.files[window.layer])
            table = with_lost(table, self.left_out)
            # What an earlier run has as stale is taken from it only where this one has nothing.
            table = self._from_earlier(table, self.earlier.stale, (Kind.LOST,))
            table = self._from_earlier(table, self.earlier.known, tuple(Kind))
            lost = table.kind == Kind.LOST
            if self.fill is Fill.ZERO:
                table = replace(table, kind=np.where(lost, Kind.ZERO, table.kind))
            elif self.fill and lost.any():
                table = choose(lost, _in_place(table, self._fill_layer), table)
            yield merge_neighbours(table)

    def _from_earlier(self, table: RunTable, ranges: Ranges, kinds: tuple[Kind, ...]) -> RunTable:
        if not ranges.touches(table.range):
            return table
        table, inside = cut_at(table, ranges)
        return choose(inside & np.isin(table.kind, kinds), _in_place(table, self._earlier_layer), table)

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return LostDataError(self.path, run.start, run.length, "it is lost") if run.kind is Kind.LOST else None

    def require_unchanged(self) -> None:
        """A source that changes, one that is still being copied, is what this is for: the account says so."""


class Rescue(NoteLost):
    """Goes around what fails, notes it in `faults`, and puts there what an earlier run has, else the fill."""

    def __init__(self, unit: int, fill: Fill | None, earlier: EarlierRun, faults: GrowingRanges | None) -> None:
        """Sectors of `unit` bytes are lost together; without a fill they are noted, and zeros."""
        super().__init__(unit)
        self.sector, self.faults = unit, GrowingRanges() if faults is None else faults
        self._fill, self._earlier, self._lock = fill, earlier, Lock()

    def fill(self, start: int, part: memoryview, error: VhdxError) -> None:
        """See LostPolicy."""
        if not isinstance(error, LostDataError):
            with self._lock:
                self.faults.add(Range(start, len(part)))
        for one, is_stale in self._earlier.stale.split(Range(start, len(part))):
            piece = part[one.start - start : one.end - start]
            if is_stale:
                self._earlier.read(one.start, piece)
            elif self._fill is None:
                super().fill(one.start, piece, error)
            else:
                self.put(one.start, piece)

    def put(self, start: int, part: memoryview) -> None:
        """The fill itself, in the disk's bytes from `start`."""
        is_pattern = self._fill is Fill.PATTERN
        part[:] = pattern(start, len(part), self.sector) if is_pattern else bytes(len(part))


class _Shown:
    """A source that gives what the disk shows of it, and is asked for nothing else."""

    def __init__(self, source: ByteSource, shown: Ranges) -> None:
        self.path, self.size, self._source, self._shown = source.path, source.size, source, shown

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource; raises LostDataError for what the disk takes from elsewhere."""
        if not self._shown.covers(Range(offset, len(buffer))):
            raise LostDataError(self.path, offset, len(buffer), "an earlier run has what stands here")
        self._source.read_into(offset, buffer)


class _Placed:
    """A source of which each byte is where the disk has it."""

    def __init__(self, disk: PartialDisk, read: Read) -> None:
        self.path, self.size, self._read, self._lock = disk.images[-1].path, disk.size, read, Lock()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource. One thread at a time: an earlier run's image has one reader."""
        with self._lock:
            self._read(offset, buffer)


def _in_place(table: RunTable, layer: int) -> RunTable:
    """The runs as DATA of `layer`, each at its own place."""
    return replace(
        table, kind=np.full_like(table.kind, Kind.DATA), layer=np.full_like(table.layer, layer), file_offset=table.start
    )


def pattern(start: int, length: int, sector: int) -> bytes:
    """`length` bytes of the disk from `start`, as if all were lost: in each sector its own place, in hex."""
    first, last = start // sector, -(-(start + length) // sector)
    page = np.frombuffer((_WORDS + b"0" * _WIDTH).ljust(sector - 1, b".") + b"\n", dtype=np.uint8)
    sectors = np.tile(page, (last - first, 1))
    places = np.arange(first, last, dtype=np.int64) * sector
    for digit in range(_WIDTH):
        shift = 4 * (_WIDTH - 1 - digit)
        sectors[:, len(_WORDS) + digit] = _DIGITS[places >> shift & 15]
    skipped = start - first * sector
    return sectors.tobytes()[skipped : skipped + length]
