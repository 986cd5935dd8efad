"""What differs between two states: plan how it is found, then find it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from analyzer.diff.by_content import UNIT, compare
from analyzer.diff.by_provenance import Numbering, changes_by_provenance, number_layers
from analyzer.diff.granularity import rounded
from analyzer.diff.ranges import Change, ChangeTable
from analyzer.progress import Progress, no_progress
from vhdx.disk import Disk
from vhdx.runs import Kind


class Trust(Enum):
    """Whether provenance is believed where it says that something changed; where nothing did, it is a proof."""

    PROVENANCE = "provenance"
    VERIFY = "verify"


class Method(Enum):
    """How changes are found."""

    PROVENANCE = "provenance"
    """From tables alone: every change, and what was written anew with the bytes that it held."""
    VERIFIED = "verified"
    """What provenance says, compared by content: exact."""
    CONTENT = "content"
    """The disks share no file: all that either holds is compared. Exact."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangesPlan:
    """How two states are going to be compared; all sizes are bytes."""

    method: Method
    numbering: Numbering
    granularity: int
    size: int
    """Of the larger disk: where the last granule ends."""
    work: int
    """Bytes to be compared, for progress; 0 by provenance."""


@dataclass
class Totals:
    """What was found, counted while it passes by."""

    ranges: int = 0
    bytes: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))

    @property
    def changed_bytes(self) -> int:
        """Bytes of all kinds."""
        return sum(self.bytes.values())

    def passing(self, tables: Iterable[ChangeTable]) -> Iterator[tuple[int, int, Change]]:
        """The ranges of the tables, one by one, each table counted."""
        for table in tables:
            self.ranges += len(table)
            for change in Change:
                self.bytes[change] += int(table.length[table.kind == change].sum())
            yield from table


def plan_changes(old: Disk, new: Disk, trust: Trust, granularity: int | None = None) -> ChangesPlan:
    """Choose how to compare; `granularity` in bytes, None for the larger sector of the two.

    Raises ValueError for a granularity that is no multiple of 512, and what reading tables raises.
    """
    granule = granularity or max(old.sector_size, new.sector_size)
    if granule <= 0 or granule % UNIT:
        raise ValueError(f"a granularity of {granule} bytes is no multiple of {UNIT}")
    numbering = number_layers(old, new)
    method = _method(numbering, trust)
    work = 0 if method is Method.PROVENANCE else _candidate_bytes(old, new, numbering)
    return ChangesPlan(method=method, numbering=numbering, granularity=granule, size=max(old.size, new.size), work=work)


def _method(numbering: Numbering, trust: Trust) -> Method:
    if not numbering.shared:
        return Method.CONTENT
    return Method.VERIFIED if trust is Trust.VERIFY else Method.PROVENANCE


def _candidate_bytes(old: Disk, new: Disk, numbering: Numbering) -> int:
    tables = (table for table, _ in changes_by_provenance(old, new, numbering))
    return sum(int(table.length[table.kind != Kind.HOLE].sum()) for table in tables)


def exact_changes(plan: ChangesPlan, old: Disk, new: Disk, progress: Progress = no_progress) -> Iterator[ChangeTable]:
    """Tables of what differs, to the sector, as found; then what the longer disk has past the other's end.

    Raises what reading raises; SourceChangedError at the end when a file was written meanwhile.
    """
    candidates = changes_by_provenance(old, new, plan.numbering)
    if plan.method is Method.PROVENANCE:
        yield from (ChangeTable.of_runs(table) for table, _ in candidates)
    else:
        yield from compare(old, new, candidates, progress)
    yield from _beyond(old, new)
    for disk in (old, new):
        disk.require_unchanged()


def _beyond(old: Disk, new: Disk) -> Iterator[ChangeTable]:
    """What one has past the other's end."""
    for table in new.windows(old.size, new.size) if new.size > old.size else ():
        yield ChangeTable.of_content(table)
    yield ChangeTable.of(new.size, max(old.size, new.size), Change.GONE)


def find_changes(plan: ChangesPlan, old: Disk, new: Disk, progress: Progress = no_progress) -> Iterator[ChangeTable]:
    """Tables of the ranges that differ, in whole granules; raises as `exact_changes` does."""
    return rounded(exact_changes(plan, old, new, progress), plan.granularity, plan.size)
