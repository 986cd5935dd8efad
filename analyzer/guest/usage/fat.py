"""What a FAT or exFAT volume has in use: the allocation table, or exFAT's bitmap and its folders.

Of FAT both copies of the table are read: where one is lost or empty, the other tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analyzer.guest.layouts import exfat, fat
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.fat import FatBoot
from analyzer.guest.usage.model import PIECE, Contents, Extents, Known, Usage, set_bits
from vhdx.ranges import Column, Range, Ranges, union

_MOST_TABLE = 1 << 28  # that of 2 TiB in clusters of 32 KiB
# The first cluster that is one.
_FIRST = 2
# Bytes of a table that are never zeros: the entries of the two clusters that are none.
_HEAD = 8
_ENDS = {"fat12": 0xFF8, "fat16": 0xFFF8, "fat32": 0x0FFFFFF8}
_LAST_EXFAT = 0xFFFFFFF7  # bad, or the end of a chain, from here on
_ENTRY, _BITMAP, _UPCASE, _FILE, _STREAM = 32, 0x81, 0x82, 0x85, 0xC0
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
    count = min(len(entries), max(0, (boot.sectors - boot.heap) // boot.cluster) + _FIRST)
    used = np.flatnonzero(entries[_FIRST:count])
    ends = np.flatnonzero(entries[_FIRST:count] >= _ENDS[boot.kind])
    heap, size = boot.heap * boot.sector_size, boot.cluster_size
    files = Extents(heap + ends * size, np.full_like(ends, size), ends)
    lost = Ranges.of(Range(piece.at, PIECE) for piece in pieces if piece.one is None and piece.other is None)
    clusters = Ranges.of([Range.between(heap, heap + (count - _FIRST) * size)])
    return Usage(
        extent=extent,
        told=clusters - _clusters_of(lost, boot.kind, heap, size),
        used=Ranges.of([Range(0, heap)]) | Ranges.of_columns(heap + used * size, np.full_like(used, size)),
        filled=Extents.of(_filled_of_fat(boot, pieces)),
        contents=lambda: Contents(files, Extents.of(())),
    )


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


def _clusters_of(lost: Ranges, kind: str, heap: int, size: int) -> Ranges:
    """The clusters of which parts of the table tell that nobody knows."""
    bits = {"fat12": 12, "fat16": 16, "fat32": 32}[kind]
    first, last = lost.start * 8 // bits, -(-lost.end * 8 // bits)
    return Ranges.between(np.maximum(first - _FIRST, 0) * size + heap, np.maximum(last - _FIRST, 0) * size + heap)


def _filled_of_fat(boot: FatBoot, pieces: list[_Piece]) -> Iterator[tuple[int, int, int]]:
    """The boot sector, its copy, the heads of the tables, and what of one copy the other has something in."""
    yield 0, fat.SIZE, 0
    if boot.backup:
        yield boot.backup, fat.SIZE, 0
    first, length = boot.reserved * boot.sector_size, boot.table * boot.sector_size
    last = first + (boot.copies - 1) * length
    yield from ((start, _HEAD, 0) for start in (first, last))
    for piece in pieces:
        if piece.one is None and piece.other and any(piece.other):
            yield first + piece.at, piece.length, 0
        if piece.other is None and piece.one and any(piece.one):
            yield last + piece.at, piece.length, 0


def usage_of_exfat(known: Known, boot: ExfatBoot) -> Usage:
    """What an exFAT volume has in use."""
    return _Exfat(known, boot).usage() if boot.cluster_size else Usage(extent=Range(0, known.size))


@dataclass(frozen=True)
class _Exfat:
    known: Known
    boot: ExfatBoot

    @property
    def _heap(self) -> int:
        return self.boot.heap * self.boot.sector_size

    def _place(self, cluster: int) -> int:
        return self._heap + (cluster - _FIRST) * self.boot.cluster_size

    def usage(self) -> Usage:
        count = max(0, self.known.size - self._heap) // self.boot.cluster_size
        filled = [(0, exfat.SECTORS * self.boot.sector_size, 0), (self.boot.fat * self.boot.sector_size, _HEAD, 0)]
        filled.append((self._place(self.boot.root), self.boot.cluster_size, 0))
        told, used = [], [Ranges.of([Range(0, self._heap)])]
        for kind, _, first, length in self._streams(self.boot.root, 0, is_contiguous=False):
            if kind in {_BITMAP, _UPCASE}:
                filled.append((self._place(first), min(length, self.boot.cluster_size), 0))
            if kind == _BITMAP:
                for at, raw in self.known.pieces(self._place(first), min(length, -(-count // 8), _MOST_TABLE)):
                    if raw:
                        bits = set_bits(raw, at * 8, self.boot.cluster_size, self._heap, count)
                        end = min(at * 8 + 8 * len(raw), count)
                        told.append(Range.between(self._place(at * 8 + _FIRST), self._place(end + _FIRST)))
                        used.append(bits)
        return Usage(
            extent=Range(0, self.known.size),
            told=Ranges.of(told),
            used=union(used),
            filled=Extents.of(filled),
            contents=lambda: Contents.of(self._files()),
        )

    def _chain(self, first: int, length: int, *, is_contiguous: bool) -> Iterator[Range]:
        """The clusters of a file or folder, in bytes; without a length as far as the chain goes."""
        size = self.boot.cluster_size
        if is_contiguous:
            yield Range(self._place(first), length)
            return
        left, cluster, seen = length or _MOST_FOLDER, first, set[int]()
        while left > 0 and cluster >= _FIRST and cluster not in seen and len(seen) < _MOST_FOLDER // size + 1:
            seen.add(cluster)
            yield Range(self._place(cluster), min(size, left))
            left -= size
            raw = self.known.read(self.boot.fat * self.boot.sector_size + 4 * cluster, 4)
            cluster = int.from_bytes(raw, "little") if raw else 0
            cluster = 0 if cluster >= _LAST_EXFAT else cluster

    def _streams(self, first: int, length: int, *, is_contiguous: bool) -> Iterator[tuple[int, int, int, int]]:
        """(kind, flags, first cluster, length) of what a folder names; of folders with _FOLDER in the kind."""
        parts = self._chain(first, min(length, _MOST_FOLDER), is_contiguous=is_contiguous)
        folder = b"".join(self.known.read(part.start, part.length) or bytes(part.length) for part in parts)
        attributes = 0
        for at in range(0, len(folder) - _ENTRY + 1, _ENTRY):
            entry = folder[at : at + _ENTRY]
            kind, cluster = entry[0], int.from_bytes(entry[20:24], "little")
            size = int.from_bytes(entry[24:32], "little")
            if kind == _FILE:
                attributes = entry[4]
            elif kind == _STREAM and cluster >= _FIRST:
                written = size if attributes & _FOLDER else min(size, int.from_bytes(entry[8:16], "little"))
                yield _FILE | (attributes & _FOLDER) << 8, entry[1], cluster, written
            elif kind in {_BITMAP, _UPCASE} and cluster >= _FIRST:
                yield kind, 0, cluster, size

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """Files by their clusters, and the first cluster of each folder."""
        waiting, count = [(self.boot.root, 0, False)], 0
        while waiting and count < _MOST_FOLDERS:
            first, length, contiguous = waiting.pop()
            count += 1
            for kind, flags, cluster, size in self._streams(first, length, is_contiguous=contiguous):
                is_contiguous = bool(flags & _CONTIGUOUS)
                if kind == _FILE | _FOLDER << 8:
                    waiting.append((cluster, size, is_contiguous))
                    yield True, self._place(cluster), self.boot.cluster_size, cluster
                elif kind == _FILE and size:
                    parts = self._chain(cluster, size, is_contiguous=is_contiguous)
                    yield from ((False, *part, cluster) for part in parts)
