"""Which restore points stay: pure, from their times alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Every(Enum):
    """A kind of `--keep-`, by the name of what it counts."""

    LAST = "last"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


NOT_NAMED = ("not named",)
"""Why a point stays when others are given up by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePoint:
    """A restore point as far as retention cares; `disk` is its group: points of one disk in one place."""

    name: str
    disk: str
    created: datetime
    checkpoints: tuple[str, ...] = ()
    """The points of the layers below that belong to it: they stay as long as it does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a point stays, and for which reasons; with none it goes."""

    point: RestorePoint
    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """Whether any rule keeps the point."""
        return bool(self.reasons)


def judge(points: Iterable[RestorePoint], rules: dict[Every, int]) -> list[Verdict]:
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
    owners = {name: point.name for point in newest_first if reasons.get(point.name) for name in point.checkpoints}
    verdicts = [Verdict(point, reasons.get(point.name, ()) or _as_checkpoint(point, owners)) for point in newest_first]
    return sorted(verdicts, key=lambda verdict: verdict.point.disk)


def named(points: Iterable[RestorePoint], names: Sequence[str]) -> list[Verdict]:
    """The verdicts where points are given up by name."""
    return [Verdict(point, () if point.name in names else NOT_NAMED) for point in points]


def emptied(verdicts: Iterable[Verdict]) -> list[str]:
    """The disks of which no point would be left."""
    verdicts = list(verdicts)
    kept = {verdict.point.disk for verdict in verdicts if verdict.stays}
    return sorted({verdict.point.disk for verdict in verdicts} - kept)


def _reasons_of(points: list[RestorePoint], rules: dict[Every, int]) -> list[tuple[str, ...]]:
    reasons: list[list[str]] = [[] for _ in points]
    for every, count in rules.items():
        seen = set[str]()
        for point, found in zip(points, reasons, strict=True):
            period = _PERIODS[every](point)
            if period not in seen and (count < 0 or len(seen) < count):
                seen.add(period)
                found.append(f"{every.value} {period}" if every is not Every.LAST else every.value)
    return [tuple(found) for found in reasons]


def _as_checkpoint(point: RestorePoint, owners: dict[str, str]) -> tuple[str, ...]:
    return (f"checkpoint of {owners[point.name]}",) if point.name in owners else ()


_PERIODS: dict[Every, Callable[[RestorePoint], str]] = {
    Every.LAST: lambda point: point.name,
    Every.DAILY: lambda point: f"{point.created:%Y-%m-%d}",
    Every.WEEKLY: lambda point: f"{point.created:%G-W%V}",
    Every.MONTHLY: lambda point: f"{point.created:%Y-%m}",
    Every.YEARLY: lambda point: f"{point.created:%Y}",
}
