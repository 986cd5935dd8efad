"""What a FAT or exFAT volume has in use: the allocation table, or exFAT's bitmap and its folders.

Of FAT both copies of the table are read: where one is lost or empty, the other tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.guest.layouts import fat
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.fat import ENTRY, FIRST_CLUSTER, FatBoot
from analyzer.guest.usage.model import PIECE, Contents, Extents, Known, Usage, set_bits, usage_by
from vhdx.ranges import Column, Range, Ranges

_MOST_TABLE = 1 << 28  # that of 2 TiB in clusters of 32 KiB
# Bytes of a table that are never zeros: the entries of the two clusters that are none.
_HEAD = 8
_ENDS = {"fat12": 0xFF8, "fat16": 0xFFF8, "fat32": 0x0FFFFFF8}
_LAST_EXFAT = 0xFFFFFFF7  # bad, or the end of a chain, from here on
_BITMAP, _UPCASE, _FILE, _STREAM = 0x81, 0x82, 0x85, 0xC0
_FOLDER, _CONTIGUOUS = 0x10, 0x2
_MOST_FOLDERS, _MOST_FOLDER = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the allocation table, `at` bytes from its start, as its two copies have it; None where one is lost."""

    at: int
    length: int
    one: bytes | None
    other: bytes | None

    @property
    def best(self) -> bytes:
        """The copy that is known and holds something; zeros where neither is known."""
        found = self.one if self.one and any(self.one) else self.other or self.one
        return found or bytes(self.length)


