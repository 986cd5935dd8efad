"""What a disk has to have to be written as an image; a disk with something laid over it; a raw image as a disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Protocol

import numpy as np

from vhdx.device import DeviceSource
from vhdx.disk import DiskSource, FileDisk, ThroughDisk
from vhdx.errors import NotRescuedError, VhdxError, located
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.lost import RAISE, LostPolicy
from vhdx.ranges import Range, Ranges, joined
from vhdx.runs import Kind, Run, RunTable, concatenate, overlay, with_lost
from vhdx.source import ByteSource, FileSource, unread_of, unreadable_of
from vhdx.source_map import SourceMaps, unread_findings
from vhdx.structures.metadata import MetadataItem
from vhdx.system import files

# Holes begin and end upon this; no file system is known to have smaller ones, and one that had would read as data.
_GRAIN = 4096
# A sparse file may have millions of ranges: a table is made for so many of them.
_AT_ONCE = 1 << 16


class LayeredSource(DiskSource, Protocol):
    """A disk that can be written as an image like its own files: a chain, or a disk that is read as one."""

    @property
    def layers(self) -> Sequence[Image]:
        """The files that are there, base first."""
        ...

    @property
    def items(self) -> Sequence[MetadataItem]:
        """What a VHDX of this disk has to say of it beside its parameters."""
        ...


class OverlaidDisk(ThroughDisk):
    """A disk that reads as another does, but where bytes of a further source are laid over it. Closes neither."""

    def __init__(self, inner: DiskSource, table: RunTable, laid: ByteSource, size: int | None = None) -> None:
        """`table` has the runs of `laid`, HOLE where `inner` shows; which layer it says does not matter.

        `size` is that of the disk that comes of it, where it is not that of `inner`.
        """
        super().__init__(inner)
        self._size, self._sources = inner.size if size is None else size, (*inner.sources, laid)
        self._table = replace(table, layer=np.full_like(table.layer, len(inner.sources)))

    @property
    def size(self) -> int:
        """See RunSource."""
        return self._size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """See RunSource."""
        return self._sources

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. Past the end of the inner disk there is what is laid alone, and HOLE."""
        upto = self.size if end is None else min(end, self.size)
        seam = min(upto, self.inner.size)
        for table in self.inner.windows(start, seam) if start < seam else ():
            yield overlay(self._table.clip(int(table.start[0]), table.end), table) if len(table) else table
        if max(start, seam) < upto:
            yield self._table.clip(max(start, seam), upto)


def laid(pieces: Mapping[int, bytes | bytearray], size: int) -> tuple[RunTable, bytes]:
    """Pieces of a disk of `size` bytes, by place, as runs of one source, HOLE elsewhere; and the source's bytes."""
    held = Ranges.of(Range(start, len(data)) for start, data in pieces.items())
    table = RunTable.marking(held, Range(0, size), Kind.DATA)
    is_data = table.kind == Kind.DATA
    lengths = table.length * is_data
    content = b"".join(data for _, data in sorted(pieces.items()))
    return replace(table, file_offset=(np.cumsum(lengths) - lengths) * is_data), content


# 40 MiB of columns: what 2^20 runs take, and a disk in a million pieces costs a second to look through.
_MOST_KEPT = 1 << 20


class KeptRuns(ThroughDisk):
    """A disk whose runs are made once, where they are few enough to be kept. Closes nothing.

    So planning, copying and verifying share them, and all threads do.
    """

    def __init__(self, inner: DiskSource) -> None:
        """Read as `inner` does; its runs are kept when all of them have been asked for in one go."""
        super().__init__(inner)
        self._kept: RunTable | None = None
        # What a reader asks by name of a disk that has it. No `lookup`, which asks each layer, where runs are known.
        self.policy: LostPolicy = getattr(inner, "policy", RAISE)

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """See RunSource."""
        if self._kept is not None:
            return iter((self._kept.clip(start, end),) if start < end else ())
        tables = self.inner.windows(start, end)
        return tables if start or end < self.size else self._keeping(tables)

    def _keeping(self, tables: Iterator[RunTable]) -> Iterator[RunTable]:
        seen, runs = list[RunTable](), 0
        for table in tables:
            runs += len(table)
            if runs <= _MOST_KEPT:
                seen.append(table)
            else:
                seen.clear()
            yield table
        if runs <= _MOST_KEPT:
            self._kept = concatenate(seen)


class RawDisk(FileDisk):
    """A raw image or a block device, opened read-only: its bytes are the disk's, its file system's holes are zeros."""

    source: FileSource | DeviceSource
    sector_size = 512

    def __init__(self, path: Path, sector_size: int | None = None, maps: SourceMaps | None = None) -> None:
        """Open it; a file does not say what sectors it has, and 512 bytes are taken for one unless that is given.

        What ddrescue has not read of it, by `maps`, is LOST. Raises NotRegularFileError, InputOutputError,
        SourceMapError.
        """
        opened = maps.source if maps else FileSource
        self.source = DeviceSource(path) if files.is_device(path) else opened(path)
        own = self.source.sector_size if isinstance(self.source, DeviceSource) else 512
        self.sector_size = sector_size or own

    @property
    def findings(self) -> tuple[Finding, ...]:
        """That a part of it was not read when it was copied; else none: any bytes are a raw image."""
        return tuple(located(self.path, unread_findings(self.source, Severity.WARNING)))

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: DATA where the file system holds something, LOST where nobody has read it, ZERO elsewhere."""
        return (with_lost(table, unreadable_of(self.source)) for table in self._windows(start, end))

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        unread = unread_of(self.source)
        if run.kind is not Kind.LOST or unread is None:
            return None
        return NotRescuedError(self.path, unread.map, run.start, run.length)

    def _windows(self, start: int, end: int | None) -> Iterator[RunTable]:
        upto = self.size if end is None else min(end, self.size)
        held, position = self._held(start, upto), start
        while some := list(islice(held, _AT_ONCE)):
            table = RunTable.marking(Ranges.of(some), Range.between(position, some[-1].end), Kind.DATA)
            is_data = table.kind == Kind.DATA
            kind, offset = np.where(is_data, table.kind, Kind.ZERO), np.where(is_data, table.start, 0)
            yield replace(table, kind=kind, file_offset=offset)
            position = table.end
        if position < upto:
            yield RunTable.filled(position, upto, Kind.ZERO, 0)

    def _held(self, start: int, end: int) -> Iterator[Range]:
        """What the file holds from `start` to `end`, in whole grains but for these edges."""
        extents = self.source.extents(start // _GRAIN * _GRAIN)
        grains = (Range.between(one.start // _GRAIN * _GRAIN, -(-one.end // _GRAIN) * _GRAIN) for one in extents)
        for one in takewhile(lambda one: one.start < end, joined(grains)):
            yield Range.between(max(start, one.start), min(end, one.end))
