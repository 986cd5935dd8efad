"""Giving up restore points: what stays is decided from times alone, and chunks are left to `prune`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from analyzer.backup.errors import BackupError, NoSuchPointError
from analyzer.backup.lineage import lineages, shared_layers
from analyzer.backup.locks import Lock
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository


class Every(Enum):
    """A kind of `--keep-`, by the name of what it counts."""

    LAST = "last"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


# What `created` is the same in for points of one period; the newest points are counted by themselves.
_PERIODS = {Every.DAILY: "%Y-%m-%d", Every.WEEKLY: "%G-W%V", Every.MONTHLY: "%Y-%m", Every.YEARLY: "%Y"}
NOT_NAMED = ("not named",)
"""Why a point stays when others are given up by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePoint:
    """A restore point as far as retention cares; `disk` is its group: points of one disk in one place."""

    name: str
    disk: str
    created: datetime
    tags: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    """The points of the layers below that belong to it: they stay as long as it does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a point stays, and for which reasons; with none it goes."""

    point: RestorePoint
    reasons: tuple[str, ...]


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
        return tuple(verdict.point.name for verdict in self.verdicts if not verdict.reasons)


def plan_by_rules(repository: Repository, rules: dict[Every, int], tags: Sequence[str] = ()) -> ForgetPlan:
    """What the rules say; every rule keeps something of every disk, and points with one of `tags` stay too."""
    points, damaged = _points(repository)
    return ForgetPlan(verdicts=tuple(judge(points, rules, tags)), damaged=damaged)


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
    unknown = datetime.min.replace(tzinfo=UTC)
    broken = [RestorePoint(name=name, disk="", created=unknown) for name in damaged if name in names]
    left = tuple(name for name in damaged if name not in names)
    return ForgetPlan(verdicts=(*verdicts, *(Verdict(point, ()) for point in broken)), damaged=left)


def run_forget(plan: ForgetPlan, repository: Repository, lock: Lock) -> None:
    """Delete manifests and indexes; raises LockLostError, PlaceError. Killed in between, no point is half there."""
    for name in plan.going:
        lock.confirm()
        repository.remove(name)


def _points(repository: Repository) -> tuple[list[RestorePoint], tuple[str, ...]]:
    manifests, damaged = repository.survey()
    found = sorted(manifests, key=lambda manifest: manifest.name)
    of_checkpoints = {name for manifest in found for name in manifest.checkpoints}
    below = [manifest for manifest in found if manifest.name in of_checkpoints]
    # What a run made of the layers below is in the group of its newest layer.
    of, created = lineages(found), {manifest.name: manifest.created for manifest in found}
    by_layer = sorted(found, key=lambda manifest: manifest.layer)
    above = {name: one.name for one in by_layer for name in one.checkpoints if created.get(name) == one.created}
    points = [_retained(one, str(of[above.get(one.name, one.name)]), below) for one in found]
    return points, tuple(damaged)


def _retained(manifest: Manifest, group: str, checkpoints: Sequence[Manifest]) -> RestorePoint:
    """A point with the points of checkpoints that its chain goes through, whether its own run knew of them or not."""
    # A chain goes through a point where the point's newest layer is below its own, and is what it was.
    below = [point for point in checkpoints if len(point.chain) < len(manifest.chain)]
    passed = [point.name for point in below if shared_layers(manifest.chain, point.chain) == len(point.chain)]
    names = tuple(dict.fromkeys((*manifest.checkpoints, *passed)))
    created, tags = manifest.created, manifest.tags
    return RestorePoint(name=manifest.name, disk=group, created=created, tags=tags, checkpoints=names)


def judge(points: Iterable[RestorePoint], rules: dict[Every, int], tags: Sequence[str] = ()) -> list[Verdict]:
    """What becomes of each point, newest first, disk by disk.

    Of each of the last N days (weeks by ISO 8601, months, years) that have a point, the newest point stays, and with it
    its checkpoints; days are those of each point's own time zone. A number below 0 keeps them all.
    """
    # The name decides between points of one second, so that the same rules give the same answer every time.
    newest_first = sorted(points, key=lambda point: (point.created, point.name), reverse=True)
    # By name and time: a later run may have found the same name taken, and then it is that run's point, not this
    # one's.
    beside = {(name, point.created) for point in newest_first for name in point.checkpoints}
    disks = dict[str, list[RestorePoint]]()
    for point in newest_first:
        if (point.name, point.created) not in beside:  # those that a run made beside its newest layer's do not count
            disks.setdefault(point.disk, []).append(point)
    reasons = dict[str, tuple[str, ...]]()
    for counted in disks.values():
        reasons |= zip((point.name for point in counted), _reasons_of(counted, rules), strict=True)
    for point in newest_first:
        tagged = tuple(f"tag {tag}" for tag in point.tags if tag in tags)
        reasons[point.name] = (*reasons.get(point.name, ()), *tagged)
    owners = {name: point.name for point in newest_first if reasons.get(point.name) for name in point.checkpoints}
    for name, owner in owners.items():
        reasons[name] = reasons.get(name) or (f"checkpoint of {owner}",)
    verdicts = [Verdict(point, reasons.get(point.name, ())) for point in newest_first]
    return sorted(verdicts, key=lambda verdict: verdict.point.disk)


def named(points: Iterable[RestorePoint], names: Sequence[str]) -> list[Verdict]:
    """The verdicts where points are given up by name."""
    return [Verdict(point, () if point.name in names else NOT_NAMED) for point in points]


def emptied(verdicts: Iterable[Verdict]) -> list[str]:
    """The disks of which no point would be left."""
    verdicts = list(verdicts)
    kept = {verdict.point.disk for verdict in verdicts if verdict.reasons}
    return sorted({verdict.point.disk for verdict in verdicts} - kept)


def _reasons_of(points: list[RestorePoint], rules: dict[Every, int]) -> list[tuple[str, ...]]:
    reasons: list[list[str]] = [[] for _ in points]
    for every, count in rules.items():
        seen = set[str]()
        for point, found in zip(points, reasons, strict=True):
            period = f"{point.created:{_PERIODS[every]}}" if every in _PERIODS else point.name
            if period not in seen and (count < 0 or len(seen) < count):
                seen.add(period)
                found.append(f"{every.value} {period}" if every in _PERIODS else every.value)
    return [tuple(found) for found in reasons]
