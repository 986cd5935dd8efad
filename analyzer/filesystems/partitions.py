"""Where the volumes of a disk are: GPT, MBR with logical partitions, or the whole disk."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.filesystems.view import Readable, View
from analyzer.salvage.volumes import Gpt, parse_gpt

_MBR_ENTRY = struct.Struct("<B3sB3sII")
_PROTECTIVE, _EXTENDED = 0xEE, {0x05, 0x0F, 0x85}
_MOST_PARTS = 256
_SECTORS = (512, 4096)
_BOOT_MARK = b"\x55\xaa"
_BOOT_SIZE, _TABLE_AT, _MARK_AT = 512, 446, 510


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
    for sector in _SECTORS:
        for at in (sector, view.size // sector * sector - sector):
            gpt = parse_gpt(view.read(at, sector), sector) if at > 0 else None
            if gpt and gpt.here * sector == at:
                parts = list(_gpt_entries(view, gpt))
                if parts:
                    return parts
    return []


def _gpt_entries(view: View, gpt: Gpt) -> Iterator[Part]:
    table = view.read(gpt.table * gpt.sector_size, gpt.count * gpt.entry_size)
    if zlib.crc32(table) != gpt.table_crc:
        return
    for at in range(0, len(table), gpt.entry_size):
        first, last = struct.unpack_from("<QQ", table, at + 32)
        if any(table[at : at + 16]) and first <= last:
            name = table[at + 56 : at + 128].decode("utf-16-le", "replace").split("\0")[0]
            yield Part(first * gpt.sector_size, (last - first + 1) * gpt.sector_size, name, "gpt")


def _mbr_parts(view: View) -> Iterator[Part]:
    front, sector = view.read(0, _BOOT_SIZE), view.disk.sector_size
    if front[_MARK_AT:] != _BOOT_MARK or _is_boot_sector(front):
        return
    entries = _entries(front)
    if any(status & 0x7F for status, *_ in entries):
        return
    for _, kind, first, count in entries:
        if kind in _EXTENDED:
            yield from _logical_parts(view, first, sector)
        elif kind not in {0, _PROTECTIVE} and count:
            yield Part(first * sector, count * sector, "", "mbr")


def _is_boot_sector(front: bytes) -> bool:
    """Whether a file system begins here: its boot sector has code where an MBR has its table."""
    jumps = front[:1] in {b"\xeb", b"\xe9"}
    names_itself = front[3:11] in {b"NTFS    ", b"EXFAT   "} or b"FAT" in {front[54:57], front[82:85]}
    return jumps and names_itself


def _entries(sector: bytes) -> list[tuple[int, int, int, int]]:
    """(status, type, first sector, sectors) of the four entries."""
    entries = (_MBR_ENTRY.unpack_from(sector, _TABLE_AT + 16 * index) for index in range(4))
    return [(status, kind, first, count) for status, _, kind, _, first, count in entries]


def _logical_parts(view: View, extended: int, sector: int) -> Iterator[Part]:
    """The partitions inside an extended one: a list of tables, each naming the next; a loop ends it."""
    at, seen = extended, set[int]()
    while at not in seen and len(seen) < _MOST_PARTS:
        seen.add(at)
        table = view.read(at * sector, _BOOT_SIZE)
        if table[_MARK_AT:] != _BOOT_MARK:
            return
        entries = _entries(table)
        for _, kind, first, count in entries:
            if kind not in {0, *_EXTENDED} and count:
                yield Part((at + first) * sector, count * sector, "", "mbr")
        at = next((extended + first for _, kind, first, count in entries if kind in _EXTENDED and count), at)
