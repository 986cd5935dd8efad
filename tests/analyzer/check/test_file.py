"""A check of a file whose medium fails in places: it says so once, and goes on with what is behind."""

from collections import Counter

import pytest

from analyzer.check.file import check_structures
from tests.support.catalogue import fixture_of
from tests.support.sources import SparseSource
from vhdx.contents import Structures
from vhdx.errors import InputOutputError
from vhdx.structures.constants import HEADER_OFFSETS, REGION_TABLE_OFFSETS


class FailingSource:
    """A source whose medium gives nothing of one byte."""

    def __init__(self, source, byte):
        self._source, self._byte, self.path, self.size = source, byte, source.path, source.size

    def read_into(self, offset, buffer):
        if offset <= self._byte < offset + len(buffer):
            raise InputOutputError(self.path, "read", "the medium fails", offset)
        self._source.read_into(offset, buffer)


def codes(source):
    return Counter(finding.code for finding in check_structures(Structures(source)))


@pytest.fixture
def source():
    fixture = fixture_of("demo")
    return SparseSource(fixture.files[fixture.leaf])


def test_a_structure_that_cannot_be_read_is_one_finding_and_all_behind_it_is_looked_at(source):
    whole = codes(source)
    place = Structures(source).table.value.bat_offset
    for byte in (0, *HEADER_OFFSETS, HEADER_OFFSETS[0] + 8192, *REGION_TABLE_OFFSETS, place):
        found = codes(FailingSource(source, byte))
        assert found["FID-11"] == 1, byte
        assert found.keys() - {"FID-11"} <= whole.keys(), byte
    assert codes(FailingSource(source, HEADER_OFFSETS[0]))["LOC-12"] == whole["LOC-12"]
    assert codes(FailingSource(source, HEADER_OFFSETS[0] + 8192))["LOC-12"] == whole["LOC-12"] > 0
