"""Giving up restore points: what stays is decided from times alone, and chunks are left to `prune`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from analyzer.backup.errors import BackupError, DamagedObjectError, NoSuchPointError
from analyzer.backup.lineage import lineages
from analyzer.backup.locks.locks import Lock
from analyzer.backup.parent_point import shared_layers
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.backup.retention import Every, RestorePoint, Verdict, emptied, judge, named

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class LastPointError(BackupError):
    """A disk would be left without any restore point, and nobody has said that this is meant."""

    exit_code = 5
    url: str
    disks: tuple[str, ...]

    def __str__(self) -> str:
        disks = ", ".join(self.disks)
        return f"{self.url}: no restore point of disk {disks} would be left; give up all of it with --allow-last"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPlan:
    """What becomes of each restore point."""

    verdicts: tuple[Verdict, ...]
    damaged: tuple[str, ...]
    """Points whose manifest cannot be read: no rule touches them, they can be given up by name."""

    @property
    def going(self) -> tuple[str, ...]:
        """The names of those that go."""
        return tuple(verdict.point.name for verdict in self.verdicts if not verdict.stays)


def plan_by_rules(repository: Repository, rules: dict[Every, int]) -> ForgetPlan:
    """What the rules say; every rule keeps something of every disk."""
    points, damaged = _points(repository)
    return ForgetPlan(verdicts=tuple(judge(points, rules)), damaged=damaged)


def plan_by_name(repository: Repository, names: Sequence[str], *, allow_last: bool) -> ForgetPlan:
    """Those named go; raises NoSuchPointError, and LastPointError unless that is meant."""
    points, damaged = _points(repository)
    known = {point.name for point in points}
    for name in names:
        if name not in known and name not in damaged:
            raise NoSuchPointError(repository.place.url, name)
    verdicts = named(points, names)
    if disks := () if allow_last else emptied(verdicts):
        raise LastPointError(repository.place.url, tuple(disks))
    broken = [RestorePoint(name=name, disk="", created=_UNKNOWN) for name in damaged if name in names]
    left = tuple(name for name in damaged if name not in names)
    return ForgetPlan(verdicts=(*verdicts, *(Verdict(point, ()) for point in broken)), damaged=left)


def run_forget(plan: ForgetPlan, repository: Repository, lock: Lock) -> None:
    """Delete manifests and indexes; raises LockLostError, PlaceError. Killed in between, no point is half there."""
    for name in plan.going:
        lock.confirm()
        repository.remove(name)


def _points(repository: Repository) -> tuple[list[RestorePoint], tuple[str, ...]]:
    found, damaged = list[Manifest](), list[str]()
    for name in repository.names():
        try:
            found.append(repository.manifest(name))
        except DamagedObjectError:
            damaged.append(name)
        except NoSuchPointError:  # somebody else has just given it up
            continue
    of_checkpoints = {name for manifest in found for name in manifest.checkpoints}
    below = [manifest for manifest in found if manifest.name in of_checkpoints]
    groups = _groups(found)
    return [_retained(manifest, groups[manifest.name], below) for manifest in found], tuple(damaged)


def _groups(manifests: Sequence[Manifest]) -> dict[str, str]:
    """The group of each point, by name; what a run made of the layers below is in the group of its newest layer."""
    found, created = lineages(manifests), {manifest.name: manifest.created for manifest in manifests}
    above = {
        name: point.name
        for point in sorted(manifests, key=lambda point: point.layer)
        for name in point.checkpoints
        if created.get(name) == point.created
    }
    return {name: str(found[above.get(name, name)]) for name in found}


def _retained(manifest: Manifest, group: str, checkpoints: Sequence[Manifest]) -> RestorePoint:
    """A point with the points of checkpoints that its chain goes through, whether its own run knew of them or not."""
    passed = [point.name for point in checkpoints if point.name != manifest.name and _goes_through(manifest, point)]
    names = tuple(dict.fromkeys((*manifest.checkpoints, *passed)))
    return RestorePoint(name=manifest.name, disk=group, created=manifest.created, checkpoints=names)


def _goes_through(manifest: Manifest, point: Manifest) -> bool:
    """Whether a point's newest layer is below another's, and is what it was."""
    return len(point.chain) < len(manifest.chain) and shared_layers(manifest.chain, point.chain) == len(point.chain)
