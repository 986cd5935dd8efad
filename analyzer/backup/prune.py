"""What takes room; and the chunks deleted that no restore point refers to: marked, listed, swept once the list is old.

A chunk that is found unreferenced is only put on a list. It goes when it is still unreferenced on a later pass, and the
list is older than the window: whatever was being written when the list was made has its restore point by then, even
where locks failed. A `create` takes what is on a list for absent and writes it anew. docs/backup-places.md has why.
"""

from dataclasses import dataclass

import numpy as np

from analyzer.backup.errors import BackupError, BadDocumentError, DamagedObjectError, MissingObjectError
from analyzer.backup.locks import FOLDER as LOCKS
from analyzer.backup.locks import Lock
from analyzer.backup.repository.chunks import id_of_object, read_candidates, write_candidates
from analyzer.backup.repository.index import id_array, ids_from, places_in
from analyzer.backup.repository.manifest import parse_document
from analyzer.backup.repository.names import POINTS, index_object, manifest_object, name_in
from analyzer.backup.repository.repository import Repository
from analyzer.backup.storage.storage import Entry
from analyzer.progress import Progress, no_progress

# Longer than any `create` should take: what was being made when the list was written has its restore point by then.
# It is the only protection where a process sleeps between looking at its lock and its next request.
WINDOW = 24 * 3600.0
"""Seconds between finding a chunk unreferenced and deleting it."""
# Seconds for which an upload may be going on: 16 MiB over a line of a few KiB a second.
_YOUNG = 1800.0
# Deletions between two looks at the lock.
# A look is a request to the server, a deletion too: one in 256 more. Between two looks at most so many chunks go that
# a run which thinks this one dead may have begun to need, and these had waited for the window already.
_CONFIRM_EVERY = 256


class UnknownReferencesError(BackupError):
    """It cannot be determined what a restore point refers to, so nothing may be deleted."""

    url: str
    point: str
    reason: str
    text = (
        "{url}: nothing was pruned, for what restore point {point!r} needs is not known ({reason}); get that object "
        "back from another copy, or give the point up with `vhdx backup forget`"
    )


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


def plan_prune(repository: Repository, lock: Lock, window: float = WINDOW) -> PrunePlan:
    """Look at everything; raises UnknownReferencesError when an index cannot be read.

    `lock` is the exclusive one; it also gives the place's time.
    """
    place, codec = repository.place, repository.codec
    # The place's own clock: our lock has just been written there.
    now = next((entry.modified for entry in place.list(LOCKS) if entry.name == lock.name), 0.0)
    limit = now - window
    points, needed, orphans = _mark(repository, limit)
    # The oldest list first: a chunk that several have waits since the first of them.
    lists = sorted(read_candidates(place, codec), key=lambda found: found.since)
    stored, ripe, waiting, fresh = list(repository.chunks().entries()), list[Entry](), list[Entry](), list[Entry]()
    for chunk, entry in stored:
        if chunk in needed:
            continue
        # A chunk that was written after all lists that it is on is on none: a `create` has brought it back.
        since = next((found.since for found in lists if chunk in found.ids and found.since > entry.modified), None)
        # Where a place gives no times, only a window of 0 deletes.
        if not window or (since is not None and entry.modified and since <= limit):
            ripe.append(entry)
        else:
            (waiting if since is not None or not entry.modified else fresh).append(entry)
    left = {id_of_object(entry.name) for entry in waiting}
    return PrunePlan(
        window=window,
        points=points,
        chunks=len(stored),
        chunk_bytes=sum(entry.size for _, entry in stored),
        ripe=tuple(ripe),
        waiting=tuple(waiting),
        fresh=tuple(fresh),
        # An upload that is young may be somebody's lock, on its way: no window makes that a left-over.
        remains=(*orphans, *(entry for entry in place.unfinished() if entry.is_before(now - max(window, _YOUNG)))),
        done_lists=tuple(found.name for found in lists if left.isdisjoint(found.ids)),
    )


def run_prune(plan: PrunePlan, repository: Repository, lock: Lock, progress: Progress = no_progress) -> None:
    """Do it. Whatever happens in between, no restore point loses a chunk, and another run continues from there.

    Raises LockLostError, PlaceError. `progress` counts bytes of chunks.
    """
    place = repository.place
    if plan.fresh:
        ids = (chunk for entry in plan.fresh if (chunk := id_of_object(entry.name)) is not None)
        write_candidates(place, repository.codec, ids)
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


