"""A run that is cut off at any write leaves nothing broken, and the next one completes."""

import pytest

from analyzer.backup.errors import PlaceError
from analyzer.backup.plan import Which
from analyzer.backup.repository.chunks import ChunkStore, object_of
from analyzer.backup.repository.codec import Codec
from analyzer.backup.restore import PointDisk, resume_raw
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.verify import Scope, verify
from tests.analyzer.backup.helpers import MIB, CutOffError, MemoryPlace, back_up, content_of, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of
from vhdx.errors import OutputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fixture():
    return fixture_of("chain-3")


@pytest.fixture
def chain(fixture):
    return chain_of([fixture.files[path] for path in fixture.chain[::-1]])


def test_a_backup_cut_off_at_any_write_leaves_earlier_points_whole_and_a_second_run_completes(chain):
    finished = False
    for writes in range(200):
        repository = new_repository(MemoryPlace(), MIB)
        (base,) = back_up(repository, chain.upto(0))
        try:
            with repository.place.cut_off_after(writes):
                back_up(repository, chain, which=Which.CHECKPOINTS)
            finished = True
        except CutOffError:
            pass
        assert verify(repository, Scope()).problems == ()
        assert content_of(repository, base.name) == chain.upto(0).read(0, base.size)
        made = back_up(repository, chain, which=Which.CHECKPOINTS)
        assert content_of(repository, made[-1].name) == chain.read(0, chain.size)
        if finished:
            break
    assert finished
    assert writes > 5


def test_what_an_interrupted_run_stored_is_not_stored_again(chain):
    repository = new_repository(MemoryPlace(), MIB)
    with pytest.raises(CutOffError), repository.place.cut_off_after(4):
        back_up(repository, chain)
    there = sum(name.startswith("chunks.castr") for name in repository.place.objects)
    assert there == 4
    (manifest,) = back_up(repository, chain)
    total = sum(name.startswith("chunks.castr") for name in repository.place.objects)
    assert manifest.effort.chunks_written <= total - there + 1  # its zeros are always one of them


def test_a_folder_that_cannot_be_written_leaves_no_unfinished_object(tmp_path, monkeypatch):
    place = LocalPlace(tmp_path / "there")
    place.write("a/b", b"first")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(PlaceError, match="No space left"):
        place.write("a/b", b"second")
    monkeypatch.undo()
    assert place.read("a/b") == b"first"
    assert sorted(path.name for path in (tmp_path / "there").rglob("*")) == ["a", "b"]


def test_a_local_place_creates_once_lists_and_deletes(tmp_path):
    place = LocalPlace(tmp_path / "there")
    assert list(place.list("")) == []
    assert place.create("locks/one", b"mine")
    assert not place.create("locks/one", b"yours")
    assert place.read("locks/one") == b"mine"
    (tmp_path / "there" / "locks" / ".x.part").write_bytes(b"unfinished")
    assert [(entry.name, entry.size) for entry in place.list("locks")] == [("locks/one", 4)]
    assert place.size("locks/two") is None
    place.delete("locks/one")
    place.delete("locks/one")
    assert list(place.list("")) == []


@pytest.fixture
def point(chain):
    repository = new_repository(MemoryPlace(), MIB)
    back_up(repository, chain)
    return PointDisk(repository, repository.names()[0])


def test_a_restore_goes_on_with_what_is_right_and_writes_the_rest(point, chain, tmp_path):
    expected = chain.read(0, chain.size)
    begun = bytearray(expected)
    begun[5 * MIB : 5 * MIB + 3] = b"xyz"
    begun[-1] ^= 1
    (tmp_path / "disk.raw.part").write_bytes(begun)
    resumed = resume_raw(point, tmp_path / "disk.raw")
    assert (tmp_path / "disk.raw").read_bytes() == expected
    assert resumed.written_bytes == 2 * MIB
    assert not (tmp_path / "disk.raw.part").exists()


@pytest.mark.parametrize("begun", [b"", b"garbage" * 1000, bytes(40 * MIB)])
def test_whatever_is_begun_becomes_the_disk(point, chain, tmp_path, begun):
    (tmp_path / "disk.raw.part").write_bytes(begun)
    resume_raw(point, tmp_path / "disk.raw")
    assert (tmp_path / "disk.raw").read_bytes() == chain.read(0, chain.size)


def test_an_interrupted_resume_keeps_what_it_has_and_the_next_completes(point, chain, tmp_path):
    class StopError(Exception):
        pass

    told = []

    def stop(done):
        told.append(done)
        if len(told) == 5:
            raise StopError

    with pytest.raises(StopError):
        resume_raw(point, tmp_path / "disk.raw", stop)
    assert (tmp_path / "disk.raw.part").exists()
    assert not (tmp_path / "disk.raw").exists()
    resumed = resume_raw(point, tmp_path / "disk.raw")
    assert resumed.found_bytes >= 3 * MIB
    assert (tmp_path / "disk.raw").read_bytes() == chain.read(0, chain.size)


def test_a_resume_never_replaces_an_image(point, tmp_path):
    (tmp_path / "disk.raw").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        resume_raw(point, tmp_path / "disk.raw")
    (tmp_path / "disk.raw.part").write_bytes(b"")
    with pytest.raises(OutputError):
        resume_raw(point, tmp_path / "disk.raw")
    assert (tmp_path / "disk.raw").read_bytes() == b"mine"


@pytest.mark.parametrize("whole", [True, False])
def test_chunks_are_there_when_they_are_flushed_and_not_before(tmp_path, monkeypatch, whole):
    monkeypatch.setattr("analyzer.backup.storage.local._WORTH_ALL", 0 if whole else 64)
    place = LocalPlace(tmp_path)
    store = ChunkStore(place, Codec())
    first = store.put(b"first")
    assert list(place.list("")) == []
    store.flush()
    assert store.get(first) == b"first"
    store.put(b"second")
    assert len(list(place.unfinished())) == 1
    store.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / object_of(first)]


def test_what_a_killed_run_left_is_no_object_and_can_be_removed(tmp_path):
    place = LocalPlace(tmp_path)
    unfinished = object_of(ChunkStore(place, Codec()).put(b"unfinished"))
    assert list(place.list("")) == []
    (left,) = place.unfinished()
    place.delete(left.name)
    assert not list((tmp_path / unfinished).parent.iterdir())
