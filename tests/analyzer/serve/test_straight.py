"""Requests to read answered by machine code: the same bytes, errors and refusals as Python gives, in the same order."""

import random

import pytest

from analyzer.serve.spans import WORTH_TELLING
from tests.analyzer.serve.speaker import DF, READ, STATUS, Speaker
from tests.support.runs_disk import RunsDisk
from vhdx import compiling
from vhdx.reader import Reader
from vhdx.runs import Kind, Run
from vhdx.source import FileSource, MemorySource, read_at
from vhdx.system.sockets import SENDS_FILES

pytestmark = pytest.mark.skipif(not SENDS_FILES, reason="this system sends no files by sockets")
SECTOR, MIB = 512, 1 << 20
KINDS = [*[Kind.DATA] * 6, Kind.ZERO, Kind.TRIM, Kind.HOLE]


@pytest.fixture(params=["python", "machine"])
def way(request, monkeypatch):
    """Both ways to answer."""
    monkeypatch.setattr(compiling, "is_loaded", lambda: request.param == "machine")
    return request.param


@pytest.fixture
def sources(tmp_path):
    """Two files and what is none."""
    data = [random.Random(number).randbytes(MIB) for number in range(3)]
    paths = [tmp_path / str(number) for number in range(2)]
    for path, each in zip(paths, data, strict=False):
        path.write_bytes(each)
    with FileSource(paths[0]) as first, FileSource(paths[1]) as second:
        yield [first, second, MemorySource(data[2])]


def runs_of(chance, count):
    """Short and long runs of every kind; a few are in no file, or lost."""
    position, runs = 0, []
    for _ in range(count):
        length = chance.choice([chance.randrange(1, 20), chance.randrange(1, 300)]) * SECTOR
        kind = Kind.LOST if chance.random() < 0.02 else chance.choice(KINDS)
        layer = 2 if chance.random() < 0.02 else chance.randrange(2)
        offset = chance.randrange(0, MIB - length) if kind is Kind.DATA else 0
        runs.append(Run(position, length, kind, layer, offset))
        position += length
    return runs


def expected(disk, start, length):
    """What a range reads as, None where any of it is lost."""
    if any(run.kind is Kind.LOST and run.start < start + length and start < run.end for run in disk.runs):
        return None
    return Reader(disk).read(start, length)


def places(chance, size):
    """Ranges of all lengths, most of them where the one before ended."""
    start = 0
    for _ in range(150):
        length = min(chance.choice([512, 4096, 32 << 10, 33 << 10, 200 << 10, chance.randrange(1, MIB)]), size - start)
        yield start, length
        start = (start + length) % size if chance.random() < 0.8 else chance.randrange(size)


@pytest.mark.parametrize("seed", range(3))
def test_requests_under_way_together_are_answered_as_the_disk_reads(sources, served, way, seed):
    chance = random.Random(seed)
    disk = RunsDisk(sources, runs_of(chance, 400))
    with Speaker(served(disk=disk).address) as speaker:
        speaker.begin("disk")
        assert not speaker.ask(READ, disk.size - 512, 512).reasons or disk.runs[-1].kind is Kind.LOST
        asked = [(speaker.send(READ, *one), one) for one in places(chance, disk.size)]
        for cookie, (start, length) in asked:
            reply, data = speaker.reply(cookie, length, start), expected(disk, start, length)
            assert bool(reply.error) == (data is None)
            if data is not None:
                assert reply.bytes(start, length) == data


@pytest.mark.parametrize(
    ("command", "start", "length", "flags", "error"),
    [
        (READ, 1 << 30, 4096, 0, 22),
        (READ, (1 << 63) - 4096, 1 << 20, 0, 22),
        (READ, (1 << 64) - 4096, 4096, 0, 22),
        (READ, 0, (32 << 20) + 1, 0, 22),
        (READ, 0, 0, 0, 0),
        (READ, 0, 4096, DF, 0),
        (READ, 0, 4096, 1 << 15, 22),
        (STATUS, 0, 4096, 0, 22),
        (77, 0, 4096, 0, 22),
    ],
)
def test_what_is_no_plain_read_is_left_for_python_and_the_next_one_answered(
    sources, served, way, command, start, length, flags, error
):
    disk = RunsDisk(sources, [Run(0, MIB, Kind.DATA, 0, 0), Run(MIB, WORTH_TELLING, Kind.ZERO, 0, 0)])
    with Speaker(served(disk=disk).address) as speaker:
        speaker.begin("disk")
        around = [speaker.send(READ, 0, MIB) for _ in range(3)]
        other = speaker.send(command, start, length, flags)
        last = speaker.send(READ, MIB // 2, MIB // 2 + WORTH_TELLING)
        for cookie in around:
            assert speaker.reply(cookie).bytes(0, MIB) == expected(disk, 0, MIB)
        assert speaker.reply(other).error == error
        reply = speaker.reply(last)
        assert reply.holes == {MIB: WORTH_TELLING}
        assert reply.bytes(MIB // 2, MIB // 2 + WORTH_TELLING) == expected(disk, MIB // 2, MIB // 2 + WORTH_TELLING)


def test_a_file_that_ends_early_costs_its_chunk_alone(sources, served, way):
    runs = [Run(0, MIB, Kind.DATA, 0, 0), Run(MIB, WORTH_TELLING, Kind.ZERO, 0, 0)]
    runs.append(Run(runs[-1].end, MIB, Kind.DATA, 1, 0))
    disk = RunsDisk(sources, runs)
    with Speaker(served(disk=disk).address) as speaker:
        speaker.begin("disk")
        assert not speaker.ask(READ, 0, MIB).error
        with sources[0].path.open("r+b") as file:
            file.truncate(300_000)  # nobody looks whether it changed
        cookies = [speaker.send(READ, 0, disk.size) for _ in range(2)]
        for cookie in cookies:
            reply = speaker.reply(cookie)
            assert [place for place, _, _ in reply.reasons] == [300_000]
            assert reply.data[0][:300_000] == read_at(sources[0], 0, 300_000)
            assert reply.data[runs[-1].start] == read_at(sources[1], 0, MIB)
        assert not speaker.ask(READ, 0, 64 << 10).error
        assert speaker.ask(READ, MIB - 4096, 4096).error
