"""Restore points that are served: their bytes, only the chunks that are asked for, and losses as errors."""

import pytest

pytest.importorskip("zstandard")

from analyzer.address.point import RestorePoint
from analyzer.backup.errors import PlaceError
from analyzer.backup.repository.chunks import object_of
from tests.analyzer.backup.helpers import MIB, MemoryPlace, back_up, new_repository
from tests.analyzer.serve.speaker import READ, STATUS, Speaker

ALLOCATION = "base:allocation"
EIO = 5


@pytest.fixture
def kept(demo):
    """A place, the point in it, and the model of its disk."""
    chain, models = demo
    place = MemoryPlace()
    repository = new_repository(place, MIB)
    back_up(repository, chain)
    (name,) = repository.names()
    return place, RestorePoint(repository, name), models[-1]


def data_chunks(point):
    return list(point.point.chunks_with_data())


def test_only_the_chunks_that_are_read_are_fetched_and_nothing_is_written(kept, served):
    place, point, model = kept
    with Speaker(served(disk=point).address) as speaker:
        speaker.begin("disk", [ALLOCATION])
        place.reads.clear()
        writes, number = place.writes, data_chunks(point)[1]
        assert not speaker.ask(READ, number * MIB + 512, 4096).error
        assert speaker.ask(READ, number * MIB + 4096, 8192).data[number * MIB + 4096] == model.read(
            number * MIB + 4096, 8192
        )
        assert place.reads == [object_of(point.point.index.id_of(number))]
        told = speaker.ask(STATUS, 0, point.size).extents.popitem()[1]
        assert sum(length for length, status in told if status == 0) == len(data_chunks(point)) * MIB
        assert len(place.reads) == 1
        for start in range(0, point.size, 16 * MIB):
            assert speaker.ask(READ, start, 16 * MIB).bytes(start, 16 * MIB) == model.read(start, 16 * MIB)
        assert place.writes == writes


def test_a_chunk_that_is_gone_is_an_error_at_its_bytes_alone(kept, served):
    place, point, model = kept
    number = data_chunks(point)[1]
    del place.objects[object_of(point.point.index.id_of(number))]
    with Speaker(served(disk=point).address) as speaker:
        speaker.begin("disk")
        start = (number - 1) * MIB
        reply = speaker.ask(READ, start, 3 * MIB)
        assert {place for place, _, _ in reply.reasons} == {number * MIB}
        expected = bytearray(model.read(start, 3 * MIB))
        expected[MIB : 2 * MIB] = bytes(MIB)
        assert reply.bytes(start, 3 * MIB) == expected
        assert speaker.ask(READ, number * MIB + 4096, 512).error == EIO
        assert not speaker.ask(READ, number * MIB - 512, 512).error
        place.reads.clear()
        assert speaker.ask(READ, number * MIB, MIB).error == EIO
        assert not place.reads  # it is not asked for again and again


def test_a_place_that_goes_away_and_comes_back_is_an_error_meanwhile(kept, served, monkeypatch):
    place, point, model = kept
    number = data_chunks(point)[2]
    read = place.read

    def away(name):
        raise PlaceError("memory", "the line is cut")

    with Speaker(served(disk=point).address) as speaker:
        speaker.begin("disk")
        monkeypatch.setattr(place, "read", away)
        reply = speaker.ask(READ, number * MIB, 4096)
        assert reply.error == EIO
        assert "the line is cut" in reply.reasons[0][2]
        monkeypatch.setattr(place, "read", read)
        assert speaker.ask(READ, number * MIB, 4096).data[number * MIB] == model.read(number * MIB, 4096)
