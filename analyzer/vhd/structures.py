"""The structures of VHD files (Microsoft, Virtual Hard Disk Image Format Specification, version 1.0): bytes, records.

All numbers are big-endian, places in the table of blocks and sector bitmaps included.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from construct import Array, Bytes, Container, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.fields import build

SECTOR = 512
"""Bytes of a logical sector: the format has no others."""
# What Windows makes, and what several readers insist on.
BLOCK = 2 << 20
BITMAP = BLOCK // SECTOR // 8
"""Bytes of a block's sector bitmap, before the block and fills one sector."""
# Microsoft's own limit for VHD: Windows attaches nothing larger.
MAX_SIZE = 2040 << 30
UNUSED = 0xFFFFFFFF
"""Of a BAT entry: the block is not there."""
NOWHERE = 0xFFFFFFFFFFFFFFFF
COOKIE, HEADER_COOKIE = b"conectix", b"cxsparse"
VERSION = 0x00010000
CREATOR = b"win "
"""Readers take the size of a disk from its geometry, which rounds, unless they know the creator as one of Hyper-V's."""
# The specification wants this bit set in every file.
_RESERVED_FEATURE = 2
# As in the algorithm of the specification's appendix, which every writer follows to the letter.
_MAX_HEADS = 16
_LARGEST_BY_GEOMETRY = 65535 * _MAX_HEADS * 255 * SECTOR
"""Beyond it every reader goes by the size."""
_LARGEST_BLOCK = 256 << 20
"""No writer is known to make larger ones than 2 MiB; a number beyond this is no block size but damage."""
_READ_PLATFORMS = (b"W2ku", b"W2ru")
"""Absolute and relative paths of Windows, as UTF-16LE; all other codes are of the years before it."""


class DiskType(IntEnum):
    """What a footer says of the disk."""

    FIXED = 2
    DYNAMIC = 3
    DIFFERENCING = 4


GEOMETRY = Struct("cylinders" / Int16ub, "heads" / Int8ub, "sectors_per_track" / Int8ub)
FOOTER = Struct(
    "cookie" / Bytes(8),
    "features" / Int32ub,
    "file_format_version" / Int32ub,
    "data_offset" / Int64ub,
    "time_stamp" / Int32ub,
    "creator_application" / Bytes(4),
    "creator_version" / Int32ub,
    "creator_host_os" / Bytes(4),
    "original_size" / Int64ub,
    "current_size" / Int64ub,
    "disk_geometry" / GEOMETRY,
    "disk_type" / Int32ub,
    "checksum" / Int32ub,
    "unique_id" / Bytes(16),
    "saved_state" / Int8ub,
    "reserved" / Bytes(427),
)
DYNAMIC_HEADER = Struct(
    "cookie" / Bytes(8),
    "data_offset" / Int64ub,
    "table_offset" / Int64ub,
    "header_version" / Int32ub,
    "max_table_entries" / Int32ub,
    "block_size" / Int32ub,
    "checksum" / Int32ub,
    "parent_unique_id" / Bytes(16),
    "parent_time_stamp" / Int32ub,
    "reserved" / Bytes(4),
    "parent_unicode_name" / Bytes(512),
    "parent_locators" / Bytes(8 * 24),
    "reserved_end" / Bytes(256),
)
_LOCATORS = Array(
    8,
    Struct(
        "platform_code" / Bytes(4),
        "platform_data_space" / Int32ub,
        "platform_data_length" / Int32ub,
        "reserved" / Int32ub,
        "platform_data_offset" / Int64ub,
    ),
)
FOOTER_SIZE, HEADER_SIZE = FOOTER.sizeof(), DYNAMIC_HEADER.sizeof()


