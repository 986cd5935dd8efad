"""Where the volumes of a disk stand, as its partition tables tell."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from analyzer.guest.layouts.gpt import parse_entries
from analyzer.guest.layouts.mbr import SIZE, Mbr, MbrEntry, parse_logical

Read = Callable[[int, int], bytes]
"""Bytes of a disk by start and length, fewer where it ends before or cannot tell."""
_MOST_LOGICAL = 128
"""Records of logical partitions that are followed."""


class Part(NamedTuple):
    """A partition, or the whole disk: bytes of the disk from `start` to `end`."""

    start: int
    end: int


def parts_of_table(table: bytes, entry_size: int, sector: int) -> Iterator[Part]:
    """The partitions of a GPT's entries."""
    for entry in parse_entries(table, entry_size):
        if entry.first <= entry.last:
            yield Part(entry.first * sector, (entry.last + 1) * sector)


def parts_of_mbr(mbr: Mbr, sector: int) -> list[Part]:
    """The primary partitions of a master boot record."""
    return [_part(entry, 0, sector) for entry in mbr.entries if entry.is_partition]


def logical_parts(mbr: Mbr, sector: int, read: Read) -> Iterator[Part]:
    """The logical partitions: each record names one volume and the next record, by sectors from the first."""
    for box in mbr.entries:
        at, seen = box.first if box.is_extended else 0, set[int]()
        while at and at not in seen and len(seen) < _MOST_LOGICAL:
            seen.add(at)
            volume, following = parse_logical(read(at * sector, SIZE))
            if volume:
                yield _part(volume, at, sector)
            at = box.first + following.first if following else 0


def _part(entry: MbrEntry, base: int, sector: int) -> Part:
    first = base + entry.first
    return Part(first * sector, (first + entry.sectors) * sector)
