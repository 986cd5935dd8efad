"""What a disk itself holds: read step by step, and all at once."""

import pytest

from analyzer.recover.rebuild.signatures import read_known, read_known_steps
from tests.support.catalogue import fixture_of
from tests.support.sources import CountingSource, PatchedSource
from vhdx.errors import ShortReadError
from vhdx.image import image_from
from vhdx.runs import Kind

MIB, SECTOR = 1 << 20, 512
LENGTH = 3 * MIB + 1000


class FailingSource(PatchedSource):
    """Bytes of which one cannot be read."""

    failing = None

    def read_into(self, offset, buffer):
        if self.failing is not None and offset <= self.failing < offset + len(buffer):
            raise ShortReadError(self.path, offset, len(buffer), 0)
        super().read_into(offset, buffer)


def sectors(start, step, disk):
    """The judge: one step after another, as sectors."""
    found = ((at, read_known(disk, start + at, step)) for at in range(0, LENGTH, step))
    return {at + n: raw[n : n + SECTOR] for at, raw in found for n in range(0, len(raw), SECTOR)}


def assert_same(disk, step, start):
    parts = list(read_known_steps(disk, start, LENGTH, step))
    assert all(at % step == 0 and len(raw) % step == 0 for at, raw in parts)
    found = {at + n: raw[n : n + SECTOR] for at, raw in parts for n in range(0, len(raw), SECTOR)}
    assert found == sectors(start, step, disk)


@pytest.mark.parametrize("cut", [0, 100_000])
@pytest.mark.parametrize("step", [13 * SECTOR, 1 << 15, 2 * MIB])
@pytest.mark.parametrize("name", ["states-base", "states-child", "bitmap-sparse"])
def test_what_is_read_at_once_is_what_is_read_step_by_step(name, step, cut, quiet):
    fixture = fixture_of(name)
    content = fixture.files[fixture.leaf].to_bytes()
    disk = image_from(PatchedSource(content, size=len(content) - cut))
    for start in (0, 5 * SECTOR, disk.size - 3 * 4096):
        assert_same(disk, step, start)


def test_around_what_cannot_be_read_all_else_is_read():
    fixture = fixture_of("dynamic")
    source = FailingSource(fixture.files[fixture.leaf].to_bytes())
    disk = image_from(source)
    run = next(iter(disk.runs().of_kind(Kind.DATA)))
    source.failing = run.file_offset + 10_000
    assert_same(disk, 4096, run.start)


def test_a_table_that_stands_is_read_a_mib_at_a_time_and_one_that_is_lost_is_asked_for_once():
    fixture = fixture_of("dynamic")
    source = CountingSource(PatchedSource(fixture.files[fixture.leaf].to_bytes()))
    disk = image_from(source)
    run = max(disk.runs().of_kind(Kind.DATA), key=lambda run: run.length)
    disk.read(run.start, 1)
    source.reads.clear()
    assert len(list(read_known_steps(disk, run.start, MIB, 1024))) == 1
    assert len(source.reads) <= 2
    absent = next(run for run in disk.runs() if run.kind is Kind.HOLE)
    source.reads.clear()
    assert not list(read_known_steps(disk, absent.start, MIB, 1024))
    assert len(source.reads) <= 2
