"""What stands at one byte of the disk alone: how a block that holds it is known, whatever lost its entry."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analyzer.salvage.volumes import parse_gpt, primary_gpt, read_known
from vhdx.disk import Disk

_PARTITION = struct.Struct("<16s16sQQ")
_MOST_PARTS = 32


@dataclass(frozen=True, slots=True)
class Sign:
    """`length` bytes at byte `start` of the disk, and whether what stands somewhere can be them."""

    what: str
    start: int
    length: int
    fits: Callable[[bytes], bool]


def gpt_signs(disk: Disk) -> Iterator[Sign]:
    """Both headers of a GPT, each of which names its own place and the other's."""
    sector = disk.sector_size
    last = disk.size // sector - 1

    def is_primary(raw: bytes) -> bool:
        gpt = parse_gpt(raw, sector)
        return gpt is not None and (gpt.here, gpt.other) == (1, last)

    def is_backup(raw: bytes) -> bool:
        gpt = parse_gpt(raw, sector)
        return gpt is not None and (gpt.here, gpt.other) == (last, 1)

    yield Sign("the primary GPT, which stands in sector 1", sector, sector, is_primary)
    yield Sign("the backup GPT, which stands in the last sector", last * sector, sector, is_backup)


def volumes_of(disk: Disk) -> Iterator[tuple[int, int]]:
    """Where volumes can be, (start, end) in bytes of the disk: all of it, and the partitions of a GPT that stands."""
    yield 0, disk.size
    sector = disk.sector_size
    gpt = primary_gpt(read_known(disk, 0, 2 * 4096)) or parse_gpt(read_known(disk, disk.size - sector, sector), sector)
    table = read_known(disk, gpt.table * sector, gpt.count * gpt.entry_size) if gpt else b""
    for at in range(0, len(table), gpt.entry_size if gpt else 1)[:_MOST_PARTS]:
        kind, _, first, last = _PARTITION.unpack_from(table, at)
        if any(kind) and 0 < first <= last < disk.size // sector:
            yield first * sector, (last + 1) * sector
