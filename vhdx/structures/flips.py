"""Which one flipped bit, or one wrong byte, explains a broken checksum.

CRC-32C is linear: what an error of one byte adds to the checksum depends on the error and on how many bytes follow it,
on nothing else. So the difference between the checksum found and the one computed is taken back byte by byte from the
structure's end; where it shrinks to a single byte, that byte is the error. One pass answers for every position.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from vhdx.structures.fields import CHECKSUM_OFFSET, CHECKSUM_SIZE, crc32c

_POLYNOMIAL = 0x82F63B78
_BYTE = 0xFF


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte put right: it is at `offset` of the structure, is `found` and was `expected`."""

    offset: int
    found: int
    expected: int

    @property
    def bit(self) -> int | None:
        """The bit, 0 to 7, when a single one is wrong."""
        mask = self.found ^ self.expected
        return mask.bit_length() - 1 if mask.bit_count() == 1 else None

    @property
    def what(self) -> str:
        """What happened, in words."""
        if self.bit is None:
            return f"the byte {self.offset} is {self.found:#04x} and was {self.expected:#04x}"
        return f"bit {self.bit} of byte {self.offset} is flipped ({self.found:#04x} for {self.expected:#04x})"

    def fix(self, structure: bytes) -> bytes:
        """The structure with its byte put right."""
        return structure[: self.offset] + bytes([self.expected]) + structure[self.offset + 1 :]


def single_flip(page: bytes, checksum_field_at: int = CHECKSUM_OFFSET) -> Flip | None:
    """The one bit, else the one byte, whose correction makes the checksum of `page` match; None when there is none.

    `checksum_field_at` is where the checksum is; its 4 bytes count as zero in the sum, and may be what is wrong.
    None also for a page that matches, and where several bytes could each be the wrong one. Of pages of 64 KiB with
    random damage 0.4 % look as if one byte were wrong, and 0.01 % as if one bit were.
    """
    end = checksum_field_at + CHECKSUM_SIZE
    stored = int.from_bytes(page[checksum_field_at:end], "little")
    difference = stored ^ crc32c(page[:checksum_field_at] + bytes(CHECKSUM_SIZE) + page[end:])
    if not difference:
        return None
    masks = list(_in_sum(difference, len(page), checksum_field_at))
    wrong = [(index, byte) for index, byte in enumerate(difference.to_bytes(CHECKSUM_SIZE, "little")) if byte]
    if len(wrong) == 1:  # the error may as well be in the checksum field itself
        masks.append((checksum_field_at + wrong[0][0], wrong[0][1]))
    flips = [Flip(offset, page[offset], page[offset] ^ mask) for offset, mask in masks]
    bits = [flip for flip in flips if flip.bit is not None]
    # A bit first: a flipped bit is a common fault, one wrong byte is a rare one that as many damages look like by
    # chance.
    chosen = bits or flips
    return chosen[0] if len(chosen) == 1 else None


def _in_sum(difference: int, length: int, field_at: int) -> Iterator[tuple[int, int]]:
    """Every (offset, error) of one byte that makes this difference in a sum over `length` bytes."""
    table, index_of = _tables()
    for offset in range(length - 1, -1, -1):
        # The register is run backwards a byte at a time: its topmost byte says which table entry was added last. One
        # pass finds the error at every place, where trying all bits takes eight times the length in whole sums.
        index = index_of[difference >> 24]
        difference = (difference ^ table[index]) << 8 | index
        if difference <= _BYTE and not field_at <= offset < field_at + CHECKSUM_SIZE:
            yield offset, difference


@cache
def _tables() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What each byte adds to the register, and which byte added a register's topmost byte."""
    table, index_of = [0] * 256, [0] * 256
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
        table[byte], index_of[register >> 24] = register, byte
    return tuple(table), tuple(index_of)
