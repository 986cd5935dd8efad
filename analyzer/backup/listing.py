"""What is in a repository, as far as that is known without reading a chunk: what is wrong, and what takes room."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from analyzer.backup.errors import BackupError, DamagedObjectError, MissingObjectError
from analyzer.backup.repository.chunks import object_of, read_candidates
from analyzer.backup.repository.index import IdArray, id_array, ids_from, places_in, raw
from analyzer.backup.repository.repository import LEAFLETS, Repository, index_object, leaflet, manifest_object


class Traces(Enum):
    """What a verification leaves in the repository."""

    KEPT = "kept"
    """What was good is remembered, bad chunks are set aside, README.md and restore.py are written anew."""
    NONE = "none"
    """Nothing is written."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One object that is not as it was written."""

    object: str
    reason: str
    points: tuple[str, ...]
    """The restore points that need it."""


@dataclass
class Survey:
    """Points, what they need, and what is wrong so far."""

    problems: list[Problem] = field(default_factory=list)
    needed: dict[str, IdArray] = field(default_factory=dict)
    """By point: its ids, sorted, each once."""

    def users_of(self, chunk_id: bytes) -> tuple[str, ...]:
        """The points that need a chunk."""
        wanted = ids_from([chunk_id])
        return tuple(name for name, ids in self.needed.items() if places_in(wanted, ids)[0] >= 0)


def survey_of(repository: Repository, traces: Traces) -> Survey:
    """Read all documents and indexes."""
    manifests, damaged = repository.survey()
    survey = Survey([Problem(manifest_object(name), reason, (name,)) for name, reason in damaged.items()])
    survey.problems += _leaflet_problems(repository, traces)
    lists = read_candidates(repository.place, repository.codec)
    survey.problems += [Problem(found.name, found.flaw, ()) for found in lists if found.flaw]
    for manifest in manifests:
        try:
            survey.needed[manifest.name] = np.unique(id_array(repository.index(manifest).ids))
        except BackupError as error:
            # What is wrong, without the place and the advice that are around it elsewhere.
            reason = "it is missing" if isinstance(error, MissingObjectError) else str(error)
            reason = error.reason if isinstance(error, DamagedObjectError) else reason
            survey.problems.append(Problem(index_object(manifest.name), reason, (manifest.name,)))
    return survey


def _leaflet_problems(repository: Repository, traces: Traces) -> Iterator[Problem]:
    """README and restore.py; one that can be is written anew."""
    for name in LEAFLETS:
        expected = (repository.settings.leaflets or {}).get(name)
        try:
            found = hashlib.sha256(repository.place.read(name)).hexdigest()
        except MissingObjectError:
            found = ""
        if found != expected:
            text = leaflet(name, repository.settings.mode)
            again = hashlib.sha256(text).hexdigest() == expected
            advice = "copy it from another repository"
            if again and traces is Traces.KEPT:
                repository.place.write(name, text)
                advice = "it was written anew"
            elif again:
                advice = "a `vhdx backup verify` that reads chunks, and may write, writes it anew"
            yield Problem(name, f"it is missing or was changed; {advice}", ())


def missing_chunks(survey: Survey, stored: IdArray) -> list[bytes]:
    """The chunks that a point needs and that are not there; each is a problem of the survey."""
    gone = sorted({raw(one) for ids in survey.needed.values() for one in ids[places_in(ids, stored) < 0].tolist()})
    for chunk_id in gone:
        survey.problems.append(Problem(object_of(chunk_id), "it is missing", survey.users_of(chunk_id)))
    return gone


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
