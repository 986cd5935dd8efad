"""What stands at one byte of the disk alone: how a block that holds it is known, whatever lost its entry."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from analyzer.guest.layouts.gpt import Entries, parse_whole_header
from analyzer.guest.layouts.partitions import partitions_of
from analyzer.recover.rebuild.redundant_copies import read_known
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import SECTOR_SIZES

# More partitions than any disk seen; a table made to do harm may have thousands, and each is searched.
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
    sectors = sorted(SECTOR_SIZES, key=lambda size: size != disk.sector_size)
    found = partitions_of(partial(read_known, disk), disk.size, sectors, Entries.AS_FOUND)
    parts = [part for part in found[:_MOST_PARTS] if 0 < part.start < part.end <= disk.size]
    yield from ((part.start, part.end) for part in parts)
    if not parts:
        yield 0, disk.size
