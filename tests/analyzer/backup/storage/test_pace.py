"""Chunks are sent and fetched no faster than was asked for, by however many threads."""

import pytest

pytest.importorskip("zstandard")

from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.codec import Codec
from analyzer.backup.storage import pace
from analyzer.backup.storage.pace import Pace
from tests.analyzer.backup.helpers import MemoryPlace


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pace.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_so_many_bytes_take_so_many_seconds(clock):
    paced = Pace(1000)
    for _ in range(10):
        paced(500)
    assert clock[0] == pytest.approx(105)


def test_a_pause_is_not_made_up_for(clock):
    paced = Pace(1000)
    clock[0] += 60
    paced(2000)
    assert clock[0] == pytest.approx(162)


def test_chunks_are_paced_both_ways_and_those_that_are_there_are_not(clock):
    store = ChunkStore(MemoryPlace(), Codec(), paced=Pace(1))
    chunk_id = store.put(b"content")
    sent = clock[0]
    assert sent == pytest.approx(100 + store.written_bytes)
    store.put(b"content")
    assert clock[0] == sent
    store.get(chunk_id)
    assert clock[0] == pytest.approx(sent + store.written_bytes)
