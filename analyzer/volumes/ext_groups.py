"""The group descriptors of an ext volume whose feature GROUP_CHECKSUM ties each to the volume's UUID by a CRC-16."""

from collections.abc import Iterator

_CHECKSUM = slice(0x1E, 0x20)
_POLYNOMIAL, _START = 0xA001, 0xFFFF


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901
        yield value


_TABLE = tuple(_table())


def build_descriptors(table: bytes, size: int, uuids: tuple[bytes, bytes]) -> bytes | None:
    """Descriptors of `size` bytes with checksums for the second UUID; None where one does not fit the first."""
    old, new = (_crc16(_START, uuid) for uuid in uuids)
    built = bytearray(table)
    for group in range(len(table) // size):
        at = group * size
        content = group.to_bytes(4, "little") + table[at : at + _CHECKSUM.start]
        content += table[at + _CHECKSUM.stop : at + size]
        if table[at + _CHECKSUM.start : at + _CHECKSUM.stop] != _crc16(old, content).to_bytes(2, "little"):
            return None
        built[at + _CHECKSUM.start : at + _CHECKSUM.stop] = _crc16(new, content).to_bytes(2, "little")
    return bytes(built)


def _crc16(crc: int, data: bytes) -> int:
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
