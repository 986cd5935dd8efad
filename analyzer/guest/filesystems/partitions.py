"""Where the volumes of a disk are: GPT, MBR with logical partitions, or the whole disk."""

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.guest.filesystems.volume_reader import Readable, View
from analyzer.guest.layouts.gpt import GptHeader, parse_entries, parse_whole_header
from analyzer.guest.layouts.mbr import SIZE, parse_mbr
from analyzer.guest.layouts.partitions import logical_parts, parts_of_mbr
from vhdx.structures.constants import SECTOR_SIZES

_MOST_PARTS = 256


@dataclass(frozen=True, slots=True)
class Part:
    """A partition: bytes of the disk, its name as the table has it, and which table."""

    start: int
    length: int
    name: str
    table: str


def parts_of(disk: Readable) -> list[Part]:
    """The partitions, by place; the whole disk where there is no partition table."""
    view = View(disk, 0, disk.size)
    found = _gpt_parts(view) or list(_mbr_parts(view))
    inside = sorted((part for part in found if part.length > 0 and part.start < disk.size), key=lambda part: part.start)
    return inside[:_MOST_PARTS] or [Part(0, disk.size, "", "none")]


def _gpt_parts(view: View) -> list[Part]:
    """The partitions of the first GPT that is whole, the primary or the backup at the disk's end."""
    for sector in SECTOR_SIZES:
        for at in (sector, view.size // sector * sector - sector):
            gpt = parse_whole_header(view.read(at, sector)) if at > 0 else None
            if gpt and gpt.here * sector == at:
                parts = list(_entries_of(view, gpt))
                if parts:
                    return parts
    return []


def _entries_of(view: View, gpt: GptHeader) -> Iterator[Part]:
    table, sector = view.read(gpt.table_start, gpt.table_length), gpt.sector_size
    for entry in parse_entries(table, gpt.entry_size) if gpt.fits(table) else ():
        if entry.first <= entry.last:
            yield Part(entry.first * sector, (entry.last - entry.first + 1) * sector, entry.name, "gpt")


def _mbr_parts(view: View) -> Iterator[Part]:
    mbr, sector = parse_mbr(view.read(0, SIZE)), view.disk.sector_size
    if mbr is None:
        return
    for start, end in (*parts_of_mbr(mbr, sector), *logical_parts(mbr, sector, view.read)):
        yield Part(start, end - start, "", "mbr")
