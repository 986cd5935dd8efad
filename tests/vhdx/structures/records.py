"""Random records of the on-disk structures."""

import struct
from uuid import UUID

from hypothesis import strategies as st

from vhdx.structures.fields import with_checksum
from vhdx.structures.header import Header
from vhdx.structures.log import LogHeader
from vhdx.structures.metadata import MetadataEntry, MetadataTable
from vhdx.structures.region import RegionEntry, RegionTable

u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
guids = st.uuids() | st.just(UUID(int=0))


def raw(size):
    return st.binary(min_size=size, max_size=size)


headers = st.builds(Header, raw(4), u32, u64, guids, guids, guids, u16, u16, u32, u64)
log_headers = st.builds(LogHeader, raw(4), u32, u32, u32, u64, u32, u32, guids, u64, u64)
region_entries = st.lists(st.builds(RegionEntry, guids, u64, u32, u32), max_size=5).map(tuple)
metadata_entries = st.lists(st.builds(MetadataEntry, guids, u32, u32, u32, u32), max_size=5).map(tuple)


@st.composite
def region_tables(draw):
    entries = draw(region_entries)
    return RegionTable(b"regi", 0, len(entries), draw(u32), entries)


@st.composite
def metadata_tables(draw):
    entries = draw(metadata_entries)
    return MetadataTable(b"metadata", draw(u16), len(entries), draw(raw(20)), entries)


def codes(findings):
    """The codes of findings, in order."""
    return [finding.code for finding in findings]


def build_entry(header, writes):
    """The log entry that does these writes: counts, lengths and checksum are made right, the rest is the header's."""
    sequence = header.sequence_number
    descriptors = b"".join(_descriptor(write, sequence) for write in writes)
    sectors = b"".join(
        struct.pack("<4sI4084sI", b"data", sequence >> 32, write.data[8:-4], sequence & 0xFFFFFFFF)
        for write in writes
        if write.data is not None
    )
    area = -(-(64 + len(descriptors)) // 4096) * 4096
    numbers = area + len(sectors), header.tail, sequence, len(writes), header.reserved
    offsets = header.flushed_file_offset, header.last_file_offset
    head = struct.pack("<4sIIIQII16sQQ", header.signature, 0, *numbers, header.log_guid.bytes_le, *offsets)
    return with_checksum((head + descriptors).ljust(area, b"\0") + sectors)


def _descriptor(write, sequence):
    if write.data is None:
        return struct.pack("<4sIQQQ", b"zero", 0, write.length, write.file_offset, sequence)
    return struct.pack("<4s4s8sQQ", b"desc", write.data[-4:], write.data[:8], write.file_offset, sequence)
