"""The boot region of an exFAT volume (Microsoft's specification, 3): twelve sectors, and their copy behind them."""

from dataclasses import dataclass

SIGNATURE = b"EXFAT   "
SIGNATURE_AT = 3
SERIAL = slice(0x64, 0x68)
SECTORS = 12
"""Sectors of a boot region; the last holds the checksum of the others, again and again."""
_SHIFT_AT, _SHIFTS = 108, range(9, 13)
_VOLATILE = (106, 107, 112)
"""Bytes that change while the volume is used: flags, and the percentage in use. The copy does not follow."""


@dataclass(frozen=True, slots=True)
class ExfatBoot:
    """What a boot sector says; `region` is the bytes of one boot region, None when that cannot be right."""

    serial: bytes
    region: int | None


def parse_boot(sector: bytes) -> ExfatBoot | None:
    """What the first sector of a volume says; None where it is not exFAT."""
    if len(sector) <= _VOLATILE[-1] or not sector.startswith(SIGNATURE, SIGNATURE_AT):
        return None
    shift = sector[_SHIFT_AT]
    return ExfatBoot(sector[SERIAL], SECTORS << shift if shift in _SHIFTS else None)


def lasting(region: bytes) -> bytes:
    """A boot region without what the first copy alone keeps up to date."""
    kept = bytearray(region)
    for at in _VOLATILE:
        kept[at] = 0
    return bytes(kept)


def holds(region: bytes) -> bool:
    """Whether the region's checksum is that of its other sectors."""
    body = _body(region)
    return region[body:] == _checksum_sector(region[:body])


def build_region(region: bytes, serial: bytes) -> bytes:
    """The region with another serial number and the checksum for it."""
    built = bytearray(region[: _body(region)])
    built[SERIAL] = serial
    return bytes(built) + _checksum_sector(bytes(built))


def _body(region: bytes) -> int:
    return len(region) // SECTORS * (SECTORS - 1)


def _checksum_sector(body: bytes) -> bytes:
    checksum = 0
    for at, byte in enumerate(body):
        if at not in _VOLATILE:
            checksum = ((checksum >> 1 | checksum << 31) + byte) & 0xFFFFFFFF
    return checksum.to_bytes(4, "little") * (len(body) // (SECTORS - 1) // 4)
