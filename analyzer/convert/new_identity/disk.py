"""The clone itself: the original's runs, and over them the structures that name other identities."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

from analyzer.convert.convert import plan_output
from analyzer.convert.model import (
    DiskSource,
    LayeredSource,
    Options,
    OutputFormat,
    Plan,
    new_disk_like,
)
from analyzer.convert.new_identity.partition_tables import renew_tables
from analyzer.convert.new_identity.volumes import renew_volumes
from analyzer.convert.new_identity.workspace import Change, Clone, CloneWorkspace, Scope
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.identities import Identities, random_identities
from vhdx.runs import Run, RunTable, overlay
from vhdx.source import ByteSource, MemorySource
from vhdx.structures.disk import DiskType
from vhdx.writer import NewDisk


class ClonedDisk:
    """A disk that reads as another does but for its identities. It is open as long as the original is."""

    def __init__(self, original: DiskSource, work: CloneWorkspace) -> None:
        """The original with what the workspace lays over it."""
        self._original = original
        self._table, content = work.patches(len(original.sources))
        self._laid = MemorySource(content, Path("<new identities>"))
        self.clone = Clone(tuple(work.changes), tuple(work.kept))

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every identity that is new."""
        return self.clone.changes

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._original.size

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        return self._original.sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The original's files, and the new structures."""
        return (*self._original.sources, self._laid)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The original's."""
        return self._original.findings

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Run tables that follow one another from `start` to `end`."""
        for table in self._original.windows(start, end):
            yield overlay(self._table.clip(int(table.start[0]), table.end), table) if len(table) else table

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return self._original.error_for(run)

    def require_unchanged(self) -> None:
        """See Flat."""
        self._original.require_unchanged()


def cloned(disk: DiskSource, identities: Identities = random_identities, *, scope: Scope = Scope.VOLUMES) -> ClonedDisk:
    """The disk with new identities, drawn from `identities` by what each old one was.

    Reads partition tables and the fronts of volumes; raises what reading raises, and nothing for what the disk holds.
    """
    work = CloneWorkspace(disk, disk.sector_size, identities)
    parts = renew_tables(work)
    if scope is not Scope.DISK:  # the identities of volumes are in their own structures, of which more can go wrong
        renew_volumes(work, parts, scope)
    return ClonedDisk(disk, work)


def with_new_disk_id(options: Options, make: Callable[[DiskType], NewDisk]) -> Callable[[DiskType], NewDisk]:
    """What makes the VHDX of a clone: the virtual disk id, which is outside of the disk, is new as well."""

    def made(disk_type: DiskType) -> NewDisk:
        like = make(disk_type)
        return replace(like, disk_id=options.identities(f"virtual disk id {like.disk_id}"))

    return made


def plan_clone(chain: LayeredSource, clone: ClonedDisk, target: Path, output: OutputFormat, options: Options) -> Plan:
    """As `plan_conversion`, for the clone of a chain; run it on the clone. Raises what that raises."""
    make = with_new_disk_id(options, partial(new_disk_like, chain, options))
    plan = plan_output(clone, target, output, make, options, [layer.path for layer in chain.layers])
    return replace(plan, layers=len(chain.layers))  # what lies over the original is no layer of it


def summarise(clone: ClonedDisk, disk_id: UUID, plan: Plan) -> Clone:
    """Everything that became of the identities, with the virtual disk id, `disk_id` before, of a VHDX."""
    if plan.new_disk is None:
        return clone.clone
    new = plan.new_disk.disk_id
    return replace(clone.clone, changes=(Change("the virtual disk id", (), str(disk_id), str(new)), *clone.changes))
