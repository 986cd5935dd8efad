"""What a run of `create` is going to do: which restore points, built upon what, reading how much."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

import numpy as np

from analyzer.backup.changed_chunks import changes, everything
from analyzer.backup.errors import DamagedObjectError, MissingObjectError, PointRefusedError
from analyzer.backup.lineage import Reference, references, shared_layers, why_in_full
from analyzer.backup.repository.chunks import set_aside_ids
from analyzer.backup.repository.index import Index, id_array, ids_from
from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.names import manifest_object, name_for, require_name
from analyzer.backup.repository.repository import Repository
from analyzer.backup.sources import records_of, states_of, with_claims
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.errors import LostDataError
from vhdx.ranges import NO_RANGES, Range, Ranges, joined
from vhdx.runs import Kind, RunTable


class Which(Enum):
    """Of which states restore points are made."""

    LEAF = "leaf"
    CHECKPOINTS = "checkpoints"
    """Of every layer, those left out of which a point is there already."""


class Lost(Enum):
    """What to do where the disk cannot be known."""

    REFUSE = "refuse"
    ALLOW = "allow"
    """Zeros are stored, and the manifest lists the ranges."""


class Reading(Enum):
    """Whether what is proved to be unchanged is read."""

    CHANGED = "changed"
    ALL = "all"


class Hashing(Enum):
    """Whether the whole image is hashed, beside its chunks."""

    CHEAP = "cheap"
    """Where it costs little: all of the disk is read anyway, and its zeros are not too many."""
    ALWAYS = "always"
    """Chunks that are not read from the disk are read back from the repository."""
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What is asked of a run."""

    name: str | None = None
    which: Which = Which.LEAF
    lost: Lost = Lost.REFUSE
    reading: Reading = Reading.CHANGED
    hashing: Hashing = Hashing.CHEAP
    tool: str = "vhdx"
    host: str = ""
    """The machine whose paths the chain has: what is in one place on two machines are two disks."""
    tags: tuple[str, ...] = ()
    """Kept with the points."""
    notes: tuple[str, ...] = ()
    """What else is to be said of the newest layer's state: it is kept among its warnings."""


@dataclass(frozen=True, slots=True, eq=False)
class PointPlan:
    """One restore point to be."""

    name: str
    layer: int
    """The number of its newest layer."""
    state: Disk
    lost: tuple[Range, ...]
    """(start, length) of bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CreatePlan:
    """A run; nothing was written to make it, and no data read. Sizes are bytes."""

    repository: Repository
    points: tuple[PointPlan, ...]
    """From the lowest layer up."""
    skipped: tuple[tuple[int, str], ...]
    """(layer, name of the point that is there) of the states that have one already."""
    records: tuple[LayerRecord, ...]
    chunk_size: int
    reference: Reference | None
    doubtful: Ranges
    """Bytes that are read although no layer claims them: where the reference is something else."""
    read_in_full: str | None
    """Why; None when a reference serves."""
    set_aside: frozenset[bytes]
    """The ids of chunks that were found bad: those that are seen again come back."""
    work: int
    """Bytes of data to be read."""
    created: datetime
    options: CreateOptions

    def tables(self, number: int) -> Iterator[RunTable]:
        """What point `number` shows that the one before it, or the reference, does not."""
        state = self.points[number].state
        if number:
            before = self.points[number - 1]
            return changes(_chain(state), before.layer + 1, seam(before.state.size, state.size, self.chunk_size))
        return changes(_chain(state), self.reference.shared, self.doubtful) if self.reference else everything(state)


def _chain(state: Disk) -> Chain:
    """A state that another one is compared with: only a chain's layers have such."""
    if not isinstance(state, Chain):
        raise TypeError(f"{state!r} has no layers")
    return state


def seam(before: int, size: int, chunk_size: int) -> Ranges:
    """What must be looked at because a disk's size is another: from the first chunk that is not of one length."""
    start = min(before, size) // chunk_size * chunk_size
    return NO_RANGES if size in {before, start} else Ranges.of([Range.between(start, size)])


Claim = Callable[[str], bool]
"""Keeps a name for this run; False when another run has it."""