def usage_of_fat(known: Known, boot: FatBoot) -> Usage:
    """What a FAT12, FAT16 or FAT32 volume has in use."""
    extent = Range(0, min(known.size, boot.sectors * boot.sector_size))
    length = boot.table * boot.sector_size
    if not boot.has_sizes or not 0 < length <= _MOST_TABLE:
        return Usage(extent=extent)
    pieces = list(_pieces(known, boot, length))
    entries = _entries(b"".join(piece.best for piece in pieces), boot.kind)
    count = min(len(entries), max(0, (boot.sectors - boot.heap) // boot.cluster) + FIRST_CLUSTER)
    used = np.flatnonzero(entries[FIRST_CLUSTER:count])
    ends = np.flatnonzero(entries[FIRST_CLUSTER:count] >= _ENDS[boot.kind])
    heap, size = boot.heap_start, boot.cluster_size
    files = Extents(heap + ends * size, np.full_like(ends, size), ends)
    lost = Ranges.of(Range(piece.at, PIECE) for piece in pieces if piece.one is None and piece.other is None)
    clusters = Ranges.of([Range.between(heap, heap + (count - FIRST_CLUSTER) * size)])
    return Usage(
        extent=extent,
        told=clusters - _clusters_of(lost, boot),
        used=Ranges.of([Range(0, heap)]) | Ranges.of_columns(heap + used * size, np.full_like(used, size)),
        filled=Extents.of(_filled_of_fat(boot, pieces)),
        contents=lambda: Contents(files, Extents.of(())),
    )


def entries_of(known: Known, boot: FatBoot) -> Column | None:
    """The allocation table, by the best of its copies; None where it cannot be."""
    length = boot.table * boot.sector_size
    if not boot.has_sizes or not 0 < length <= _MOST_TABLE:
        return None
    return _entries(b"".join(piece.best for piece in _pieces(known, boot, length)), boot.kind)


def _pieces(known: Known, boot: FatBoot, length: int) -> Iterator[_Piece]:
    first, last = ((boot.reserved + copy * boot.table) * boot.sector_size for copy in (0, boot.copies - 1))
    for (at, one), (_, other) in zip(known.pieces(first, length), known.pieces(last, length), strict=True):
        yield _Piece(at, min(PIECE, length - at), one, other)


def _entries(table: bytes, kind: str) -> Column:
    if kind == "fat32":
        return (np.frombuffer(table[: len(table) // 4 * 4], "<u4") & 0x0FFFFFFF).astype(np.int64)
    if kind == "fat16":
        return np.frombuffer(table[: len(table) // 2 * 2], "<u2").astype(np.int64)
    low, middle, high = np.frombuffer(table[: len(table) // 3 * 3], "u1").astype(np.int64).reshape(-1, 3).T
    return np.column_stack((low | (middle & 15) << 8, middle >> 4 | high << 4)).ravel()


def _clusters_of(lost: Ranges, boot: FatBoot) -> Ranges:
    """The clusters of which parts of the table tell that nobody knows."""
    first, last = lost.start * 8 // boot.entry_bits, -(-lost.end * 8 // boot.entry_bits)
    starts, ends = (boot.heap_start + np.maximum(edge - FIRST_CLUSTER, 0) * boot.cluster_size for edge in (first, last))
    return Ranges.between(starts, ends)


def _filled_of_fat(boot: FatBoot, pieces: list[_Piece]) -> Iterator[tuple[int, int, int]]:
    """The boot sector, its copy, the heads of the tables, and what of one copy the other has something in."""
    yield 0, fat.SIZE, 0
    if boot.backup:
        yield boot.backup, fat.SIZE, 0
    first = boot.fat_start
    last = first + (boot.copies - 1) * boot.table * boot.sector_size
    yield from ((start, _HEAD, 0) for start in (first, last))
    for piece in pieces:
        if piece.one is None and piece.other and any(piece.other):
            yield first + piece.at, piece.length, 0
        if piece.other is None and piece.one and any(piece.one):
            yield last + piece.at, piece.length, 0


@dataclass(frozen=True)
class ExfatUsage:
    """Reads what an exFAT volume has in use."""

    known: Known
    boot: ExfatBoot

    def usage(self) -> Usage:
        """What bitmap, structures and files say; the extent alone where the boot sector cannot be."""
        extent, boot = Range(0, self.known.size), self.boot
        if not boot.cluster_size:
            return Usage(extent=extent)
        filled = [(0, boot.region or 0, 0), (boot.fat_start, _HEAD, 0), (boot.place(boot.root), boot.cluster_size, 0)]
        maps = [(Range(0, 0), Ranges.of([Range(0, boot.heap_start)]))]
        for kind, _, first, length in self._streams(boot.root, 0, is_contiguous=False):
            if kind in {_BITMAP, _UPCASE}:
                filled.append((boot.place(first), min(length, boot.cluster_size), 0))
            if kind == _BITMAP:
                maps += self._maps(first, length)
        return usage_by(extent, maps, filled, self.files)

    def _maps(self, first: int, length: int) -> Iterator[tuple[Range, Ranges]]:
        """What each piece of a bitmap tells, and what of it is in use."""
        heap, size = self.boot.heap_start, self.boot.cluster_size
        count = max(0, self.known.size - heap) // size
        for at, raw in self.known.pieces(self.boot.place(first), min(length, -(-count // 8), _MOST_TABLE)):
            if raw:
                end = min(at * 8 + 8 * len(raw), count)
                yield Range.between(heap + at * 8 * size, heap + end * size), set_bits(raw, at * 8, size, heap, count)

    def _chain(self, first: int, length: int, *, is_contiguous: bool) -> Iterator[Range]:
        """The clusters of a file or folder, in bytes; without a length as far as the chain goes."""
        size = self.boot.cluster_size
        if is_contiguous:
            yield Range(self.boot.place(first), length)
            return
        left, cluster, seen = length or _MOST_FOLDER, first, set[int]()
        while left > 0 and cluster >= FIRST_CLUSTER and cluster not in seen and len(seen) < _MOST_FOLDER // size + 1:
            seen.add(cluster)
            yield Range(self.boot.place(cluster), min(size, left))
            left -= size
            raw = self.known.read(self.boot.fat_start + 4 * cluster, 4)
            cluster = int.from_bytes(raw, "little") if raw else 0
            cluster = 0 if cluster >= _LAST_EXFAT else cluster

    def _streams(self, first: int, length: int, *, is_contiguous: bool) -> Iterator[tuple[int, int, int, int]]:
        """(kind, flags, first cluster, length) of what a folder names; of folders with _FOLDER in the kind."""
        parts = self._chain(first, min(length, _MOST_FOLDER), is_contiguous=is_contiguous)
        folder = b"".join(self.known.read(part.start, part.length) or bytes(part.length) for part in parts)
        attributes = 0
        for at in range(0, len(folder) - ENTRY + 1, ENTRY):
            entry = folder[at : at + ENTRY]
            kind, cluster = entry[0], int.from_bytes(entry[20:24], "little")
            size = int.from_bytes(entry[24:32], "little")
            if kind == _FILE:
                attributes = entry[4]
            elif kind == _STREAM and cluster >= FIRST_CLUSTER:
                written = size if attributes & _FOLDER else min(size, int.from_bytes(entry[8:16], "little"))
                yield _FILE | (attributes & _FOLDER) << 8, entry[1], cluster, written
            elif kind in {_BITMAP, _UPCASE} and cluster >= FIRST_CLUSTER:
                yield kind, 0, cluster, size

    def folder_clusters(self) -> Iterator[int]:
        """The bytes at which the clusters of folders begin, the root's first."""
        yield from (part.start for part in self._chain(self.boot.root, 0, is_contiguous=False))
        yield from (start for is_folder, start, _, _ in self.files() if is_folder)

    def files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Files by their clusters, and the first cluster of each folder."""
        waiting, count = [(self.boot.root, 0, False)], 0
        while waiting and count < _MOST_FOLDERS:
            first, length, contiguous = waiting.pop()
            count += 1
            for kind, flags, cluster, size in self._streams(first, length, is_contiguous=contiguous):
                is_contiguous = bool(flags & _CONTIGUOUS)
                if kind == _FILE | _FOLDER << 8:
                    waiting.append((cluster, size, is_contiguous))
                    yield True, self.boot.place(cluster), self.boot.cluster_size, cluster
                elif kind == _FILE and size:
                    parts = self._chain(cluster, size, is_contiguous=is_contiguous)
                    yield from ((False, *part, cluster) for part in parts)
