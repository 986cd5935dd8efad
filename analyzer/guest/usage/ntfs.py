"""What an NTFS volume has in use: $Bitmap, $MFT, and the runs of its records (Linux-NTFS project, documentation)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.layouts import ntfs
from analyzer.guest.layouts.ntfs import NtfsBoot, parse_data, parse_record, runs_of
from analyzer.guest.usage.model import Known, Usage, set_bits, usage_by
from vhdx.ranges import Range, Ranges

# The first records hold the file system's own files and the oldest of the users'.
MOST_RECORDS = 1 << 16
# Bytes of $Bitmap that are read: of a volume of 8 TiB in clusters of 4 KiB.
_MOST_MAP, _MOST_TABLE = 1 << 28, 1 << 62
# 2 MiB is what NTFS has at most; more is a size that no volume of this disk can count with.
_LARGEST_CLUSTER = 1 << 21
_BITMAP, FIRST_FILE, _MIRRORED = 6, 24, 4
_FILLED_PIECE = 1 << 12


@dataclass(frozen=True)
class NtfsUsage:
    """Reads what the volume has in use; it has a boot sector, or a view that shows its copy in its place."""

    known: Known
    boot: NtfsBoot

    @property
    def is_sane(self) -> bool:
        """The boot sector has sizes that can be."""
        boot = self.boot
        return boot.is_sane and boot.has_place_for_records and boot.cluster_size <= _LARGEST_CLUSTER

    def usage(self) -> Usage:
        """What maps, structures and files say; the extent alone where the boot sector cannot be."""
        extent = Range(0, self.known.size)
        if not self.is_sane:
            return Usage(extent=extent)
        return usage_by(extent, self._maps(), self._filled(), self._files)

    def record(self, number: int) -> bytes:
        """One of the first records, by $MFT, else by its mirror; b"" where neither has it."""
        boot = self.boot
        for place in (boot.mft, boot.mirror):
            raw = self.known.read(place * boot.cluster_size + number * boot.record_size, boot.record_size)
            if raw and raw.startswith(ntfs.RECORD_SIGNATURE):
                return raw
        return b""

    def parts_of(self, number: int, most: int) -> Iterator[Range]:
        """What of the volume one of the first files has, as far as it was written."""
        data = parse_data(self.record(number))
        return self.written(data.runs(), min(data.initialized, most)) if data else iter(())

    @cached_property
    def table(self) -> list[Range]:
        """$MFT."""
        return list(self.parts_of(0, _MOST_TABLE))

    def written(self, runs: Iterator[tuple[int, int]], left: int) -> Iterator[Range]:
        """The bytes of the volume that runs have, up to `left` of them."""
        for first, count in runs:
            start, length = first * self.boot.cluster_size, min(count * self.boot.cluster_size, left)
            if length <= 0 or start >= self.known.size:
                return
            yield Range.between(start, min(start + length, self.known.size))
            left -= length

    def _maps(self) -> Iterator[tuple[Range, Ranges]]:
        """What each piece of $Bitmap tells, and what of it is in use."""
        cluster, first = self.boot.cluster_size, 0
        clusters = self.boot.sectors * self.boot.sector_size // cluster
        for part in self.parts_of(_BITMAP, _MOST_MAP):
            for at, raw in self.known.pieces(part.start, part.length):
                bit = (first + at) * 8
                if raw:
                    end = min(bit + 8 * len(raw), clusters) * cluster
                    yield Range.between(bit * cluster, end), set_bits(raw, bit, cluster, 0, clusters)
            first += part.length

    def _filled(self) -> Iterator[tuple[int, int, int]]:
        boot = self.boot
        yield 0, ntfs.SIZE, 0
        if boot.backup and boot.backup + ntfs.SIZE <= self.known.size:
            yield boot.backup, ntfs.SIZE, 0
        for place in (boot.mft, boot.mirror):
            yield place * boot.cluster_size, _MIRRORED * boot.record_size, 0
        for part in self.table:  # in pieces, so many as tell any block of a file that lacks it
            step = max(_FILLED_PIECE, part.length >> 16)
            yield from ((at, _FILLED_PIECE, 0) for at in range(part.start, part.end - _FILLED_PIECE + 1, step))

    def _files(self) -> Iterator[tuple[bool, int, int, int]]:
        """The runs of every record in use, up to a bound; of folders those of their indexes."""
        for number, raw in self._records():
            head = parse_record(raw)
            if number < FIRST_FILE or head is None or not head.is_in_use:
                continue
            for runs in runs_of(raw):
                parts = self.written(runs.runs(), runs.initialized)
                if not runs.is_index:
                    yield from ((False, *part, number) for part in parts)
                elif first := next(parts, None):
                    yield True, first.start, min(first.length, _FILLED_PIECE), number

    def _records(self) -> Iterator[tuple[int, bytes]]:
        size, number = self.boot.record_size, 0
        for part in self.table:
            for at, raw in self.known.pieces(part.start, part.length):
                for start in range(0, len(raw or b"") - size + 1, size):
                    if number + (at + start) // size >= MOST_RECORDS:
                        return
                    if raw:
                        yield number + (at + start) // size, raw[start : start + size]
            number += part.length // size
