"""Whether what is in a repository is what was put there: documents, indexes, chunks."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

import numpy as np

from analyzer.backup.errors import BadChunkError, MissingObjectError
from analyzer.backup.listing import Problem, Survey, Traces, missing_chunks, survey_of
from analyzer.backup.repository.chunks import object_of, set_aside
from analyzer.backup.repository.index import IdArray, ids_from, raw
from analyzer.backup.repository.repository import Repository
from analyzer.backup.repository.verify_log import OBJECT, BadMemoryError, Times, build_memory, read_memory, times_of
from analyzer.convert.formats.pipeline import in_order
from analyzer.progress import Progress, no_progress

# Seconds between two writings of what was found good.
_KEPT_EVERY = 60.0


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
class Verdict:
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


def verify(repository: Repository, scope: Scope, progress: Progress = no_progress) -> Verdict:
    """Look at all documents, and at as many chunks as the scope asks for; with traces, bad chunks are set aside.

    Raises PlaceError when the place fails.
    """
    survey = survey_of(repository, scope.traces)
    stored = np.sort(ids_from(chunk_id for chunk_id, _ in repository.chunks().entries()))
    gone = missing_chunks(survey, stored)
    try:
        times = times_of(stored, read_memory(repository.place))
    except BadMemoryError as error:
        survey.problems.append(Problem(OBJECT, f"{error}; when chunks were last good is forgotten", ()))
        times = np.zeros(len(stored), np.uint32)
    order = _chosen(times, scope)
    reading = _Reading(repository, survey, stored, times, scope.traces)
    checked = 0
    if scope.depth is Depth.CHUNKS:
        if scope.traces is Traces.KEPT:
            _set_aside_missing(repository, gone)
        checked = reading.run(order, scope, progress)
    never = int((times == 0).sum()) - reading.bad
    return Verdict(
        points=len(survey.needed),
        chunks=len(stored),
        checked=checked,
        never=never,
        oldest=int(times[times > 0].min()) if times.any() and not never else None,
        problems=tuple(survey.problems),
    )


def _set_aside_missing(repository: Repository, gone: Iterable[bytes]) -> None:
    for chunk_id in gone:
        if repository.place.size(object_of(chunk_id)) is None:  # nobody has stored it anew since
            set_aside(repository.place, chunk_id)


def _chosen(times: Times, scope: Scope) -> Iterable[int]:
    """The places of the chunks to be read, the longest unread first."""
    count = -int(-len(times) * scope.percent // 100)
    chosen: list[int] = np.argsort(times, kind="stable")[:count].tolist()
    return chosen


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
        count = 0
        try:
            with closing(in_order(self._look, self._until(order, scope.seconds))) as looked:
                for place, reason in looked:
                    self._note(place, reason)
                    count += 1
                    progress(1)
        finally:
            self._keep()
        return count

    def _until(self, order: Iterable[int], seconds: float | None) -> Iterator[int]:
        deadline = None if seconds is None else time.monotonic() + seconds
        for place in order:
            if deadline is not None and time.monotonic() >= deadline:
                return
            yield place

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
        if not self._leaves_traces:
            return
        self._repository.place.write(OBJECT, build_memory(self._stored, self._times))
        self._kept = time.monotonic()
