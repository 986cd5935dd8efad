"""The clone itself: the original's runs, and over them the structures that name other identities."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

from analyzer.convert.convert import plan_output
from analyzer.convert.disks import OverlaidDisk
from analyzer.convert.model import ImageRequest, Plan
from analyzer.convert.new_identity.partition_tables import renew_tables
from analyzer.convert.new_identity.volumes import renew_volumes
from analyzer.convert.new_identity.workspace import Change, Clone, CloneWorkspace, Scope
from vhdx.disk import DiskSource
from vhdx.identities import Identities, random_identities
from vhdx.source import MemorySource


class ClonedDisk(OverlaidDisk):
    """A disk that reads as another does but for its identities."""

    def __init__(self, original: DiskSource, work: CloneWorkspace) -> None:
        """The original with what the workspace lays over it."""
        table, content = work.patches()
        super().__init__(original, table, MemorySource(content, Path("<new identities>")))
        self.clone = Clone(tuple(work.changes), tuple(work.kept))
        self.changes = self.clone.changes
        """Every identity that is new."""


def cloned(disk: DiskSource, identities: Identities = random_identities, *, scope: Scope = Scope.VOLUMES) -> ClonedDisk:
    """The disk with new identities, drawn from `identities` by what each old one was.

    Reads partition tables and the fronts of volumes; raises what reading raises, and nothing for what the disk holds.
    """
    work = CloneWorkspace(disk, disk.sector_size, identities)
    parts = renew_tables(work)
    if scope is not Scope.DISK:  # the identities of volumes are in their own structures, of which more can go wrong
        renew_volumes(work, parts, scope)
    return ClonedDisk(disk, work)


def plan_clone(clone: ClonedDisk, request: ImageRequest) -> Plan:
    """As `plan_output`, for a clone; a VHDX gets a new virtual disk id, which is outside of the disk, as well."""
    new_id = request.options.identities(f"virtual disk id {request.like.disk_id}")
    plan = plan_output(clone, replace(request, like=replace(request.like, disk_id=new_id)))
    return replace(plan, layers=plan.layers - 1)  # what lies over the original is no layer of it


def summarise(clone: ClonedDisk, disk_id: UUID, plan: Plan) -> Clone:
    """Everything that became of the identities, with the virtual disk id, `disk_id` before, of a VHDX."""
    if plan.new_disk is None:
        return clone.clone
    new = plan.new_disk.disk_id
    return replace(clone.clone, changes=(Change("the virtual disk id", (), str(disk_id), str(new)), *clone.changes))
