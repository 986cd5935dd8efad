"""Locks that survive a crash: objects with an owner and a pulse, which count no more once the owner is gone.

A lock is written first and looked for afterwards, so of two that come at once at least one sees the other, on every
place that shows what was written; nothing more is asked of it. Ages are measured by the place's own clock: a lock's
age is how much older its object is than our own, which was written a moment ago. docs/backup-places.md has the whole.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Self

from analyzer.backup.errors import BackupError, MissingObjectError
from analyzer.backup.storage.remote_folder import Place
from analyzer.backup.storage.storage import Stored

FOLDER = "locks"
# Seven signs within the time after which a lock is stale: a few may fail on a bad connection.
PULSE = 240.0
"""Seconds between two signs of life."""
# Longer than all attempts of a call on a dead connection together, shorter than an administrator's patience. Tests
# set both of them aside with a clock of their own; no test fixes the numbers.
STALE = 1800.0
"""Seconds without one after which an owner counts as gone."""


class Hold(Enum):
    """What an owner does to the repository."""

    SHARED = "shared"
    """Adds to it: any number at a time."""
    EXCLUSIVE = "exclusive"
    """Takes from it: alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock; `boot` names one start of one machine, `birth` one process of many with the same number."""

    hold: Hold
    command: str
    host: str
    pid: int
    boot: str
    birth: str
    since: str
    points: tuple[str, ...] = ()
    """The restore points that it is about to make."""

    def __str__(self) -> str:
        return f"`vhdx backup {self.command}` on {self.host} (process {self.pid}, since {self.since})"


class LockedError(BackupError):
    """Somebody else is at work in the repository."""

    exit_code = 5
    place: str
    owner: Owner

    text = (
        "{place} is in use by {owner}; wait until that is done (a lock whose owner is gone counts no more after "
        f"{STALE / 60:.0f} minutes)"
    )


class LockLostError(BackupError):
    """Our own lock was taken for dead, as after a long sleep, and somebody may have pruned since."""

    exit_code = 6
    place: str
    text = "{place}: the lock of this run was lost while it stood still; run it again, it resumes from there"


class Lock:
    """A lock that is held; a thread keeps it alive. Leaving the `with` statement removes it."""

    def __init__(self, place: Place, name: str, owner: Owner) -> None:
        """Write it: from now on others see it."""
        self.name = name
        self._place, self._owner = place, owner
        self._lock, self._last, self._lost = threading.Lock(), _Moment(), False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="vhdx lock", daemon=True)
        self._place.write(self.name, build_owner(self._owner))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self.release()

    def release(self) -> None:
        """Remove it."""
        with contextlib.suppress(BackupError):  # what stays is stale soon
            self._place.delete(self.name)

    def confirm(self) -> None:
        """See that the lock is still ours, and give another sign of life; raises LockLostError, PlaceError.

        Whoever has added something to the repository calls this before saying so, and before taking something away.
        """
        with self._lock:
            # A standstill between looking and writing shows in the time that both took.
            before, now = self._last, _Moment()
            self._lost |= self._place.size(self.name) is None
            if not self._lost:
                self._place.write(self.name, build_owner(self._owner))
            self._lost |= before.age > STALE
            self._last = now
        self.check()

    def check(self) -> None:
        """See that no time has passed in which the lock may have been taken for dead; asks nobody."""
        if self._lost or self._last.age > STALE:
            self._lost = True
            raise LockLostError(self._place.url)

    def claim(self, point: str, *, attempts: int = 3, wait: float = 0.2) -> bool:
        """Keep the name of a restore point for this run; False when somebody else who is alive makes one of it.

        Written first and looked for afterwards, like the lock itself: of two that come at once one at least has to go.
        Raises LockLostError, PlaceError.
        """
        for attempt in range(attempts):
            self._owner = replace(self._owner, points=(*self._owner.points, point))
            self.confirm()
            # Both may see each other and step back; they try again after a random wait. Both never go on.
            if not any(point in other.points for other in _others(self._place, self.name)):
                return True
            self._owner = replace(self._owner, points=self._owner.points[:-1])
            self.confirm()
            if attempt + 1 < attempts:
                _wait_about(wait)
        return False

    def _beat(self) -> None:
        while not self._ended.wait(PULSE):
            with contextlib.suppress(BackupError):  # whoever confirms hears of it, where it matters
                self.confirm()


class _Moment:
    """A point in time on two clocks: one that nobody sets, and one that advances while the machine sleeps."""

    def __init__(self) -> None:
        self._steady, self._wall = time.monotonic(), time.time()

    @property
    def age(self) -> float:
        """Seconds since."""
        return max(time.monotonic() - self._steady, time.time() - self._wall)


def take(place: Place, hold: Hold, command: str, *, attempts: int = 4, wait: float = 1.5) -> Lock:
    """Lock a repository; raises LockedError, after a few attempts, when somebody alive is in the way."""
    for attempt in range(attempts):
        lock = Lock(place, f"{FOLDER}/{secrets.token_hex(16)}.json", ourselves(hold, command))
        try:
            others = _others(place, lock.name)
            other = next((owner for owner in others if Hold.EXCLUSIVE in {owner.hold, hold}), None)
        except BaseException:
            lock.release()
            raise
        if other is None:
            return lock
        lock.release()
        if attempt + 1 < attempts:
            _wait_about(wait)
    raise LockedError(place.url, other or ourselves(hold, command))


def _wait_about(seconds: float) -> None:
    """Not all for the same time: two that came at once shall not meet again."""
    time.sleep(seconds * (0.5 + secrets.randbelow(1000) / 1000))


def _others(place: Place, own: str) -> Iterator[Owner]:
    """All others that are alive. The dead that exclude somebody are removed: they shall notice, if they wake."""
    entries = list(place.list(FOLDER))
    now = max((entry.modified for entry in entries if entry.name == own), default=0.0)
    for entry in entries:
        if entry.name == own:
            continue
        try:
            owner = parse_owner(place.read(entry.name))
        except MissingObjectError:  # it has just been released
            continue
        # A process of this very machine, since it started and in this namespace, is known to have ended.
        is_gone = bool(owner.boot) and owner.boot == _boot() and _birth(owner.pid) != owner.birth
        is_stale = bool(entry.modified and now) and now - entry.modified > STALE
        if is_gone or is_stale:
            place.delete(entry.name)
        else:
            yield owner


def ourselves(hold: Hold, command: str) -> Owner:
    """This process."""
    return Owner(
        hold=hold,
        command=command,
        host=socket.gethostname(),
        pid=os.getpid(),
        boot=_boot(),
        birth=_birth(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def build_owner(owner: Owner) -> bytes:
    """The document of a lock."""
    return json.dumps(asdict(owner) | {"hold": owner.hold.value}, indent=1).encode()


def parse_owner(stored: Stored) -> Owner:
    """Who holds a lock; one that cannot be read excludes everybody."""
    try:
        plain = json.loads(stored)
        texts = {key: str(plain[key])[:200] for key in ("command", "host", "boot", "birth", "since")}
        points = tuple(str(name)[:200] for name in plain.get("points", ()))
        return Owner(hold=Hold(plain["hold"]), pid=int(plain["pid"]), points=points, **texts)
    except (ValueError, KeyError, TypeError):
        unknown = "(unreadable)"
        return Owner(hold=Hold.EXCLUSIVE, command=unknown, host=unknown, pid=0, boot="", birth="", since=unknown)


def _boot() -> str:
    """One start of one machine and one namespace of processes; empty where the system does not say.

    A host name is not enough: containers share it, and see processes of their own.
    """
    if sys.platform != "linux":
        return ""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When a process was started, in the system's own count; empty when there is none."""
    try:
        # The name of the program is in brackets and may hold anything, brackets too.
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
