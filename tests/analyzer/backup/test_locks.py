"""Locks exclude the living, and the dead do not exclude anybody."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from analyzer.backup import locks, processes
from analyzer.backup.lock_owner import Hold, build_owner, ourselves, parse_owner
from analyzer.backup.locks import SILENT, STALE, LockedError, LockLostError, take, unlock
from analyzer.backup.storage.local import LocalPlace
from vhdx.system import windows


@pytest.fixture
def place(tmp_path):
    return LocalPlace(tmp_path / "repository")


def owners(place):
    """Who has a lock, dead or alive."""
    return [parse_owner(place.read(entry.name)) for entry in place.list("locks")]


def try_to_take(place, hold):
    return take(place, hold, "test", attempts=1)


def aged(place, name, seconds):
    path = place.folder / name
    status = path.stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


@pytest.mark.parametrize(
    ("first", "second"),
    [(Hold.SHARED, Hold.EXCLUSIVE), (Hold.EXCLUSIVE, Hold.SHARED), (Hold.EXCLUSIVE, Hold.EXCLUSIVE)],
)
def test_an_exclusive_lock_is_alone(place, first, second):
    with try_to_take(place, first):
        with pytest.raises(LockedError, match="is in use by `vhdx backup test` on"):
            try_to_take(place, second)
        assert len(owners(place)) == 1
    with try_to_take(place, second):
        pass
    assert owners(place) == []


def test_shared_locks_are_many(place):
    with try_to_take(place, Hold.SHARED), try_to_take(place, Hold.SHARED):
        assert len(owners(place)) == 2


def test_a_name_is_claimed_by_one_that_lives(place):
    with try_to_take(place, Hold.SHARED) as one, try_to_take(place, Hold.SHARED) as two:
        assert one.claim("point")
        assert not two.claim("point", wait=0.001)
        assert two.claim("other")
        assert [sorted(owner.points) for owner in owners(place)] in ([["point"], ["other"]], [["other"], ["point"]])
    with try_to_take(place, Hold.SHARED) as three:
        assert three.claim("point")


def test_of_two_that_come_at_once_at_least_one_is_refused(place):
    """[written first, looked for afterwards]: neither sees the other only if each looked before the other wrote."""
    one, two = LocalPlace(place.folder), LocalPlace(place.folder)
    taken = []

    class Meanwhile(LocalPlace):
        def list(self, folder):
            if not taken:
                taken.append(None)
                with pytest.raises(LockedError):
                    try_to_take(two, Hold.EXCLUSIVE)
            yield from super().list(folder)

    with try_to_take(Meanwhile(one.folder), Hold.EXCLUSIVE):
        assert len(owners(place)) == 1


def test_a_process_that_ended_without_a_word_locks_nothing(place):
    code = (
        "import os, sys; from pathlib import Path; from analyzer.backup.locks import *; "
        "from analyzer.backup.locks import *; "
        "from analyzer.backup.storage.local import LocalPlace; "
        "take(LocalPlace(Path(sys.argv[1])), Hold.EXCLUSIVE, 'prune'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(place.folder)], check=False, cwd=os.getcwd())  # noqa: PTH109
    assert len(owners(place)) == 1
    if sys.platform == "linux":
        with try_to_take(place, Hold.SHARED):
            assert len(owners(place)) == 1


def foreign(place, **changes):
    """A lock of another machine, as it would stand there."""
    with try_to_take(place, Hold.EXCLUSIVE) as lock:
        plain = json.loads(place.read(lock.name))
    place.write("locks/foreign.json", json.dumps(plain | {"host": "other", "boot": "elsewhere"} | changes).encode())
    return "locks/foreign.json"


def test_a_lock_of_another_machine_counts_until_it_is_stale(place):
    name = foreign(place)
    aged(place, name, STALE - 60)
    with pytest.raises(LockedError, match="on other"):
        try_to_take(place, Hold.SHARED)
    aged(place, name, 120)
    with try_to_take(place, Hold.SHARED):
        assert place.size(name) is None


def test_a_machine_of_the_same_name_is_not_the_same_machine(place):
    """Containers share host names and number their processes alike."""
    foreign(place, host=ourselves(Hold.SHARED, "x").host, pid=2**22 - 1)
    with pytest.raises(LockedError):
        try_to_take(place, Hold.SHARED)


def test_a_lock_that_cannot_be_read_excludes_until_it_is_stale(place):
    place.write("locks/x.json", b"\x00garbage")
    with pytest.raises(LockedError, match="unreadable"):
        try_to_take(place, Hold.SHARED)
    aged(place, "locks/x.json", STALE + 60)
    with try_to_take(place, Hold.SHARED):
        pass


def test_a_clock_that_is_wrong_here_does_not_make_a_lock_stale(place, monkeypatch):
    foreign(place)
    now = locks.time.time()
    monkeypatch.setattr(locks.time, "time", lambda: now + 10 * STALE)
    with pytest.raises(LockedError):
        try_to_take(place, Hold.SHARED)


def test_an_owner_whose_lock_was_removed_learns_it(place):
    with try_to_take(place, Hold.SHARED) as lock:
        lock.confirm()
        place.delete(lock.name)
        with pytest.raises(LockLostError):
            lock.confirm()
        assert place.size(lock.name) is None  # it was not put back


def test_an_owner_that_slept_too_long_learns_it_without_asking(place, monkeypatch):
    with try_to_take(place, Hold.EXCLUSIVE) as lock:
        lock.check()
        now = locks.time.time()
        monkeypatch.setattr(locks.time, "time", lambda: now + STALE + 1)
        with pytest.raises(LockLostError):
            lock.check()


def test_a_lock_put_back_after_a_standstill_in_the_middle_is_lost_all_the_same(place, monkeypatch):
    """The process stands still after it looked for its lock and before it writes it anew; a prune comes and goes."""
    with try_to_take(place, Hold.SHARED) as lock:
        size, now = LocalPlace.size, locks.time.time()

        def slow(self, name):
            found = size(self, name)
            monkeypatch.setattr(locks.time, "time", lambda: now + STALE + 1)
            return found

        monkeypatch.setattr(LocalPlace, "size", slow)
        with pytest.raises(LockLostError):
            lock.confirm()


def test_a_lock_gives_signs_of_life(place, monkeypatch):
    monkeypatch.setattr(locks, "PULSE", 0.01)
    with try_to_take(place, Hold.SHARED) as lock:
        aged(place, lock.name, 1000)
        before = (place.folder / lock.name).stat().st_mtime
        for _ in range(30_000):  # minutes: a machine may be busy
            if (place.folder / lock.name).stat().st_mtime > before:
                break
            locks.time.sleep(0.01)
        assert (place.folder / lock.name).stat().st_mtime > before


def test_unlock_removes_the_silent_and_keeps_the_living(place):
    name = foreign(place)
    with pytest.raises(LockedError):
        try_to_take(place, Hold.SHARED)
    assert [one.object for one in unlock(place).kept] == [name]
    aged(place, name, SILENT + 30)
    assert [one.object for one in unlock(place).removed] == [name]
    assert owners(place) == []


def test_unlock_of_all_removes_the_living_who_notice(place):
    with try_to_take(place, Hold.EXCLUSIVE) as lock:
        assert [one.object for one in unlock(place, silent=0).removed] == [lock.name]
        with pytest.raises(LockLostError):
            lock.confirm()


def test_a_refusal_says_when_the_last_sign_of_life_was(place):
    aged(place, foreign(place), 90)
    with pytest.raises(LockedError, match=r"on other .*last sign of life (89|9\d) seconds ago"):
        try_to_take(place, Hold.SHARED)


def test_who_waits_gets_the_lock_when_it_is_free(place, monkeypatch):
    name, told = foreign(place), []
    monkeypatch.setattr(locks.time, "sleep", lambda _: None)

    def freed(error):
        told.append(error.holder.owner.host)
        if len(told) == 3:
            place.delete(name)

    with take(place, Hold.EXCLUSIVE, "prune", attempts=1, patience=600, waiting=freed):
        assert told == ["other"] * 3


def test_who_waits_gives_up_when_the_time_is_over(place, monkeypatch):
    foreign(place)
    now = [0.0]
    monkeypatch.setattr(locks.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    with pytest.raises(LockedError):
        take(place, Hold.EXCLUSIVE, "prune", attempts=1, patience=60)
    assert 60 <= now[0] < 90


def test_a_dead_process_is_known_on_windows_by_the_moment_it_was_started(place, monkeypatch):
    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(processes, "_windows", lambda: "this machine")
    monkeypatch.setattr(windows, "started", lambda pid: 7 * (pid == os.getpid()))
    dead = replace(ourselves(Hold.EXCLUSIVE, "test"), pid=1 << 22)
    place.write("locks/dead.json", build_owner(dead))
    with try_to_take(place, Hold.EXCLUSIVE):
        pass
    place.write("locks/elsewhere.json", build_owner(replace(dead, boot="another machine")))
    with pytest.raises(LockedError):
        try_to_take(place, Hold.EXCLUSIVE)


def test_a_dead_process_is_known_on_macos_by_what_its_programs_print(place, monkeypatch):
    def answer(*command):
        if command[0].endswith("sysctl"):
            return "this start"
        return "Sun Nov 29 10:00:00 2026" if command[-1] == str(os.getpid()) else ""

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(processes, "_answer", answer)
    alive, dead = ourselves(Hold.EXCLUSIVE, "test"), replace(ourselves(Hold.EXCLUSIVE, "test"), pid=1 << 22)
    place.write("locks/dead.json", build_owner(dead))
    with try_to_take(place, Hold.EXCLUSIVE):
        pass
    place.write("locks/alive.json", build_owner(alive))
    with pytest.raises(LockedError):
        try_to_take(place, Hold.EXCLUSIVE)


@pytest.mark.skipif(sys.platform not in {"linux", "win32", "darwin"}, reason="asked of these systems")
def test_this_machine_and_this_process_have_names_that_stay():
    assert processes.machine() == processes.machine() != ""
    assert processes.birth(os.getpid()) == processes.birth(os.getpid()) != ""
    assert processes.birth(1 << 22) == ""
