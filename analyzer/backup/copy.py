"""Restore points copied to another repository, whatever keys the two have: chunks are read, checked and stored anew."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from analyzer.backup.create import Confirm, publish
from analyzer.backup.errors import DamagedObjectError, MissingObjectError, PointRefusedError
from analyzer.backup.plan import Claim
from analyzer.backup.repository.chunks import candidate_ids, object_aside, set_aside_ids
from analyzer.backup.repository.index import Index, blank_index, id_array, raw
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import PLAIN, Repository
from analyzer.convert.threads import in_order
from analyzer.progress import Progress, no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What is copied; no chunk was read to make it."""

    source: Repository
    target: Repository
    points: tuple[Manifest, ...]
    """Oldest first."""
    there: tuple[str, ...]
    """The names of points that the target has already."""
    damaged: tuple[tuple[str, DamagedObjectError], ...]
    """Points whose manifest cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was done for one point; bytes of chunks as they are stored."""

    name: str
    chunks_written: int
    bytes_written: int


def plan_copy(source: Repository, target: Repository, names: Sequence[str], claim: Claim = lambda _: True) -> CopyPlan:
    """The points with these names; raises NoSuchPointError, PointRefusedError for a name that is taken."""
    points, there, damaged = list[Manifest](), list[str](), list[tuple[str, DamagedObjectError]]()
    known = set(target.names())
    for name in names:
        try:
            manifest = source.manifest(name)
        except DamagedObjectError as error:
            damaged.append((name, error))
            continue
        if name in known and replace(target.manifest(name), index_sha256=manifest.index_sha256) == manifest:
            there.append(name)
        elif name in known or not claim(name):
            reason = f"{target.place.url} has another one of that name, or a run is just making it"
            raise PointRefusedError(name, reason, "forget that one, or copy the others by name")
        else:
            points.append(manifest)
    points.sort(key=lambda one: (one.created, one.layer))
    return CopyPlan(source=source, target=target, points=tuple(points), there=tuple(there), damaged=tuple(damaged))


class PointCopier:
    """Copies points one after the other; what several share is read once. Close it, or use `closing`."""

    def __init__(self, plan: CopyPlan) -> None:
        """Reads the indexes of what both have."""
        self._source, self._target = plan.source, plan.target
        place = plan.target.place
        self._from, self._to = plan.source.chunks(), plan.target.chunks(candidate_ids(place, plan.target.codec))
        self._aside, self._back = set_aside_ids(place), set[bytes]()
        # Where neither has a key, ids are alike, and what is there need not be read.
        self._alike = plan.source.settings.mode == plan.target.settings.mode == PLAIN
        self._known = dict[bytes, bytes]()
        """By the id of a chunk in the source its id in the target."""
        for name in () if self._alike else plan.there:
            self._learn(name)

    def _learn(self, name: str) -> None:
        """What both repositories have of a point tells which chunks are the same."""
        try:
            indexes = [kept.index(kept.manifest(name)) for kept in (self._source, self._target)]
        except (MissingObjectError, DamagedObjectError):
            return
        pairs = zip(*(map(raw, id_array(index.ids).tolist()) for index in indexes), strict=True)
        self._known |= {old: new for old, new in pairs if new not in self._aside}

    def copy(self, manifest: Manifest, progress: Progress = no_progress, confirm: Confirm = lambda: None) -> Copied:
        """Copy a point, whole or not at all: chunks first, then index and manifest.

        Raises what reading chunks raises, LockLostError and PlaceError.
        """
        before = self._to.written, self._to.written_bytes
        index = self._index_of(manifest, progress)
        self._to.flush()
        confirm()
        made = replace(manifest, index_sha256=self._target.write_index(manifest.name, index.document))
        publish(self._target, made, confirm)
        for chunk_id in self._back:
            self._target.place.delete(object_aside(chunk_id))
        self._back.clear()
        written, size = self._to.written - before[0], self._to.written_bytes - before[1]
        return Copied(name=made.name, chunks_written=written, bytes_written=size)

    def close(self) -> None:
        """Leave nothing behind that is half written."""
        self._to.discard()

    def _index_of(self, manifest: Manifest, progress: Progress) -> Index:
        """The index of a point in the target, all of whose chunks are stored."""
        before = self._source.index(manifest)
        some, places = np.unique(id_array(before.ids), return_inverse=True)
        ids = [raw(one) for one in some.tolist()]
        with closing(in_order(self._stored, [one for one in ids if one not in self._known])) as stored:
            for old, new in stored:
                self._known[old] = new
                self._back |= {new} & self._aside
                progress(before.chunk_size)
        after = blank_index(before.chunk_size, before.size)
        translated = np.frombuffer(b"".join(self._known[one] for one in ids), np.uint8).reshape(len(ids), -1)
        after.ids[:] = translated[places.reshape(-1)]
        return after

    def _stored(self, chunk_id: bytes) -> tuple[bytes, bytes]:
        """A chunk's id in the source and in the target, where it is stored now. Called by threads."""
        if self._alike and self._to.has(chunk_id):
            return chunk_id, chunk_id
        return chunk_id, self._to.put(self._from.get(chunk_id))
