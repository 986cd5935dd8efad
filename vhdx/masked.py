"""Disks with ranges that are not believed: these are LOST whatever the tables say, for a reason that errors give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vhdx.disk import Disk
from vhdx.errors import LostDataError, VhdxError
from vhdx.findings import Finding
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run, RunTable, overlay
from vhdx.source import ByteSource


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Ranges of a disk that are LOST, and the reason, a clause for the end of a sentence."""

    ranges: Ranges
    reason: str

    @classmethod
    def of(cls, ranges: Ranges, size: int, reason: str) -> "Mask":
        """The ranges of a disk of `size` bytes; what is past its end is left out."""
        return cls(ranges.within(Range(0, size)), reason)

    def laid_over(self, table: RunTable, layer: int = 0) -> RunTable:
        """A table of runs with these ranges LOST in it, as runs of layer `layer`."""
        part = Range.between(int(table.start[0]), table.end) if len(table) else Range(0, 0)
        if not self.ranges.touches(part):
            return table
        return overlay(RunTable.marking(self.ranges, part, Kind.LOST, layer), table)

    def holds(self, start: int) -> bool:
        """Whether the byte at `start` of the disk is in one of the ranges."""
        return self.ranges.touches(Range(start, 1))


class MaskedDisk(Disk):
    """A disk that reads as another does, but for the ranges of a mask: these are LOST."""

    def __init__(self, inner: Disk, mask: Mask) -> None:
        """Read `inner`, which is closed with this."""
        self.inner, self.mask = inner, mask

    @property
    def path(self) -> Path:
        """See Disk."""
        return self.inner.path

    @property
    def size(self) -> int:
        """See Disk."""
        return self.inner.size

    @property
    def sector_size(self) -> int:
        """See Disk."""
        return self.inner.sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """See Disk."""
        return self.inner.sources

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See Disk."""
        return self.inner.findings

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: the runs of the inner disk, LOST where the mask is."""
        return map(self.mask.laid_over, self.inner.windows(start, end))

    def refusal(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is Kind.LOST and self.mask.holds(run.start):
            return LostDataError(self.path, run.start, run.length, self.mask.reason)
        return self.inner.refusal(run)

    def require_unchanged(self) -> None:
        """See Disk."""
        self.inner.require_unchanged()

    def close(self) -> None:
        """See Disk."""
        self.inner.close()
