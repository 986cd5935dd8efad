"""Checksums as ext has them: CRC-32C without the inversion at its end."""

import google_crc32c

_ALL = 0xFFFFFFFF


def crc32c(data: bytes, before: int = _ALL) -> int:
    """CRC-32C of `data`, behind what has the checksum `before`."""
    return int(google_crc32c.extend(before ^ _ALL, data)) ^ _ALL


def sums_to(wanted: bytes, data: bytes, before: int = _ALL) -> bool:
    """Whether the CRC-32C of `data` is the one stored, of which `wanted` may be the lower half alone."""
    return crc32c(data, before).to_bytes(4, "little")[: len(wanted)] == wanted
