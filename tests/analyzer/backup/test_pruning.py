"""Prune deletes what nothing refers to, late, and nothing else."""

import hashlib
import os

import numpy as np
import pytest

pytest.importorskip("zstandard")

from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import STALE, LockedError, LockLostError, take
from analyzer.backup.prune import WINDOW, UnknownReferencesError, plan_prune, run_prune
from analyzer.backup.repository.chunks import CANDIDATES, ChunkStore, candidate_ids, object_of
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.manifest import build_document
from analyzer.backup.repository.repository import Repository, Settings
from analyzer.backup.storage.local import LocalPlace
from tests.analyzer.backup.helpers import index_of

CODEC = Codec()
HOUR = 3600


class Rig:
    """A repository by hand, in which time passes by making everything older."""

    def __init__(self, folder):
        self.place = LocalPlace(folder)
        self.repository = Repository(self.place, CODEC, Settings())

    def store(self, *contents):
        store = ChunkStore(self.place, CODEC)
        ids = [store.put(content) for content in contents]
        store.flush()
        return ids

    def point(self, name, *contents, manifest=True):
        ids = self.store(*contents)
        rows = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32)
        index = bytes(index_of(65536, 65536 * len(ids), rows).document)
        self.place.write(f"points/{name}.caibx", index)
        if manifest:
            document = build_document({"index_sha256": hashlib.sha256(index).hexdigest()})
            self.place.write(f"points/{name}.json", document)
        return ids

    def forget(self, name):
        self.place.delete(f"points/{name}.json")
        self.place.delete(f"points/{name}.caibx")

    def pass_time(self, hours):
        for path in self.place.folder.rglob("*"):
            status = path.stat()
            os.utime(path, (status.st_atime - hours * HOUR, status.st_mtime - hours * HOUR))

    def prune(self, window=WINDOW):
        self.pass_time(0.001)  # what was written within one tick of the file system's clock has no order
        with take(self.place, Hold.EXCLUSIVE, "prune") as lock:
            plan = plan_prune(self.repository, lock, window)
            run_prune(plan, self.repository, lock)
        return plan

    def has(self, *ids):
        return [self.place.size(object_of(chunk)) is not None for chunk in ids]


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path / "repository")
    made.kept = made.point("kept", b"a", b"shared")
    (made.gone, shared) = made.point("gone", b"b", b"shared")
    assert shared == made.kept[1]
    made.pass_time(100)
    return made


def test_an_unreferenced_chunk_is_listed_first_and_goes_when_the_list_is_old(rig):
    rig.forget("gone")
    assert len(rig.prune().fresh) == 1
    assert rig.has(rig.gone, *rig.kept) == [True, True, True]
    assert candidate_ids(rig.place, CODEC) == {rig.gone}
    rig.pass_time(23)
    assert len(rig.prune().waiting) == 1
    assert rig.has(rig.gone) == [True]
    rig.pass_time(2)
    assert len(rig.prune().ripe) == 1
    assert rig.has(rig.gone, *rig.kept) == [False, True, True]
    assert list(rig.place.list(CANDIDATES)) == []
    assert rig.prune().is_empty


def test_nothing_is_done_where_everything_is_referenced(rig):
    assert rig.prune().is_empty
    assert rig.has(rig.gone, *rig.kept) == [True, True, True]


def test_a_window_of_nothing_deletes_at_once(rig):
    rig.forget("gone")
    assert len(rig.prune(window=0).ripe) == 1
    assert rig.has(rig.gone, *rig.kept) == [False, True, True]


def test_a_chunk_that_is_referred_to_again_stays(rig):
    rig.forget("gone")
    rig.prune()
    rig.pass_time(25)
    rig.point("again", b"b")
    assert not rig.prune().ripe
    assert rig.has(rig.gone) == [True]


