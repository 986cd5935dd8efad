"""What stands at one byte of the disk alone: how a block that holds it is known, whatever lost its entry."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from analyzer.guest.layouts.gpt import parse_whole_header
from analyzer.guest.layouts.mbr import parse_mbr
from analyzer.guest.layouts.partitions import Part, parts_of_mbr, parts_of_table
from analyzer.recover.rebuild.redundant_copies import primary_gpt, read_known
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import SECTOR_SIZES

_MOST_PARTS = 32


@dataclass(frozen=True, slots=True)
class Sign:
    """`length` bytes at byte `start` of the disk, and whether what stands somewhere can be them."""

    what: str
    start: int
    length: int
    fits: Callable[[bytes], bool]


def sign_fits(source: ByteSource, at: int, sign: Sign) -> bool:
    """Whether a sign stands at byte `at` of a file."""
    try:
        return at + sign.length <= source.size and sign.fits(read_at(source, at, sign.length))
    except VhdxError:  # the medium fails there
        return False


def gpt_signs(disk: Disk) -> Iterator[Sign]:
    """Both headers of a GPT, each of which names its own place and the other's."""
    sector = disk.sector_size
    last = disk.size // sector - 1

    def is_primary(raw: bytes) -> bool:
        gpt = parse_whole_header(raw)
        return gpt is not None and (gpt.here, gpt.other) == (1, last)

    def is_backup(raw: bytes) -> bool:
        gpt = parse_whole_header(raw)
        return gpt is not None and (gpt.here, gpt.other) == (last, 1)

    yield Sign("the primary GPT, which stands in sector 1", sector, sector, is_primary)
    yield Sign("the backup GPT, which stands in the last sector", last * sector, sector, is_backup)


def volumes_of(disk: Disk) -> Iterator[tuple[int, int]]:
    """Where volumes can be, (start, end) in bytes of the disk: in partitions; without a table of these, anywhere."""
    parts = [part for part in islice(_parts(disk), _MOST_PARTS) if 0 < part.start < part.end <= disk.size]
    yield from ((part.start, part.end) for part in parts)
    if not parts:
        yield 0, disk.size


def _parts(disk: Disk) -> Iterator[Part]:
    sector = disk.sector_size
    front = read_known(disk, 0, 2 * max(SECTOR_SIZES))
    gpt = primary_gpt(front) or parse_whole_header(read_known(disk, disk.size - sector, sector))
    table = read_known(disk, gpt.table_start, gpt.table_length) if gpt else b""
    mbr = parse_mbr(front)
    yield from parts_of_table(table, gpt.entry_size, sector) if gpt else ()
    yield from parts_of_mbr(mbr, sector) if mbr else ()