def plan_create(
    repository: Repository, disk: Disk, options: CreateOptions, claim: Claim = lambda _: True
) -> CreatePlan:
    """Look at everything that could refuse a run, claim names for its points, and choose what it builds upon.

    Raises LostDataError, PointRefusedError, and what reading tables and manifests raises.
    """
    moment, records, known = datetime.now(UTC).replace(microsecond=0), records_of(disk), repository.survey()[0]
    bad = set_aside_ids(repository.place)
    made, skipped = _layers(records, [one for one in known if not _needs(repository, one, bad)], options)
    points = tuple(_points(repository, disk, made, options, moment, claim))
    usable = known if options.reading is Reading.CHANGED else []
    reference, before = _usable(repository, references(records[: made[0] + 1], usable))
    chunk_size = reference.manifest.chunk_size if reference else repository.chunk_size_for(disk.size)
    reason = "that was asked for" if options.reading is Reading.ALL else None
    plan = CreatePlan(
        repository=repository,
        points=points,
        skipped=skipped,
        records=with_claims(records, disk, chunk_size),
        chunk_size=chunk_size,
        reference=reference,
        doubtful=_doubtful(reference, before, points[0].state.size, bad),
        set_aside=bad,
        read_in_full=None if reference else reason or why_in_full(records, options.host, known),
        work=0,
        created=moment,
        options=options,
    )
    tables = (table for number in range(len(points)) for table in plan.tables(number))
    return replace(plan, work=sum(table.bytes_of(Kind.DATA) for table in tables))


def _needs(repository: Repository, manifest: Manifest, bad: frozenset[bytes]) -> bool:
    """Whether a point needs a chunk that was set aside: then its state is looked at again."""
    index = _usable(repository, [Reference(manifest, 0)])[1] if bad else None
    return index is not None and bool(_chunks_of(index, bad))


def _layers(
    records: Sequence[LayerRecord], known: Sequence[Manifest], options: CreateOptions
) -> tuple[list[int], tuple[tuple[int, str], ...]]:
    """The layers of which points are made, and those that have one: (layer, its name)."""
    leaf = len(records) - 1
    if options.which is Which.LEAF:
        return [leaf], ()
    there = {one.layer: one.name for one in known if shared_layers(records, one.chain) == len(one.chain)}
    skipped = tuple((layer, name) for layer, name in sorted(there.items()) if layer < leaf)
    return [*(n for n in range(leaf) if n not in there), leaf], skipped


def _points(
    repository: Repository, disk: Disk, layers: Sequence[int], options: CreateOptions, moment: datetime, claim: Claim
) -> Iterator[PointPlan]:
    taken, states = set[str](), states_of(disk)

    def is_taken(name: str) -> bool:  # first claimed, then looked for: a run that has just ended has it no more
        return name in taken or not claim(name) or repository.place.size(manifest_object(name)) is not None

    for layer in layers:
        state = states[layer]
        if options.name is not None and layer == layers[-1]:
            name = require_name(options.name)
            if is_taken(name):
                reason = "there is one of that name, or another run is just making it"
                raise PointRefusedError(name, reason, "choose another name, or forget that one")
        else:
            name = name_for(state.path.stem, moment, is_taken)
        taken.add(name)
        yield PointPlan(name, layer, state, lost_ranges(state, options.lost))


def lost_ranges(state: Disk, lost: Lost) -> tuple[Range, ...]:
    """What cannot be known; raises LostDataError at the first, unless that is allowed."""
    found = tuple(joined(part for table in state.windows() for part in table.of_kind(Kind.LOST).ranges))
    if found and lost is Lost.REFUSE:
        run = next(run for table in state.windows() for run in table.of_kind(Kind.LOST))
        raise state.error_for(run) or LostDataError(state.path, run.start, run.length, "it is lost")
    return found


def _usable(repository: Repository, found: Sequence[Reference]) -> tuple[Reference | None, Index | None]:
    """The first reference whose index is whole, and that index."""
    for reference in found:
        try:
            return reference, repository.index(reference.manifest)
        except (MissingObjectError, DamagedObjectError):
            continue
    return None, None


def _doubtful(reference: Reference | None, before: Index | None, size: int, bad: frozenset[bytes]) -> Ranges:
    """What is read besides the claims of layers: see `CreatePlan.doubtful`."""
    if reference is None or before is None:
        return NO_RANGES
    chunk = reference.manifest.chunk_size
    chunks = (*reference.doubtful, *(Range(number, 1) for number in _chunks_of(before, bad)))
    read = Ranges.of(Range(part.start * chunk, part.length * chunk) for part in chunks)
    return read | seam(reference.manifest.size, size, chunk)


def _chunks_of(index: Index, ids: frozenset[bytes]) -> list[int]:
    """The numbers of the chunks that have one of these ids."""
    found: list[int] = np.flatnonzero(np.isin(id_array(index.ids), ids_from(ids))).tolist() if ids else []
    return found
