"""The runs of a disk around what is read, kept in columns from which single numbers come fast."""

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple, Protocol

from vhdx.errors import VhdxError
from vhdx.ranges import Column
from vhdx.runs import Run, RunTable, concatenate
from vhdx.source import ByteSource
from vhdx.structures.constants import MIB

# A plan has to be worth keeping, and small enough to make for one read: 64 blocks of 2 MiB, and at worst 262,144 runs
# of one sector.
GRANULE = 128 * MIB
"""The range of the disk whose runs are made at once: the worst one, all single sectors, takes 10 MiB."""
# Each layer costs half a millisecond whatever of it is asked for. So a plan is of as many granules as there are 16ths
# of layers, and of twice as many as the one before it, as far as they have few runs.
_MOST_GRANULES, _MANY = 1 << 10, 1 << 16
# Runs that are kept, 40 MiB of them.
_MOST_RUNS = 1 << 20


class RunSource(Protocol):
    """What a reader reads: something of a size, made of runs of bytes of some files."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the virtual disk."""

    @property
    @abstractmethod
    def sources(self) -> Sequence[ByteSource]:
        """The file of each layer, base first, as it is once its log is replayed."""

    @abstractmethod
    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """Run tables that follow one another from `start` to `end`."""

    def error_for(self, run: Run) -> VhdxError | None:  # noqa: ARG002 - what others look at
        """The error that reading the run must raise; None when it can be read, as all of it can unless it says so."""
        return None


class Plan(NamedTuple):
    """Runs in columns: start, end, kind, layer, file offset; and the same as what Python takes numbers from fastest."""

    columns: tuple[Column, Column, Column, Column, Column]
    views: Sequence[memoryview]
    granules: int
    """How many it is the plan of."""

    @property
    def cost(self) -> int:
        """What keeping it for one granule costs, in runs: a plan without any takes room too."""
        return len(self.views[0]) // self.granules + 64

    @property
    def table(self) -> RunTable:
        """The runs as a table."""
        start, end, kind, layer, file_offset = self.columns
        return RunTable(start, end - start, kind, layer, file_offset)

    def between(self, start: int, end: int) -> tuple[int, int]:
        """The numbers of the first run that has a part in a range of the disk, and of the first one behind it."""
        starts = self.views[0]
        return bisect_right(starts, start) - 1, bisect_left(starts, end)


def plan_of(table: RunTable, granules: int = 1) -> Plan:
    """The plan of the runs of a table."""
    columns = table.start, table.start + table.length, table.kind, table.layer, table.file_offset
    return Plan(columns, [column.data for column in columns], granules)


class Plans:
    """The plans of a disk by granule, as many as there is room for. From any thread."""

    def __init__(self, disk: RunSource) -> None:
        """Make plans of `disk`."""
        self._disk, self._plans, self._runs_kept, self._lock = disk, dict[int, Plan](), 0, Lock()

    def kept(self, granule: int) -> Plan | None:
        """The plan of a granule, where it was made."""
        return self._plans.get(granule)

    def keep(self, granule: int) -> Plan:
        """The plan of a granule, made where nobody did that yet; raises as reading a table does."""
        with self._lock:
            plan = self._plans.get(granule)
            if plan is None:
                plan = self._long_plan(granule)
                self._take_in(granule, plan)
        return plan

    def _take_in(self, granule: int, plan: Plan) -> None:
        for number in range(granule, granule + plan.granules):
            self._runs_kept += plan.cost - (self._plans.pop(number).cost if number in self._plans else 0)
            self._plans[number] = plan
        while self._runs_kept > _MOST_RUNS and len(self._plans) > plan.granules:
            self._runs_kept -= self._plans.pop(next(iter(self._plans))).cost

    def _long_plan(self, granule: int) -> Plan:
        """The plan of a granule, and of as many behind it as reading seems to go on to."""
        before, start = self._plans.get(granule - 1), granule * GRANULE
        wanted = min(2 * before.granules, _MOST_GRANULES) if before else 1 + len(self._disk.sources) // 16
        end, upto, tables, runs = min(start + wanted * GRANULE, self._disk.size), start, list[RunTable](), 0
        for table in self._disk.windows(start, end):
            tables.append(table)
            upto, runs = max(upto, table.end), runs + len(table)
            if runs >= _MANY and upto >= start + GRANULE:
                break
        return plan_of(concatenate(tables), -(-(end - start) // GRANULE) if upto == end else (upto - start) // GRANULE)
