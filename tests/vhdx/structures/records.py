"""Random records of the on-disk structures."""

from uuid import UUID

from hypothesis import strategies as st

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
