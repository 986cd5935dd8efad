"""Locks that survive a crash: objects with an owner and a pulse, which count no more once the owner is gone.

A lock is written first and looked for afterwards, so of two that come at once at least one sees the other, on every
place that shows what was written; nothing more is asked of it. Ages are measured by the place's own clock: a lock's
age is how much older its object is than our own, which was written a moment ago. docs/backup-places.md has the whole.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from analyzer.backup.errors import BackupError, MissingObjectError
from analyzer.backup.lock_owner import Hold, Owner, build_owner, has_ended, ourselves, parse_owner
from analyzer.backup.storage.remote_folder import Place
from analyzer.text import plural

FOLDER = "locks"
# Seven signs within the time after which a lock is stale: a few may fail on a bad connection.
PULSE = 40.0
"""Seconds between two signs of life."""
# Longer than all attempts of a call on a dead connection together (six of 30 s, and pauses), and than the minute to
# which some FTP servers round times; shorter than an administrator's patience. Tests set both of them aside with a
# clock of their own; no test fixes the numbers.
STALE = 300.0
"""Seconds without one after which an owner counts as gone."""
# Of three signs none has come: who asks for it by name knows more than a clock does.
SILENT = 3 * PULSE
"""Seconds without one after which `unlock` takes a lock away."""
_POLL = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A lock that is there."""

    object: str
    owner: Owner
    silent: float | None
    """Seconds since its last sign of life, by the place's clock; None where the place gives no times."""

    @property
    def is_gone(self) -> bool:
        """Whether it counts no more."""
        return has_ended(self.owner) or (self.silent is not None and self.silent > STALE)

    def __str__(self) -> str:
        when = f"; last sign of life {plural(int(self.silent), 'second')} ago" if self.silent is not None else ""
        return f"{self.owner}{when}"


class LockedError(BackupError):
    """Somebody else is at work in the repository."""

    exit_code = 5
    place: str
    holder: Standing

    text = (
        "{place} is in use by {holder}; let it end (--wait 10m waits for that), or, if that run is dead, use "
        f"`vhdx backup unlock` (without a sign of life it counts no more after {STALE / 60:.0f} minutes)"
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
            if not any(point in other.owner.points for other in _others(self._place, self.name)):
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


Waiting = Callable[["LockedError"], None]
"""Hears of each refusal while a run waits for the lock."""


def take(
    place: Place,
    hold: Hold,
    command: str,
    *,
    patience: float = 0.0,
    waiting: Waiting = lambda _: None,
    attempts: int = 4,
    wait: float = 1.5,
) -> Lock:
    """Lock a repository; raises LockedError when somebody alive is in the way, for `patience` more seconds too."""
    begun = time.monotonic()
    while True:
        try:
            return _take(place, hold, command, attempts, wait)
        except LockedError as error:
            left = patience - (time.monotonic() - begun)
            if left <= 0:
                raise
            waiting(error)
        _wait_about(min(_POLL, left))


def _take(place: Place, hold: Hold, command: str, attempts: int, wait: float) -> Lock:
    for attempt in range(attempts):
        lock = Lock(place, f"{FOLDER}/{secrets.token_hex(16)}.json", ourselves(hold, command))
        try:
            others = _others(place, lock.name)
            other = next((one for one in others if Hold.EXCLUSIVE in {one.owner.hold, hold}), None)
        except BaseException:
            lock.release()
            raise
        if other is None:
            return lock
        lock.release()
        if attempt + 1 < attempts:
            _wait_about(wait)
    raise LockedError(place.url, other or Standing(object=lock.name, owner=ourselves(hold, command), silent=None))


def _wait_about(seconds: float) -> None:
    """Not all for the same time: two that came at once shall not meet again."""
    time.sleep(seconds * (0.5 + secrets.randbelow(1000) / 1000))


def _others(place: Place, own: str) -> Iterator[Standing]:
    """All others that are alive. The dead that exclude somebody are removed: they shall notice, if they wake."""
    for found in _standing(place, own):
        if found.is_gone:
            place.delete(found.object)
        else:
            yield found


def _standing(place: Place, own: str) -> Iterator[Standing]:
    """All other locks; ages are measured by our own, which has just been written."""
    entries = list(place.list(FOLDER))
    now = max((entry.modified for entry in entries if entry.name == own), default=0.0)
    for entry in entries:
        if entry.name == own:
            continue
        with contextlib.suppress(MissingObjectError):  # it has just been released
            silent = max(0.0, now - entry.modified) if entry.modified and now else None
            yield Standing(object=entry.name, owner=parse_owner(place.read(entry.name)), silent=silent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """The locks that were taken away, and those that stay."""

    removed: tuple[Standing, ...]
    kept: tuple[Standing, ...]


def unlock(place: Place, *, silent: float = SILENT) -> Unlocked:
    """Remove locks whose owner is dead, or has given no sign of life for so many seconds; 0: all of them.

    An owner that lives after all sees that its lock is gone, and stops before it adds or deletes anything more. Raises
    PlaceError.
    """
    # A lock of our own gives the place's time. It excludes nobody for longer than a listing takes.
    own = Lock(place, f"{FOLDER}/{secrets.token_hex(16)}.json", ourselves(Hold.SHARED, "unlock"))
    removed, kept = list[Standing](), list[Standing]()
    try:
        for found in _standing(place, own.name):
            goes = not silent or found.is_gone or (found.silent is not None and found.silent > silent)
            if goes:
                place.delete(found.object)
            (removed if goes else kept).append(found)
    finally:
        own.release()
    return Unlocked(removed=tuple(removed), kept=tuple(kept))
