"""A disk with a delta laid over it: the delta is one more layer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analyzer.diff.delta.container import Delta
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.runs import Kind, Run, RunTable, overlay
from vhdx.source import ByteSource


class PatchedDisk(Disk):
    """The state that a delta makes of a base. Closing it closes neither."""

    def __init__(self, base: Disk, delta: Delta) -> None:
        """Lay `delta` over `base`; that it fits is for the caller to see to."""
        self._base, self._delta = base, delta
        number = np.full_like(delta.table.layer, len(base.sources))
        self._table = replace(delta.table, layer=number)

    @property
    def path(self) -> Path:
        """The delta's path."""
        return self._delta.path

    @property
    def size(self) -> int:
        """Bytes of the new state."""
        return self._delta.header.new_size

    @property
    def sector_size(self) -> int:
        """Bytes of the new state's logical sectors."""
        return self._delta.header.logical_sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The base's files, and the delta."""
        return (*self._base.sources, self._delta.file)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The base's."""
        return self._base.findings

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. Past the base's end, what the delta leaves out is zeros."""
        upto = self.size if end is None else min(end, self.size)
        seam = min(upto, self._base.size)
        for table in self._base.windows(start, seam) if start < seam else ():
            yield overlay(self._table.clip(table.start[0], table.end), table)
        if max(start, seam) < upto:
            yield self._table.clip(max(start, seam), upto)

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        return None if run.kind is Kind.HOLE else self._base.error_for(run)

    def require_unchanged(self) -> None:
        """See Disk."""
        self._base.require_unchanged()
        self._delta.file.require_unchanged()

    def close(self) -> None:
        """Nothing: both belong to whoever opened them."""
