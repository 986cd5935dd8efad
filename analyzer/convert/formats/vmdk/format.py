"""The layout of streamOptimized VMDK (VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents", "Stream-Optimized")."""

from enum import IntEnum

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

SECTOR = 512
# The grain that VMware writes; readers of streamOptimized files expect it.
GRAIN = 64 << 10
ENTRIES = 512
"""Of a grain table."""
TABLE_RANGE = ENTRIES * GRAIN
"""Bytes of the disk that one grain table maps."""
DESCRIPTOR_SECTORS = 20
OVERHEAD_SECTORS = 128
"""Before the first grain: header, descriptor, and room to the next grain."""
GD_AT_END = 0xFFFFFFFFFFFFFFFF
"""Of the header: the footer, which is a second header, has the place of the grain directory."""
MAX_FILE = 2 << 40
"""Grain tables count sectors in 32 bits."""
FLAGS = 1 | 1 << 16 | 1 << 17
"""The newline test is valid; grains are compressed; there are markers."""
_DEFLATE = 1

HEADER = Struct(
    "magic_number" / Bytes(4),
    "version" / Int32ul,
    "flags" / Int32ul,
    "capacity" / Int64ul,
    "grain_size" / Int64ul,
    "descriptor_offset" / Int64ul,
    "descriptor_size" / Int64ul,
    "num_gtes_per_gt" / Int32ul,
    "rgd_offset" / Int64ul,
    "gd_offset" / Int64ul,
    "overhead" / Int64ul,
    "unclean_shutdown" / Int8ul,
    "newline_test" / Bytes(4),
    "compress_algorithm" / Int16ul,
    "padding" / Bytes(433),
)
GRAIN_MARKER = Struct("lba" / Int64ul, "size" / Int32ul)
METADATA_MARKER = Struct("num_sectors" / Int64ul, "size" / Int32ul, "type" / Int32ul, "padding" / Bytes(496))


class Marker(IntEnum):
    """What follows a metadata marker."""

    END_OF_STREAM = 0
    GRAIN_TABLE = 1
    GRAIN_DIRECTORY = 2
    FOOTER = 3


def header(size: int, gd_offset: int) -> bytes:
    """The header, or with a `gd_offset` in sectors the footer, of a disk of `size` bytes."""
    fields = {
        "magic_number": b"KDMV",
        "version": 3,
        "flags": FLAGS,
        "capacity": size // SECTOR,
        "grain_size": GRAIN // SECTOR,
        "descriptor_offset": 1,
        "descriptor_size": DESCRIPTOR_SECTORS,
        "num_gtes_per_gt": ENTRIES,
        "rgd_offset": 0,
        "gd_offset": gd_offset,
        "overhead": OVERHEAD_SECTORS,
        "unclean_shutdown": 0,
        "newline_test": b"\n \r\n",
        "compress_algorithm": _DEFLATE,
        "padding": bytes(433),
    }
    return bytes(HEADER.build(fields))


def marker(kind: Marker, length: int) -> bytes:
    """The sector before a structure of `length` bytes."""
    fields = {"num_sectors": length // SECTOR, "size": 0, "type": kind, "padding": bytes(496)}
    return bytes(METADATA_MARKER.build(fields))


def extent_name(file_name: str) -> str:
    """What the descriptor calls the file itself: some readers look for that name. One that all take, if need be."""
    plain = file_name.isascii() and file_name.isprintable() and not set(file_name) & set('"/\\')
    return file_name if plain else "generated-stream.vmdk"


def descriptor(size: int, content_id: int, extent: str) -> bytes:
    """The text that describes the file ("Text Descriptor"); `extent` names the file itself."""
    heads, sectors = 255, 63
    cylinders = min(65535, size // SECTOR // heads // sectors)
    text = f"""# Disk DescriptorFile
version=1
CID={content_id:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {size // SECTOR} SPARSE "{extent}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{heads}"
ddb.geometry.sectors = "{sectors}"
ddb.virtualHWVersion = "4"
"""
    return text.encode("ascii").ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")
