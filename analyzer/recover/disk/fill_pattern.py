"""What stands in a sector that is lost, where zeros could pass for data."""

import numpy as np

_WORDS = b"vhdx recover: this sector is lost; it stands at byte 0x"
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
# A 64-bit place in hexadecimal: of one width, so that every sector of the pattern is made by the same table.
_WIDTH = 16


def pattern(start: int, length: int, sector: int) -> bytes:
    """`length` bytes of the disk from `start`, as if all were lost: in each sector its own place, in hex."""
    first, last = start // sector, -(-(start + length) // sector)
    page = np.frombuffer((_WORDS + b"0" * _WIDTH).ljust(sector - 1, b".") + b"\n", dtype=np.uint8)
    sectors = np.tile(page, (last - first, 1))
    places = np.arange(first, last, dtype=np.int64) * sector
    for digit in range(_WIDTH):
        shift = 4 * (_WIDTH - 1 - digit)
        sectors[:, len(_WORDS) + digit] = _DIGITS[places >> shift & 15]
    skipped = start - first * sector
    return sectors.tobytes()[skipped : skipped + length]