def test_a_chunk_that_was_written_anew_waits_anew(rig):
    """[a create that no lock showed]: it writes what is on a list, and its point is not there yet."""
    rig.forget("gone")
    rig.prune()
    rig.pass_time(25)
    rig.place.write(object_of(rig.gone), CODEC.pack(b"b"))
    plan = rig.prune()
    assert not plan.ripe
    assert len(plan.fresh) == 1
    rig.pass_time(25)
    assert len(rig.prune().ripe) == 1


def test_what_an_interrupted_create_stored_is_kept_for_the_window(rig):
    (chunk,) = rig.store(b"interrupted")
    rig.prune()
    rig.pass_time(23)
    rig.prune()
    assert rig.has(chunk) == [True]
    rig.pass_time(2)
    rig.prune()
    assert rig.has(chunk) == [False]


def test_an_index_without_a_manifest_holds_its_chunks_until_it_is_old(rig):
    (chunk,) = rig.point("half", b"half made", manifest=False)
    rig.prune()
    assert candidate_ids(rig.place, CODEC) == set()
    rig.pass_time(25)
    rig.prune()
    assert rig.place.size("points/half.caibx") is None
    rig.pass_time(25)
    rig.prune()
    assert rig.has(chunk, *rig.kept) == [False, True, True]


def test_unfinished_files_go_when_they_are_old(rig):
    part = rig.place.folder / "chunks.castr" / ".x.12345678.part"
    part.write_bytes(b"half")
    rig.prune()
    assert part.exists()
    rig.pass_time(25)
    rig.prune()
    assert not part.exists()


@pytest.mark.slow
def test_a_lock_that_somebody_is_writing_is_no_rest_although_nothing_is_to_wait(rig):
    part = rig.place.begin("locks/somebody.json", b"half of a lo")
    rig.pass_time(STALE / 3600 / 2)
    rig.prune(window=0)
    part.rename(rig.place.folder / "locks" / "somebody.json")
    with pytest.raises(LockedError, match="in use by"):
        rig.prune(window=0)


@pytest.mark.parametrize("damage", ["head", "id", "cut", "gone", "manifest"])
def test_nothing_is_deleted_when_a_point_does_not_tell_what_it_needs(rig, damage):
    rig.forget("gone")
    rig.prune()
    rig.pass_time(25)
    path = rig.place.folder / "points" / ("kept.json" if damage == "manifest" else "kept.caibx")
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        content[content.index(rig.kept[0]) + 5 if damage == "id" else 3] ^= 1
        path.write_bytes(content)
    with pytest.raises(UnknownReferencesError, match="'kept' needs is not known"):
        rig.prune()
    assert rig.has(rig.gone, *rig.kept) == [True, True, True]


def test_a_damaged_list_deletes_nothing_and_is_begun_anew(rig):
    rig.forget("gone")
    rig.prune()
    (entry,) = rig.place.list(CANDIDATES)
    path = rig.place.folder / entry.name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    rig.pass_time(25)
    assert len(rig.prune().fresh) == 1
    assert rig.has(rig.gone) == [True]
    assert candidate_ids(rig.place, CODEC) == {rig.gone}


def test_a_prune_that_lost_its_lock_stops(rig):
    rig.forget("gone")
    with take(rig.place, Hold.EXCLUSIVE, "prune") as lock:
        plan = plan_prune(rig.repository, lock, 0)
        rig.place.delete(lock.name)
        with pytest.raises(LockLostError):
            run_prune(plan, rig.repository, lock)
    assert rig.has(rig.gone) == [True]


def test_names_that_no_chunk_has_are_left_alone(rig):
    (rig.place.folder / "chunks.castr" / "notes.txt").write_bytes(b"mine")
    (rig.place.folder / "chunks.castr" / "0000").mkdir()
    (rig.place.folder / "chunks.castr" / "0000" / ("f" * 64 + ".cacnk")).write_bytes(b"misplaced")
    rig.pass_time(100)
    assert rig.prune().is_empty
