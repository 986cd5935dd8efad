"""Delete the chunks that no restore point refers to: mark, put on a list, and sweep once the list is old enough.

A chunk that is found unreferenced is only put on a list. It goes when it is still unreferenced on a later pass, and the
list is older than the window: whatever was being written when the list was made has its restore point by then, even
where locks failed. A `create` takes what is on a list for absent and writes it anew. docs/backup-places.md has why.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from analyzer.backup.locks.locks import FOLDER as LOCKS
from analyzer.backup.locks.locks import STALE, Lock
from analyzer.backup.mark import mark
from analyzer.backup.repository.candidates import CandidateList, read_candidates, write_candidates
from analyzer.backup.repository.chunks import ChunkStore, id_of_object
from analyzer.backup.repository.codec import Codec
from analyzer.backup.storage.storage import Entry, Place
from analyzer.progress import Progress, no_progress

# Longer than any `create` should take: what was being made when the list was written has its restore point by then.
# It is the only protection where a process sleeps between looking at its lock and its next request.
WINDOW = 24 * 3600.0
"""Seconds between finding a chunk unreferenced and deleting it."""
# Deletions between two looks at the lock.
# A look is a request to the server, a deletion too: one in 256 more. Between two looks at most so many chunks go that
# a run which thinks this one dead may have begun to need, and these had waited for the window already.
_CONFIRM_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What a prune is going to do; sizes in bytes, `window` in seconds."""

    window: float
    points: int
    chunks: int
    chunk_bytes: int
    ripe: tuple[Entry, ...]
    """Objects of chunks that go now."""
    waiting: tuple[Entry, ...]
    """Objects of chunks that are on a list which is not old enough."""
    fresh: tuple[Entry, ...]
    """Objects of chunks that were found unreferenced for the first time: they are put on a list."""
    remains: tuple[Entry, ...]
    """What interrupted runs left: uploads that did not end, indexes of points that have no manifest."""
    done_lists: tuple[str, ...]
    """Lists of which nothing is left once `ripe` is gone."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.ripe or self.fresh or self.remains or self.done_lists)


class _Fate(Enum):
    """What becomes of a chunk."""

    STAYS = auto()
    GOES = auto()
    WAITS = auto()
    IS_NEW = auto()


def plan_prune(place: Place, codec: Codec, lock: Lock, window: float = WINDOW) -> PrunePlan:
    """Look at everything; raises UnknownReferencesError when an index cannot be read.

    `lock` is the exclusive one; it also tells the place's time.
    """
    now = _time_at(place, lock)
    limit = now - window
    marked = mark(place, codec, limit)
    # The oldest list first: a chunk that several have waits since the first of them.
    lists = sorted(read_candidates(place, codec), key=lambda found: found.since)
    sorted_out: dict[_Fate, list[Entry]] = {fate: [] for fate in _Fate}
    for chunk, entry in ChunkStore(place, codec).entries():
        fate = _Fate.STAYS if chunk in marked.ids else _fate(entry, _listed(chunk, entry, lists), window, limit)
        sorted_out[fate].append(entry)
    stored = [entry for entries in sorted_out.values() for entry in entries]
    left = {id_of_object(entry.name) for entry in sorted_out[_Fate.WAITS]}
    return PrunePlan(
        window=window,
        points=marked.points,
        chunks=len(stored),
        chunk_bytes=sum(entry.size for entry in stored),
        ripe=tuple(sorted_out[_Fate.GOES]),
        waiting=tuple(sorted_out[_Fate.WAITS]),
        fresh=tuple(sorted_out[_Fate.IS_NEW]),
        remains=(*marked.orphans, *_left_over(place, now - max(window, STALE))),
        done_lists=tuple(found.name for found in lists if left.isdisjoint(found.ids)),
    )


def run_prune(plan: PrunePlan, place: Place, codec: Codec, lock: Lock, progress: Progress = no_progress) -> None:
    """Do it. Whatever happens in between, no restore point loses a chunk, and another run goes on from there.

    Raises LockLostError, PlaceError. `progress` counts bytes of chunks.
    """
    if plan.fresh:
        write_candidates(place, codec, _ids(plan.fresh))
    lock.confirm()
    for number, entry in enumerate((*plan.ripe, *plan.remains), 1):
        if number % _CONFIRM_EVERY:
            lock.check()
        else:
            lock.confirm()
        place.delete(entry.name)
        progress(entry.size)
    for name in plan.done_lists:
        place.delete(name)


def _time_at(place: Place, lock: Lock) -> float:
    """What the place's own clock says, seconds since 1970: our lock has just been written there."""
    return next((entry.modified for entry in place.list(LOCKS) if entry.name == lock.name), 0.0)


def _listed(chunk: bytes, entry: Entry, lists: Iterable[CandidateList]) -> float | None:
    """Since when a chunk is on a list; None where it is on none, or was written after all that it is on."""
    return next((found.since for found in lists if chunk in found.ids and found.since > entry.modified), None)


def _fate(entry: Entry, listed: float | None, window: float, limit: float) -> _Fate:
    """What becomes of a chunk that nothing refers to. Where a place tells no times, only a window of 0 deletes."""
    if not window or (listed is not None and entry.modified and listed <= limit):
        return _Fate.GOES
    return _Fate.WAITS if listed is not None or not entry.modified else _Fate.IS_NEW


def _left_over(place: Place, limit: float) -> Iterator[Entry]:
    """Uploads that did not end. One that is young may be somebody's lock, on its way: no window makes that a rest."""
    return (entry for entry in place.unfinished() if entry.is_before(limit))


def _ids(entries: Iterable[Entry]) -> Iterator[bytes]:
    return (chunk for entry in entries if (chunk := id_of_object(entry.name)) is not None)
