"""Whether what is in a repository is what was put there: documents, indexes, chunks.

When each chunk was last read and found good is remembered, so that a share of a repository can be verified at a time.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from analyzer.backup.errors import BackupError, BadChunkError, DamagedObjectError, MissingObjectError
from analyzer.backup.repository.chunks import object_of, read_candidates, set_aside
from analyzer.backup.repository.codec import ID_SIZE
from analyzer.backup.repository.index import IdArray, id_array, ids_from, places_in, raw
from analyzer.backup.repository.names import index_object, manifest_object
from analyzer.backup.repository.repository import LEAFLETS, Repository, leaflet
from analyzer.backup.storage.remote_folder import Place
from analyzer.convert.threads import in_order
from analyzer.progress import Progress, no_progress

OBJECT = "state/verified"
"""A signature, the ids (sorted), their times (u32, little-endian), and the SHA-256 of all that."""
_SIGNATURE = b"vhdxgood"
# Seconds between two writings of what was found good.
_KEPT_EVERY = 60.0
Times = npt.NDArray[np.uint32]
"""Seconds since 1970; 0: never."""


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


@dataclass(frozen=True, slots=True)
class Losses:
    """What of a disk was lost when its point was made, as that says: nothing is wrong with the repository for it."""

    point: str
    ranges: int
    bytes: int


@dataclass
class Survey:
    """Points, what they need, and what is wrong so far."""

    problems: list[Problem] = field(default_factory=list)
    needed: dict[str, IdArray] = field(default_factory=dict)
    """By point: its ids, sorted, each once."""
    losses: list[Losses] = field(default_factory=list)

    def users_of(self, chunk_id: bytes) -> tuple[str, ...]:
        """The points that need a chunk."""
        wanted = ids_from([chunk_id])
        return tuple(name for name, ids in self.needed.items() if places_in(wanted, ids)[0] >= 0)


class Depth(Enum):
    """How far to look."""

    INDEXES = "indexes"
    """Documents and indexes, and whether every chunk is there; none is read."""
    CHUNKS = "chunks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which chunks are read: those that were not read for the longest time come first."""

    depth: Depth = Depth.CHUNKS
    percent: float = 100.0
    seconds: float | None = None
    """When to stop; None: when all is done."""
    traces: Traces = Traces.KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found."""

    points: int
    chunks: int
    """That are stored."""
    checked: int
    """That were read now."""
    never: int
    """That were never read by a verification, this one included."""
    oldest: int | None
    """When the chunk was last good that was not read for longest, seconds since 1970; None while some never were."""
    problems: tuple[Problem, ...]
    losses: tuple[Losses, ...]
    """Of the points of disks that were not known whole when they were made."""


def verify(repository: Repository, scope: Scope, progress: Progress = no_progress) -> Verification:
    """Look at all documents, and at as many chunks as the scope asks for; with traces, bad chunks are set aside.

    Raises PlaceError when the place fails.
    """
    survey = survey_of(repository, scope.traces)
    stored = np.sort(ids_from(chunk_id for chunk_id, _ in repository.chunks().entries()))
    gone = missing_chunks(survey, stored)
    try:
        times = _remembered(stored, repository.place)
    except DamagedObjectError as error:
        survey.problems.append(Problem(OBJECT, f"{error.reason}; when chunks were last good is forgotten", ()))
        times = np.zeros(len(stored), np.uint32)
    # The places of the chunks to be read, the longest unread first.
    order: list[int] = np.argsort(times, kind="stable")[: -int(-len(times) * scope.percent // 100)].tolist()
    reading = _Reading(repository, survey, stored, times, scope.traces)
    checked = 0
    if scope.depth is Depth.CHUNKS:
        for chunk_id in gone if scope.traces is Traces.KEPT else ():
            if repository.place.size(object_of(chunk_id)) is None:  # nobody has stored it anew since
                set_aside(repository.place, chunk_id)
        checked = reading.run(order, scope, progress)
    never = int((times == 0).sum()) - reading.bad
    return Verification(
        points=len(survey.needed),
        chunks=len(stored),
        checked=checked,
        never=never,
        oldest=int(times[times > 0].min()) if times.any() and not never else None,
        problems=tuple(survey.problems),
        losses=tuple(survey.losses),
    )


def survey_of(repository: Repository, traces: Traces) -> Survey:
    """Read all documents and indexes."""
    manifests, damaged = repository.survey()
    survey = Survey([Problem(manifest_object(name), reason, (name,)) for name, reason in damaged.items()])
    survey.problems += _leaflet_problems(repository, traces)
    lists = read_candidates(repository.place, repository.codec)
    survey.problems += [Problem(found.name, found.flaw, ()) for found in lists if found.flaw]
    for manifest in manifests:
        if manifest.lost:
            survey.losses.append(Losses(manifest.name, len(manifest.lost), manifest.lost_bytes))
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


def _remembered(ids: IdArray, place: Place) -> Times:
    """When each of the ids was last good, 0 where nothing is remembered; raises DamagedObjectError, PlaceError."""
    try:
        stored = place.read(OBJECT)
    except MissingObjectError:
        return np.zeros(len(ids), np.uint32)
    body, checksum = stored[:-32], stored[-32:]
    count, rest = divmod(len(body) - len(_SIGNATURE), ID_SIZE + 4)
    if count < 0 or rest or not body.startswith(_SIGNATURE) or hashlib.sha256(body).digest() != checksum:
        raise DamagedObjectError(place.url, OBJECT, "its SHA-256 is not the one it was written with")
    at = places_in(ids, np.frombuffer(body, f"S{ID_SIZE}", count, len(_SIGNATURE)))
    times = np.frombuffer(body, "<u4", count, len(_SIGNATURE) + count * ID_SIZE)
    return np.where(at >= 0, times[at], 0).astype(np.uint32) if count else np.zeros(len(ids), np.uint32)


class _Reading:
    """Reads chunks and keeps account."""

    def __init__(self, repository: Repository, survey: Survey, stored: IdArray, times: Times, traces: Traces) -> None:
        self._repository, self._survey, self._stored, self._times = repository, survey, stored, times
        self._leaves_traces = traces is Traces.KEPT
        self._store = repository.chunks()
        self._kept = time.monotonic()
        self.bad = 0

    def run(self, order: Iterable[int], scope: Scope, progress: Progress) -> int:
        """Read the chunks at these places; returns how many were read."""
        count, deadline = 0, math.inf if scope.seconds is None else time.monotonic() + scope.seconds
        try:
            in_time = takewhile(lambda _: time.monotonic() < deadline, order)
            with closing(in_order(self._look, in_time)) as looked:
                for place, reason in looked:
                    self._note(place, reason)
                    count += 1
                    progress(1)
        finally:
            self._keep()
        return count

    def _look(self, place: int) -> tuple[int, str | None]:
        """Read one; why it is bad, None when it is good. Called by threads."""
        try:
            self._store.get(raw(self._stored[place]))
        except BadChunkError as error:
            return place, error.reason
        except MissingObjectError:
            return place, "it went away while it was to be read"
        return place, None

    def _note(self, place: int, reason: str | None) -> None:
        self._times[place] = 0 if reason else int(time.time())
        if reason:
            self.bad += 1
            chunk_id = raw(self._stored[place])
            if self._leaves_traces:
                set_aside(self._repository.place, chunk_id)
            self._survey.problems.append(Problem(object_of(chunk_id), reason, self._survey.users_of(chunk_id)))
        if time.monotonic() - self._kept > _KEPT_EVERY:
            self._keep()

    def _keep(self) -> None:
        if self._leaves_traces:
            body = _SIGNATURE + self._stored.tobytes() + self._times.astype("<u4").tobytes()
            self._repository.place.write(OBJECT, body + hashlib.sha256(body).digest())
        self._kept = time.monotonic()
