"""The layout of qcow2 version 3 (QEMU, docs/interop/qcow2), as this project writes it."""

from construct import Bytes, Int8ub, Int32ub, Int64ub, Struct

from analyzer.convert.formats.format import Compression

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
SECTOR = 512
REFCOUNT_ORDER = 4
REFCOUNTS_PER_BLOCK = CLUSTER * 8 >> REFCOUNT_ORDER
HEADER_LENGTH = 112
INCOMPATIBLE_COMPRESSION_TYPE = 1 << 3
COMPRESSION_TYPES = {Compression.ZSTD: 1}
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