def _mark(repository: Repository, limit: float) -> tuple[int, set[bytes], list[Entry]]:
    """How many points there are, the chunks that they refer to, and indexes without a point.

    Names that no restore point can have (a server may show anything) are passed over, as whoever lists points does it.
    An index alone is a point that is being made, or one that never was: an orphan when it was written before `limit`.
    Raises UnknownReferencesError.
    """
    entries, names = {entry.name: entry for entry in repository.place.list(POINTS)}, set[str]()
    for stored_as in entries:
        stored, _, suffix = stored_as.removeprefix(f"{POINTS}/").rpartition(".")
        if suffix in {"caibx", "json"} and (name := name_in(stored)):
            names.add(name)
    alone = [entries[index_object(name)] for name in names if manifest_object(name) not in entries]
    orphans = [entry for entry in alone if entry.is_before(limit)]
    names -= {name for name in names if entries.get(index_object(name)) in orphans}
    ids = set[bytes]().union(*(_references(repository, name, manifest_object(name) in entries) for name in names))
    return len(names), ids, orphans


def _references(repository: Repository, point: str, has_manifest: bool) -> set[bytes]:  # noqa: FBT001 - a fact
    """The ids in the index of a point, which must be the one that its manifest names, bit for bit."""
    place, name, sha256 = repository.place, manifest_object(point), None
    try:
        if has_manifest:
            # Whatever else is in the manifest: one of a later version protects its chunks too.
            sha256 = str(parse_document(repository.codec.open(name, place.read(name)))["index_sha256"])
        index = repository.stored_index(point, sha256)
    except MissingObjectError as error:
        raise UnknownReferencesError(place.url, point, f"{error.name} is missing") from None
    except DamagedObjectError as error:
        raise UnknownReferencesError(place.url, point, f"{error.name}: {error.reason}") from error
    except (BadDocumentError, KeyError) as error:
        reason = f"{name}: {error}, so its index cannot be compared with it"
        raise UnknownReferencesError(place.url, point, reason) from error
    return {index.id_of(number) for number in range(len(index.ids))}


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStats:
    """One restore point; bytes are of packed chunks."""

    name: str
    size: int
    """Bytes of its disk."""
    chunks: int
    """Different ones."""
    bytes: int
    own_chunks: int
    """That no other point needs: what `forget` and `prune` would bring back."""
    own_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A whole repository; bytes are of packed chunks."""

    points: tuple[PointStats, ...]
    disk_bytes: int
    """Of the disks of all points together."""
    chunks: int
    bytes: int
    unused_chunks: int
    """That no point needs of which the manifest can be read."""
    unused_bytes: int
    damaged: tuple[str, ...] = ()
    """The points whose manifest cannot be read; what they need is among the unused."""


def stats_of(repository: Repository) -> Stats:
    """Count; raises what reading manifests and indexes raises."""
    entries = list(repository.chunks().entries())
    stored = ids_from(chunk_id for chunk_id, _ in entries)
    order = np.argsort(stored)
    stored, sizes = stored[order], np.array([entry.size for _, entry in entries], np.int64)[order]
    manifests, damaged = repository.survey()
    used = []
    for manifest in manifests:
        place = places_in(np.unique(id_array(repository.index(manifest).ids)), stored)
        used.append(place[place >= 0])
    users = np.bincount(np.concatenate([*used, np.empty(0, np.intp)]), minlength=len(stored))
    counted = []
    for manifest, place in zip(manifests, used, strict=True):
        own = place[users[place] == 1]
        counted.append(
            PointStats(
                name=manifest.name,
                size=manifest.size,
                chunks=len(place),
                bytes=int(sizes[place].sum()),
                own_chunks=len(own),
                own_bytes=int(sizes[own].sum()),
            )
        )
    unused = users == 0
    return Stats(
        points=tuple(counted),
        disk_bytes=sum(manifest.size for manifest in manifests),
        chunks=len(stored),
        bytes=int(sizes.sum()),
        unused_chunks=int(unused.sum()),
        unused_bytes=int(sizes[unused].sum()),
        damaged=tuple(damaged),
    )
