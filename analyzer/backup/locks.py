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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Self

from analyzer.backup.errors import BackupError, MissingObjectError
from analyzer.backup.place import Entry, Place

FOLDER = "locks"
PULSE = 240.0
"""Seconds between two signs of life."""
STALE = 1800.0
"""Seconds without one after which an owner counts as gone."""


class Hold(Enum):
    """What an owner does to the repository."""

    SHARED = "shared"
    """Adds to it: any number at a time."""
    EXCLUSIVE = "exclusive"
    """Takes from it: alone."""


class LockedError(BackupError):
    """Somebody else is at work in the repository."""

    exit_code = 5

    def __init__(self, place: str, owner: "Owner") -> None:
        super().__init__(place, owner)
        self.place, self.owner = place, owner

    def __str__(self) -> str:
        return (
            f"{self.place} is in use by {self.owner}; wait until that is done (a lock whose owner is gone counts no "
            f"more after {STALE / 60:.0f} minutes)"
        )


class LockLostError(BackupError):
    """Our own lock was taken for dead, as after a long sleep, and somebody may have pruned since."""

    exit_code = 6

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: the lock of this run was lost while it stood still; run it again, it goes on from there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock; `boot` tells one start of one machine, `birth` one process of many with the same number."""

    hold: Hold
    command: str
    host: str
    pid: int
    boot: str
    birth: str
    since: str

    def __str__(self) -> str:
        return f"`vhdx backup {self.command}` on {self.host} (process {self.pid}, since {self.since})"


class Lock:
    """A lock that is held; a thread keeps it alive. Leaving the `with` statement removes it."""

    def __init__(self, place: Place, name: str, data: bytes) -> None:
        """Write it: from now on others see it."""
        self.name = name
        self._place, self._data = place, data
        self._lock, self._last, self._lost = threading.Lock(), _Moment(), False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="vhdx lock", daemon=True)
        place.write(name, data)

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
        self._sign()
        self.check()

    def check(self) -> None:
        """See that no time has passed in which the lock may have been taken for dead; asks nobody."""
        if self._lost or self._last.age > STALE:
            self._lost = True
            raise LockLostError(self._place.url)

    def _sign(self) -> None:
        """Another sign of life. A standstill between looking and writing shows in the time that both took."""
        with self._lock:
            before, now = self._last, _Moment()
            self._lost |= self._place.size(self.name) is None
            if not self._lost:
                self._place.write(self.name, self._data)
            self._lost |= before.age > STALE
            self._last = now

    def _beat(self) -> None:
        while not self._ended.wait(PULSE):
            with contextlib.suppress(BackupError):  # `confirm` tells, where it matters
                self._sign()


class _Moment:
    """A point in time on two clocks: one that nobody sets, and one that goes on while the machine sleeps."""

    def __init__(self) -> None:
        self._steady, self._wall = time.monotonic(), time.time()

    @property
    def age(self) -> float:
        """Seconds since."""
        return max(time.monotonic() - self._steady, time.time() - self._wall)


def take(place: Place, hold: Hold, command: str, *, attempts: int = 4, wait: float = 1.5) -> Lock:
    """Lock a repository; raises LockedError, after a few attempts, when somebody alive is in the way."""
    for attempt in range(attempts):
        lock = Lock(place, f"{FOLDER}/{secrets.token_hex(16)}.json", _to_bytes(_ourselves(hold, command)))
        try:
            other = _in_the_way(place, lock.name, hold)
        except BaseException:
            lock.release()
            raise
        if other is None:
            return lock
        lock.release()
        if attempt + 1 < attempts:
            time.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
    raise LockedError(place.url, other or _ourselves(hold, command))


def owners(place: Place) -> list[Owner]:
    """Who has a lock in the repository, dead or alive."""
    found = (_owner(place, entry.name) for entry in place.list(FOLDER))
    return [owner for owner in found if owner is not None]


def _in_the_way(place: Place, own: str, hold: Hold) -> Owner | None:
    """Somebody alive whose hold and ours exclude each other. The dead are removed: they shall notice, if they wake."""
    entries = list(place.list(FOLDER))
    now = max((entry.modified for entry in entries if entry.name == own), default=0.0)
    for entry in entries:
        owner = None if entry.name == own else _owner(place, entry.name)
        if owner is None or Hold.EXCLUSIVE not in {owner.hold, hold}:
            continue
        if not _is_gone(owner) and not _is_stale(entry, now):
            return owner
        place.delete(entry.name)
    return None


def _is_stale(entry: Entry, now: float) -> bool:
    return bool(entry.modified and now) and now - entry.modified > STALE


def _owner(place: Place, name: str) -> Owner | None:
    """Who holds a lock; None for one that has just been released. One that cannot be read excludes everybody."""
    try:
        plain = json.loads(place.read(name))
        texts = {key: str(plain[key])[:200] for key in ("command", "host", "boot", "birth", "since")}
        return Owner(hold=Hold(plain["hold"]), pid=int(plain["pid"]), **texts)
    except MissingObjectError:
        return None
    except (ValueError, KeyError, TypeError):
        unknown = dict.fromkeys(("command", "host", "since"), "(unreadable)")
        return Owner(hold=Hold.EXCLUSIVE, pid=0, boot="", birth="", **unknown)


def _ourselves(hold: Hold, command: str) -> Owner:
    return Owner(
        hold=hold,
        command=command,
        host=socket.gethostname(),
        pid=os.getpid(),
        boot=_boot(),
        birth=_birth(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _to_bytes(owner: Owner) -> bytes:
    return json.dumps(asdict(owner) | {"hold": owner.hold.value}, indent=1).encode()


def _is_gone(owner: Owner) -> bool:
    """Whether a process of this very machine, since it started and in this namespace, is known to have ended."""
    return bool(owner.boot) and owner.boot == _boot() and _birth(owner.pid) != owner.birth


def _boot() -> str:
    """One start of one machine and one namespace of processes; empty where the system does not tell.

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
        # The name of the program stands in brackets and may hold anything, brackets too.
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
