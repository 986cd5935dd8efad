"""What one file holds: read when it is asked for, and never twice, whatever the medium does."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from tests.support.catalogue import fixture_of
from tests.support.effort import SAFETY
from tests.support.sources import CountingSource, SparseSource
from vhdx.contents import Structures
from vhdx.errors import InputOutputError
from vhdx.image import image_of
from vhdx.parsed import Parsed
from vhdx.structures.constants import HEADER_OFFSETS, METADATA_REGION, REGION_TABLE_OFFSETS

PARTS = ("identifier", "headers", "log", "replay", "regions", "metadata", "parameters", "locator", "table")


class FailingSource:
    """A source whose medium gives nothing of a range."""

    def __init__(self, source, start, end):
        self._source, self.path, self.size = source, source.path, source.size
        self._start, self._end = start, end
        self.asked = 0

    def read_into(self, offset, buffer):
        if offset < self._end and self._start < offset + len(buffer):
            self.asked += 1
            raise InputOutputError(self.path, "read", "the medium fails", offset)
        self._source.read_into(offset, buffer)


class WaitingSource:
    """A source that gives nothing before it may."""

    def __init__(self, source):
        self._source, self.path, self.size = source, source.path, source.size
        self.asked, self.may = Event(), Event()

    def read_into(self, offset, buffer):
        self.asked.set()
        assert self.may.wait(SAFETY)
        self._source.read_into(offset, buffer)


def source_of(name):
    fixture = fixture_of(name)
    return SparseSource(fixture.files[fixture.leaf])


def kept(structures):
    return {part: getattr(structures, part) for part in PARTS}


@pytest.mark.parametrize("name", ["demo", "log-live", "fixed"])
def test_each_structure_is_read_once_and_opening_takes_the_very_same(name):
    source = CountingSource(source_of(name))
    structures = Structures(source)
    first, reads = kept(structures), len(source.reads)
    assert all(part is first[name] for name, part in kept(structures).items())
    image = image_of(structures)
    assert len(source.reads) == reads
    assert image.headers is structures.headers.value
    assert image.table is structures.table.value


def test_opening_reads_nothing_behind_the_first_structure_that_is_broken():
    source = CountingSource(FailingSource(source_of("demo"), HEADER_OFFSETS[0], HEADER_OFFSETS[1]))
    with pytest.raises(InputOutputError):
        image_of(Structures(source))
    assert max(offset for offset, length in source.reads if length > 512) <= HEADER_OFFSETS[1]


def test_what_a_medium_does_not_give_is_not_asked_for_again_and_the_rest_is_read():
    source = FailingSource(source_of("demo"), REGION_TABLE_OFFSETS[1], REGION_TABLE_OFFSETS[1] + 1)
    structures = Structures(source)
    held = kept(structures)
    assert isinstance(held["regions"].error, InputOutputError)
    assert held["metadata"].error is held["regions"].error
    assert all(part.error is None for name, part in held.items() if name not in {"regions", "metadata"})
    assert held["parameters"] == held["locator"] == held["table"] == Parsed()
    with pytest.raises(InputOutputError):
        image_of(structures)
    assert source.asked == 1


def test_parameters_that_cannot_be_read_leave_the_locator_to_be_read():
    source = source_of("demo")
    sound = Structures(source)
    at = sound.region(METADATA_REGION).file_offset
    entry = sound.metadata.value.entries[0]
    structures = Structures(FailingSource(source, at + entry.offset, at + entry.offset + entry.length))
    assert isinstance(structures.parameters.error, InputOutputError)
    assert structures.has_parent is None
    assert structures.locator.value == sound.locator.value


def test_a_file_whose_medium_is_slow_keeps_no_other_file_waiting():
    slow = WaitingSource(source_of("demo"))
    thread = Thread(target=lambda: Structures(slow).headers)
    thread.start()
    assert slow.asked.wait(SAFETY)
    read = Thread(target=lambda: Structures(source_of("demo")).headers, daemon=True)
    read.start()
    read.join(SAFETY / 10)
    is_stuck = read.is_alive()
    slow.may.set()
    thread.join()
    assert not is_stuck


def test_threads_that_ask_for_the_structures_of_one_file_read_them_once():
    source = CountingSource(source_of("demo"))
    structures = Structures(source)
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(lambda _number: structures.table, range(8)))
    assert all(table is tables[0] for table in tables)
    assert len(source.reads) == len(set(source.reads))
