"""Another UUID for an ext volume: superblocks, and group descriptors whose checksums begin with it."""

from collections.abc import Iterator

from analyzer.guest.layouts.ext import (
    CHECKSUM,
    INCOMPATIBLE,
    SEED,
    UUID,
    Incompatible,
    ReadOnly,
    crc32c,
    parse_superblock,
)

_SUM = slice(0x1E, 0x20)
_POLYNOMIAL, _START = 0xA001, 0xFFFF


def build_superblock(block: bytes, uuid: bytes, *, seeded: bool) -> bytes:
    """The superblock with another UUID, its checksum right.

    `seeded` keeps what checksums of everything else begin with, which came from the UUID so far, in a field of its own:
    they all stay right, and whoever reads the volume must know the feature.
    """
    built = bytearray(block)
    if seeded:
        features = int.from_bytes(block[INCOMPATIBLE], "little") | Incompatible.CHECKSUM_SEED
        built[INCOMPATIBLE] = features.to_bytes(4, "little")
        built[SEED] = crc32c(block[UUID]).to_bytes(4, "little")
    built[UUID] = uuid
    superblock = parse_superblock(block)
    if superblock and superblock.read_only & ReadOnly.METADATA_CHECKSUM:
        built[CHECKSUM] = crc32c(bytes(built[: CHECKSUM.start])).to_bytes(4, "little")
    return bytes(built)


def build_descriptors(table: bytes, size: int, uuids: tuple[bytes, bytes]) -> bytes | None:
    """Descriptors of `size` bytes with checksums for the second UUID; None where one does not fit the first.

    For volumes whose feature GROUP_CHECKSUM ties each descriptor to the UUID by a CRC-16.
    """
    old, new = map(_crc16, uuids)
    built = bytearray(table)
    for group in range(len(table) // size):
        at = group * size
        content = group.to_bytes(4, "little") + table[at : at + _SUM.start]
        content += table[at + _SUM.stop : at + size]
        place = slice(at + _SUM.start, at + _SUM.stop)
        if table[place] != _crc16(content, old).to_bytes(2, "little"):
            return None
        built[place] = _crc16(content, new).to_bytes(2, "little")
    return bytes(built)


def _crc16(data: bytes, before: int = _START) -> int:
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
