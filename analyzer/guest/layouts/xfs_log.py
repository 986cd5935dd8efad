"""The log of an XFS volume: whether it ends with the record of a clean unmount.

"XFS Algorithms & Data Structures", Journaling Log. The log is a ring; each of its sectors begins with the number of the
round in which it was written, so that its head is where that number falls.
"""

import struct
from collections.abc import Callable

from analyzer.guest.layouts.xfs import SECTOR, XfsSuper

_MAGIC = b"\xfe\xed\xba\xbe"
_RECORD = struct.Struct(">4xIII24xI276xI")
_ROUND = struct.Struct(">I")
_OPERATION = struct.Struct(">8xxB2x")
_UNMOUNT = 0x20
# Sectors that one header of a record has the rounds of, and the most that the last record can be long.
_PER_HEADER, _LONGEST = 64, 1024
Read = Callable[[int, int], bytes | None]


def is_clean(superblock: XfsSuper, read: Read) -> bool:
    """Whether the volume was unmounted, and its log is in the volume and says so."""
    start, sectors = superblock.at_block(superblock.log_start), superblock.log_blocks * superblock.block_size // SECTOR
    if not superblock.log_start or not sectors:
        return False
    head = _head(read, start, sectors)
    if head is None:
        return False
    first = max(0, head - _LONGEST)
    raw = read(start + first * SECTOR, (head - first) * SECTOR) or b""
    places = range(len(raw) - SECTOR, -1, -SECTOR)
    last = next((at for at in places if raw.startswith(_MAGIC, at)), None)
    return last is not None and _is_unmount(raw[last:])


def _head(read: Read, start: int, sectors: int) -> int | None:
    """The first sector that was not written in the round of the first one; their number where none was not."""

    def round_of(sector: int) -> int | None:
        raw = read(start + sector * SECTOR, 2 * _ROUND.size)
        return None if raw is None else _ROUND.unpack_from(raw, _ROUND.size * raw.startswith(_MAGIC))[0]

    newest = round_of(0)
    low, high = 0, sectors
    while high - low > 1:
        middle = (low + high) // 2
        found = round_of(middle)
        if found is None:
            return None
        low, high = (middle, high) if found == newest else (low, middle)
    return high


def _is_unmount(record: bytes) -> bool:
    """Whether a record that nothing follows is that of an unmount."""
    if len(record) < _RECORD.size:
        return False
    _, _, length, operations, size = _RECORD.unpack_from(record)
    data = record[SECTOR * max(1, -(-size // (_PER_HEADER * SECTOR))) :]
    is_last = -(-length // SECTOR) * SECTOR == len(data)
    return is_last and operations == 1 and len(data) > 0 and bool(_OPERATION.unpack_from(data)[0] & _UNMOUNT)
