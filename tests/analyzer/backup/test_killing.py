"""Real processes, really killed, and several at once."""

import hashlib
import os
import random

import pytest

pytest.importorskip("zstandard")
if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork processes", allow_module_level=True)

from analyzer.backup.storage.local import LocalPlace
from tests.analyzer.backup import jobs
from tests.analyzer.backup.workers import Workers

pytestmark = pytest.mark.slow

KILLED = 256 + 9


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    return jobs.disk_files(tmp_path_factory.mktemp("disks"))


@pytest.fixture(scope="module")
def workers():
    with Workers() as made:
        yield made


def rounds_of_kills(workers, folder, disks, rounds, seed):
    """Jobs in turn, each killed at a random moment and then run to its end; gives how many were really killed."""
    chance, place = random.Random(seed), LocalPlace(folder / "repository")
    jobs.init(place)
    repository, expected, killed = jobs.plain(place), {}, 0
    longest = {"create": 0.12, "prune_at_once": 0.03, "restore": 0.12}  # seconds, learnt as it goes
    for number in range(rounds):
        path, sha256 = disks[number % 3]
        name, target = f"point-{number}", folder / "restored.raw"
        expected[name] = sha256
        before = set(repository.names())
        work = [("create", place.folder, path, name), ("prune_at_once", place.folder)]
        if before:
            asked = chance.choice(sorted(before))
            work += [("restore", place.folder, asked, target)]
        job = chance.choice(work)
        was_killed = workers.kill_after(chance.random() * longest[job[0]], *job) == KILLED
        killed += was_killed
        longest[job[0]] *= 1.1 if was_killed else 0.9  # half of them shall end before
        names = jobs.assert_sound(repository, expected)
        assert before <= set(names)
        if name not in names and job[0] == "create":
            assert workers.run(*job) == 0  # the dead one's lock holds up nobody
        if job[0] == "restore":
            assert workers.run(*job) == 0
            assert hashlib.sha256(target.read_bytes()).hexdigest() == expected[asked]
        if len(names) > 6:
            jobs.forget(repository, *chance.sample(names, 4))
        jobs.assert_sound(repository, expected)
    assert workers.run("prune_at_once", place.folder) == 0
    jobs.assert_sound(repository, expected)
    assert list(place.list("locks")) == []
    return killed


def test_killed_at_random_moments_a_repository_stays_whole_and_goes_on(workers, tmp_path, disks):
    # How many of the ten come before a job's end is the machine's affair; the long run below asks for fifty.
    rounds_of_kills(workers, tmp_path, disks, rounds=10, seed=os.urandom(8))


@pytest.mark.fuzz
def test_killed_two_hundred_times_a_repository_stays_whole_and_goes_on(workers, tmp_path, disks):
    killed = rounds_of_kills(workers, tmp_path, disks, rounds=200, seed=os.urandom(8))
    print(f"{killed} of 200 jobs were killed before their end")  # noqa: T201
    assert killed >= 50


def at_once(workers, folder, disks, rounds):
    """Two creates of different disks and a prune that never rests, again and again."""
    place = LocalPlace(folder / "repository")
    repository, expected = jobs.init(place), {}
    for number in range(rounds):
        begun = [workers.start("prune_often", place.folder)]
        for disk in (number % 3, (number + 1) % 3):
            name = f"point-{number}-{disk}"
            expected[name] = disks[disk][1]
            begun.append(workers.start("create", place.folder, disks[disk][0], name))
        pruned, *codes = [workers.wait(pid) for pid in begun]
        assert pruned == 0
        assert set(codes) <= {0, 3}  # made, or refused because somebody is at work: never wrong
        jobs.assert_sound(repository, expected)
        if names := repository.names()[:-1]:
            jobs.forget(repository, *names)
    return expected, repository


def test_two_creates_and_a_prune_at_once_lose_nothing_that_is_referred_to(workers, tmp_path, disks):
    expected, repository = at_once(workers, tmp_path, disks, rounds=3)
    assert jobs.assert_sound(repository, expected)


@pytest.mark.fuzz
def test_two_creates_and_a_prune_at_once_many_times(workers, tmp_path, disks):
    expected, repository = at_once(workers, tmp_path, disks, rounds=40)
    assert jobs.assert_sound(repository, expected)


def test_two_creates_at_once_never_share_a_name(workers, tmp_path, disks):
    """Named by the user: one is made, the other refused or told. By themselves: two points, also in one second."""
    place = LocalPlace(tmp_path / "repository")
    repository = jobs.init(place)
    for number in range(4):
        pids = [workers.start("create", place.folder, path, f"point-{number}") for path, _ in disks[:2]]
        assert sorted(workers.wait(pid) for pid in pids) in ([0, 2], [2, 2])
        assert all(jobs.content(repository, name) for name in repository.names())
    before = len(repository.names())
    for _ in range(4):
        pids = [workers.start("create", place.folder, disks[0][0], "") for _ in range(2)]
        assert [workers.wait(pid) for pid in pids] == [0, 0]
    assert len(repository.names()) == before + 8
    assert all(jobs.content(repository, name) for name in repository.names())