def geometry(size: int) -> dict[str, int]:
    """Cylinders, heads and sectors of a disk of `size` bytes ("Appendix: CHS Calculation"): what a BIOS shows of it."""
    total = min(size // SECTOR, 65535 * _MAX_HEADS * 255)
    if total >= 65535 * _MAX_HEADS * 63:
        return _geometry(total, _MAX_HEADS, 255)
    heads = max(4, -(-(total // 17) // 1024))
    if total // 17 < heads * 1024 and heads <= _MAX_HEADS:
        return _geometry(total, heads, 17)
    return _geometry(total, _MAX_HEADS, 31 if total // 31 < _MAX_HEADS * 1024 else 63)


def _geometry(total: int, heads: int, sectors: int) -> dict[str, int]:
    return {"cylinders": total // sectors // heads, "heads": heads, "sectors_per_track": sectors}


def build_footer(disk_type: DiskType, size: int, unique_id: UUID) -> bytes:
    """The footer ("Hard Disk Footer Format"); a dynamic disk has a copy of it at its beginning.

    The time stamp is that of the format's epoch: nothing depends on it but the link to a parent, and there is none.
    """
    return _summed(
        FOOTER,
        cookie=COOKIE,
        features=_RESERVED_FEATURE,
        file_format_version=VERSION,
        data_offset=NOWHERE if disk_type is DiskType.FIXED else FOOTER_SIZE,
        creator_application=CREATOR,
        creator_version=0x000A0000,
        creator_host_os=b"Wi2k",
        original_size=size,
        current_size=size,
        disk_geometry=geometry(size),
        disk_type=disk_type,
        unique_id=unique_id.bytes,
    )


def build_dynamic_header(table_offset: int, entries: int) -> bytes:
    """The header of a dynamic disk ("Dynamic Disk Header Format")."""
    return _summed(
        DYNAMIC_HEADER,
        cookie=HEADER_COOKIE,
        data_offset=NOWHERE,
        table_offset=table_offset,
        header_version=VERSION,
        max_table_entries=entries,
        block_size=BLOCK,
    )


def _summed(layout: Struct, **fields: object) -> bytes:
    return build(layout, **fields, checksum=checksum(build(layout, **fields), 0))


def checksum(data: bytes, stored: int) -> int:
    """The complement of the sum of a structure's bytes; those of the checksum that is `stored` in it do not count."""
    return ~(sum(data) - sum(stored.to_bytes(4, "big"))) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer, or its copy in front of a dynamic disk, field by field; sizes are bytes."""

    data_offset: int
    time_stamp: int
    """Seconds since the beginning of the year 2000, UTC."""
    creator_application: bytes
    current_size: int
    disk_type: DiskType
    unique_id: UUID
    geometry_size: int
    """Bytes that cylinders, heads and sectors multiply to: what readers give out that go by these."""


@dataclass(frozen=True, slots=True)
class DynamicHeader:
    """The header of a dynamic or differencing disk; `parent_paths` as they are in the file, the best first."""

    table_offset: int
    max_table_entries: int
    block_size: int
    parent_unique_id: UUID
    parent_time_stamp: int
    """Of the parent's footer when the child was made; 0 where the writer left it out, as Windows does."""
    parent_name: str
    locators: tuple["Locator", ...]

    @property
    def bitmap_size(self) -> int:
        """Bytes of the sector bitmap in front of each block: whole sectors."""
        return -(-self.block_size // SECTOR // 8 // SECTOR) * SECTOR


@dataclass(frozen=True, slots=True)
class Locator:
    """Where in the file, in bytes, a name of the parent is, of one platform."""

    platform: bytes
    offset: int
    length: int


def parse_footer(data: bytes) -> Footer | None:
    """The footer in 512 bytes; None where they are none that can be believed."""
    if len(data) < FOOTER_SIZE or not data.startswith(COOKIE):
        return None
    fields = FOOTER.parse(data)
    if fields.checksum != checksum(data[:FOOTER_SIZE], fields.checksum) or fields.disk_type not in set(DiskType):
        return None
    chs = fields.disk_geometry
    return Footer(
        fields.data_offset,
        fields.time_stamp,
        bytes(fields.creator_application),
        fields.current_size,
        DiskType(fields.disk_type),
        UUID(bytes=bytes(fields.unique_id)),
        chs.cylinders * chs.heads * chs.sectors_per_track * SECTOR,
    )


def parse_dynamic_header(data: bytes) -> DynamicHeader | None:
    """The header in 1024 bytes; None where they are none that can be believed."""
    if len(data) < HEADER_SIZE or not data.startswith(HEADER_COOKIE):
        return None
    fields = DYNAMIC_HEADER.parse(data)
    if fields.checksum != checksum(data[:HEADER_SIZE], fields.checksum):
        return None
    return DynamicHeader(
        fields.table_offset,
        fields.max_table_entries,
        fields.block_size,
        UUID(bytes=bytes(fields.parent_unique_id)),
        fields.parent_time_stamp,
        _until_zero(bytes(fields.parent_unicode_name), "utf-16-be"),
        tuple(_locators(fields)),
    )


def parent_path(platform: bytes, data: bytes) -> str:
    """A parent's path as a locator of that platform holds it; "" where the platform is one that nothing reads."""
    return _until_zero(data, "utf-16-le") if platform in _READ_PLATFORMS else ""


def _locators(fields: Container) -> Iterator[Locator]:
    for one in _LOCATORS.parse(bytes(fields.parent_locators)):
        if one.platform_data_length:
            yield Locator(bytes(one.platform_code), one.platform_data_offset, one.platform_data_length)


def _until_zero(raw: bytes, encoding: str) -> str:
    # A child may be hostile: what is no text is no path, and a path is shown by whoever shows it.
    return raw[: len(raw) // 2 * 2].decode(encoding, "replace").split("\0", 1)[0]


def check_footer(footer: Footer, at: int) -> Iterator[Finding]:
    """What is wrong with a footer at byte `at` of the file that was parsed: sizes no disk of the format can have."""
    if not footer.current_size or footer.current_size % SECTOR or footer.current_size > MAX_SIZE:
        text = f"the size of the disk is {footer.current_size}, not whole sectors of 512 bytes up to 2040 GiB"
        yield Finding("VHD-04", Severity.ERROR, text, at + 48, 8)
    elif footer.geometry_size < footer.current_size < _LARGEST_BY_GEOMETRY and footer.creator_application != CREATOR:
        short = footer.current_size - footer.geometry_size
        text = f"programs that go by cylinders, heads and sectors leave out the last {short} bytes of the disk"
        yield Finding("VHD-08", Severity.NOTE, text, at + 56, 4)


def check_dynamic_header(header: DynamicHeader, footer: Footer, file_size: int) -> Iterator[Finding]:
    """What is wrong with the header of a dynamic disk that was parsed; `file_size` is bytes."""
    at, size = footer.data_offset, header.block_size
    if size < SECTOR or size & (size - 1) or size > _LARGEST_BLOCK:
        text = f"the block size is {size}, no power of two from 512 bytes to 256 MiB"
        yield Finding("VHD-05", Severity.ERROR, text, at + 32, 4)
    elif header.max_table_entries * size < footer.current_size:
        text = f"{header.max_table_entries} entries of the block table do not cover {footer.current_size} bytes"
        yield Finding("VHD-05", Severity.ERROR, text, at + 28, 4)
    elif header.table_offset < FOOTER_SIZE or header.table_offset >= file_size:
        text = f"the block table is at byte {header.table_offset} of {file_size} bytes"
        yield Finding("VHD-05", Severity.ERROR, text, at + 16, 8)
