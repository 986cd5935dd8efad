"""Checksums as ext has them: CRC-32C without the inversion at its end, and CRC-16 in older group descriptors."""

from collections.abc import Iterator

import google_crc32c

_ALL = 0xFFFFFFFF
_POLYNOMIAL, _START = 0xA001, 0xFFFF


def crc32c(data: bytes, before: int = _ALL) -> int:
    """CRC-32C of `data`, behind what has the checksum `before`."""
    return int(google_crc32c.extend(before ^ _ALL, data)) ^ _ALL


def sums_to(wanted: bytes, data: bytes, before: int = _ALL) -> bool:
    """Whether the CRC-32C of `data` is the one stored, of which `wanted` may be the lower half alone."""
    return crc32c(data, before).to_bytes(4, "little")[: len(wanted)] == wanted


def crc16(data: bytes, before: int = _START) -> int:
    """CRC-16 of `data`, behind what has the checksum `before`."""
    crc = before
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901
        yield value


_TABLE = tuple(_table())
