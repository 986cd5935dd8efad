"""The layout of qcow2 version 3 (QEMU, docs/interop/qcow2), as this project writes it."""

from dataclasses import dataclass

from construct import Bytes, Int8ub, Int32ub, Int64ub, Struct

from analyzer.convert.cells import CELL
from analyzer.convert.formats.codecs import require_zstd
from analyzer.convert.model import Compression, ImageRequest
from vhdx.errors import OutputError
from vhdx.structures.fields import build

# qemu-img's default, 64 KiB. Smaller clusters make larger tables, larger ones waste space in sparse disks.
CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
L2_ENTRIES = CLUSTER // 8
L2_RANGE = L2_ENTRIES * CLUSTER
"""Bytes of the disk that one L2 table maps."""
WINDOW_BITS = 12
"""Readers unpack with a window of 4 KiB, whatever the cluster."""
COPIED = 1 << 63
"""Of L1 and standard L2 entries: the refcount is exactly one."""
COMPRESSED = 1 << 62
OFFSET_MASK = (1 << 56) - (1 << 9)
"""Of L1 and standard L2 entries: the host offset."""
SECTORS_SHIFT = 62 - (CLUSTER_BITS - 8)
"""Of a compressed cluster's descriptor: below are the host offset, above how many more sectors of 512 it touches."""
# 16 bits for each count, which is all that version 2 knew and what every reader takes.
REFCOUNT_ORDER = 4
REFCOUNTS_PER_BLOCK = CLUSTER * 8 >> REFCOUNT_ORDER
INCOMPATIBLE_COMPRESSION_TYPE = 1 << 3
ZSTD_COMPRESSION = 1
MAX_L1_BYTES = 32 << 20

HEADER = Struct(
    "magic" / Bytes(4),
    "version" / Int32ub,
    "backing_file_offset" / Int64ub,
    "backing_file_size" / Int32ub,
    "cluster_bits" / Int32ub,
    "size" / Int64ub,
    "crypt_method" / Int32ub,
    "l1_size" / Int32ub,
    "l1_table_offset" / Int64ub,
    "refcount_table_offset" / Int64ub,
    "refcount_table_clusters" / Int32ub,
    "nb_snapshots" / Int32ub,
    "snapshots_offset" / Int64ub,
    "incompatible_features" / Int64ub,
    "compatible_features" / Int64ub,
    "autoclear_features" / Int64ub,
    "refcount_order" / Int32ub,
    "header_length" / Int32ub,
    "compression_type" / Int8ub,
    "padding" / Bytes(7),
)


@dataclass(frozen=True, slots=True)
class Qcow2Layout:
    """A qcow2 image to be; sizes are bytes."""

    size: int
    compression: Compression
    data_bytes: int

    @property
    def l1_size(self) -> int:
        """Entries of the L1 table."""
        return max(1, -(-self.size // L2_RANGE))

    @property
    def first_free(self) -> int:
        """Where clusters of the disk begin: behind header and L1 table."""
        return CLUSTER + -(-self.l1_size * 8 // CLUSTER) * CLUSTER

    @property
    def needed_bytes(self) -> int:
        """Everything, when nothing shrinks."""
        held = self.first_free + self.data_bytes + min(self.l1_size, self.data_bytes // CELL) * CLUSTER
        blocks = -(-held // CLUSTER // REFCOUNTS_PER_BLOCK) + 1
        return held + blocks * CLUSTER + (blocks * 8 // CLUSTER + 1) * CLUSTER

    def header(self, refcount_table: int, refcount_clusters: int) -> bytes:
        """The header, once the place of the refcount table is known."""
        is_zstd = self.compression is Compression.ZSTD
        return build(
            HEADER,
            magic=b"QFI\xfb",
            version=3,
            cluster_bits=CLUSTER_BITS,
            size=self.size,
            l1_size=self.l1_size,
            l1_table_offset=CLUSTER,
            refcount_table_offset=refcount_table,
            refcount_table_clusters=refcount_clusters,
            incompatible_features=INCOMPATIBLE_COMPRESSION_TYPE if is_zstd else 0,
            refcount_order=REFCOUNT_ORDER,
            header_length=HEADER.sizeof(),
            compression_type=ZSTD_COMPRESSION if is_zstd else 0,
        )


def plan(request: ImageRequest, data_bytes: int) -> Qcow2Layout:
    """What is going to be written; raises OutputError."""
    size, compression = request.like.size, request.options.compression
    if compression is Compression.ZSTD:
        require_zstd(request.target)
    layout = Qcow2Layout(size, compression, data_bytes)
    if layout.l1_size * 8 > MAX_L1_BYTES:
        raise OutputError(request.target, f"no qcow2 of 64 KiB clusters holds {size} bytes", "write a VHDX")
    return layout
