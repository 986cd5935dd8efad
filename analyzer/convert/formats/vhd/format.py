"""The layout of VHD files (Microsoft, Virtual Hard Disk Image Format Specification, version 1.0)."""

from uuid import UUID

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct

from analyzer.convert.formats.format import SECTOR, build

# What Windows makes, and what several readers insist on.
BLOCK = 2 << 20
BITMAP = BLOCK // SECTOR // 8
"""Bytes of a block's sector bitmap, before the block and fills one sector."""
# Microsoft's own limit for VHD: Windows attaches nothing larger.
MAX_SIZE = 2040 << 30
UNUSED = 0xFFFFFFFF
"""Of a BAT entry: the block is not there."""
NOWHERE = 0xFFFFFFFFFFFFFFFF
FIXED, DYNAMIC = 2, 3
VERSION = 0x00010000
CREATOR = b"win "
"""Readers take the size of a disk from its geometry, which rounds, unless they know the creator as one of Hyper-V's."""
# The specification wants this bit set in every file.
_RESERVED_FEATURE = 2
# As in the algorithm of the specification's appendix, which every writer follows to the letter.
_MAX_HEADS = 16

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
    "parent" / Bytes(728),
    "reserved" / Bytes(256),
)


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


def footer(disk_type: int, size: int, unique_id: UUID) -> bytes:
    """The footer ("Hard Disk Footer Format"); a dynamic disk has a copy of it at its beginning.

    The time stamp is that of the format's epoch: nothing depends on it but the link to a parent, and there is none.
    """
    return _summed(
        FOOTER,
        cookie=b"conectix",
        features=_RESERVED_FEATURE,
        file_format_version=VERSION,
        data_offset=SECTOR if disk_type == DYNAMIC else NOWHERE,
        creator_application=CREATOR,
        creator_version=0x000A0000,
        creator_host_os=b"Wi2k",
        original_size=size,
        current_size=size,
        disk_geometry=geometry(size),
        disk_type=disk_type,
        unique_id=unique_id.bytes,
    )


def dynamic_header(table_offset: int, entries: int) -> bytes:
    """The header of a dynamic disk ("Dynamic Disk Header Format")."""
    return _summed(
        DYNAMIC_HEADER,
        cookie=b"cxsparse",
        data_offset=NOWHERE,
        table_offset=table_offset,
        header_version=VERSION,
        max_table_entries=entries,
        block_size=BLOCK,
    )


def _summed(layout: Struct, **fields: object) -> bytes:
    """A structure with its checksum: the complement of the sum of its bytes, the checksum's own left out."""
    return build(layout, **fields, checksum=~sum(build(layout, **fields)) & 0xFFFFFFFF)
