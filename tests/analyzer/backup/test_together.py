"""What `create` and `prune` do to each other, at every call that either makes."""

import os
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("zstandard")

from analyzer.backup import locks
from analyzer.backup.prune import WINDOW
from tests.analyzer.backup import jobs
from tests.analyzer.backup.faults import Meddled, MemoryPlace
from tests.support.attempts import attempt

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    return jobs.disk_files(tmp_path_factory.mktemp("disks"))


@pytest.fixture(scope="module")
def expected(disks):
    return {"base": disks[0][1], "last": disks[2][1], "again": disks[2][1]}


@pytest.fixture(scope="module")
def forgotten(disks):
    """A repository with chunks that nothing refers to, on a list that has just become old enough; gives copies."""
    place = MemoryPlace()
    repository = jobs.init(place)
    jobs.create(repository, disks[0][0], "base")
    jobs.create(repository, disks[2][0], "last")
    jobs.forget(repository, "last")
    place.clock += 3600
    assert jobs.prune(repository, WINDOW).fresh
    place.clock += WINDOW + 1
    return place.copy


def meddled(make, job, meddle):
    """`job` with `meddle` before each of its calls in turn; gives the repository and what both came to."""
    counted = Meddled(make())
    attempt(lambda: job(jobs.plain(counted)))
    assert counted.calls > 5
    for at in range(counted.calls):
        place, came = make(), []
        hook = Meddled(
            place, at, lambda place=place, came=came: came.append(attempt(lambda: meddle(jobs.plain(place))))
        )
        done = attempt(lambda hook=hook: job(jobs.plain(hook)))
        yield jobs.plain(place), done, came[0]


@pytest.mark.parametrize("window", [0.0, WINDOW])
def test_a_prune_that_comes_while_a_create_runs_takes_nothing_from_it(forgotten, disks, expected, window):
    refused = 0
    for repository, (made, _), (_, error) in meddled(
        forgotten,
        lambda repository: jobs.create(repository, disks[2][0], "again"),
        lambda repository: jobs.prune(repository, window),
    ):
        refused += error is not None
        assert jobs.assert_sound(repository, expected) == (["again", "base"] if made else ["base"])
    assert refused  # by the lock, for most of the time


@pytest.mark.parametrize("window", [0.0, WINDOW])
def test_a_create_that_comes_while_a_prune_runs_loses_nothing(forgotten, disks, expected, window):
    refused = 0
    for repository, _, (made, error) in meddled(
        forgotten,
        lambda repository: jobs.prune(repository, window),
        lambda repository: jobs.create(repository, disks[2][0], "again"),
    ):
        refused += error is not None
        assert jobs.assert_sound(repository, expected) == (["again", "base"] if made else ["base"])
    assert refused


def test_a_create_whose_lock_nobody_sees_is_saved_by_the_window(forgotten, disks, expected):
    for repository, (made, _), (pruned, _) in meddled(
        forgotten,
        lambda repository: jobs.create_unlocked(repository, disks[2][0], "again"),
        lambda repository: jobs.prune(repository, WINDOW),
    ):
        assert made
        assert pruned
        assert jobs.assert_sound(repository, expected) == ["again", "base"]
        repository.place.clock += WINDOW + 1
        jobs.prune(repository, WINDOW)
        assert jobs.assert_sound(repository, expected) == ["again", "base"]


def test_chunks_of_an_unseen_create_that_a_first_prune_lists_stay(disks, expected):
    """[without a list that was old]: the create has stored chunks, and its point is not there yet."""

    def fresh():
        place = MemoryPlace()
        jobs.create(jobs.init(place), disks[0][0], "base")
        return place

    for repository, (made, _), _ in meddled(
        fresh,
        lambda repository: jobs.create_unlocked(repository, disks[2][0], "again"),
        lambda repository: jobs.prune(repository, WINDOW),
    ):
        assert made
        repository.place.clock += WINDOW + 1
        jobs.prune(repository, WINDOW)
        assert jobs.assert_sound(repository, expected) == ["again", "base"]


def test_a_create_whose_lock_was_broken_says_so_and_makes_no_point(forgotten, disks, expected, monkeypatch):
    """[it stood still so long that a prune took it for dead]: and then went on."""
    slept = 0.0
    clock = SimpleNamespace(time=lambda: time.time() + slept, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(locks, "time", clock)

    def as_if_dead(repository):
        nonlocal slept
        slept += locks.STALE + 1
        jobs.break_locks(repository.place)
        jobs.prune(repository)

    ended = 0
    for repository, (made, error), _ in meddled(
        forgotten, lambda repository: jobs.create(repository, disks[2][0], "again"), as_if_dead
    ):
        ended += error is not None
        names = jobs.assert_sound(repository, expected)
        assert names == (["again", "base"] if made else ["base"])
        if not made:
            assert "lock of this run was lost" in str(error)
            jobs.create(repository, disks[2][0], "again")
            assert jobs.assert_sound(repository, expected) == ["again", "base"]
    assert ended


def flip(place, name, chance):
    content, modified = place.objects[name]
    at = chance % (len(content) * 8)
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    place.objects[name] = bytes(changed), modified


def test_a_bit_flipped_in_any_object_of_an_encrypted_repository_is_told(disks):
    pytest.importorskip("cryptography")
    from analyzer.backup.errors import BackupError
    from analyzer.backup.repository.keys import Cost
    from analyzer.backup.repository.repository import init_encrypted, open_repository
    from analyzer.backup.verify import Scope, verify

    first = MemoryPlace()
    repository = init_encrypted(first, jobs.CHUNK, "passphrase", Cost(n=16, r=1, p=1))
    jobs.create(repository, disks[0][0], "base")
    jobs.create(repository, disks[2][0], "last")
    jobs.forget(repository, "last")
    jobs.prune(repository, WINDOW)
    assert {name.partition("/")[0] for name in first.objects} >= {"candidates", "chunks.castr", "points"}
    assert not verify(repository, Scope()).problems
    for name in list(first.objects):
        place = first.copy()
        flip(place, name, int.from_bytes(os.urandom(8)))
        opened, error = attempt(lambda place=place: open_repository(place, lambda: "passphrase"))
        if error is not None:
            assert name == "repository.json"
            assert isinstance(error, BackupError)
            continue
        assert name in {problem.object for problem in verify(opened, Scope()).problems}, name
