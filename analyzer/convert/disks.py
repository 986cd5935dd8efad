"""What a disk has to have to be written as an image, and a disk with something laid over it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.image import Image
from vhdx.reader import RunSource
from vhdx.runs import Run, RunTable, overlay
from vhdx.source import ByteSource


class DiskSource(RunSource, Protocol):
    """A disk that can be written as one image, once it is known what the image is to be."""

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error."""
        ...

    def require_unchanged(self) -> None:
        """Raise SourceChangedError when what was read cannot be one state."""
        ...


class LayeredSource(DiskSource, Protocol):
    """A disk that can be written as an image like its own files: a chain, or a disk that is read as one."""

    @property
    def layers(self) -> Sequence[Image]:
        """The files that are there, base first."""
        ...


class OverlaidDisk:
    """A disk that reads as another does, but where bytes of a further source are laid over it. Closes neither."""

    def __init__(self, inner: DiskSource, table: RunTable, laid: ByteSource) -> None:
        """`table` has the runs of `laid`, HOLE where `inner` shows; which layer it says does not matter."""
        self.size, self.sector_size, self.findings = inner.size, inner.sector_size, inner.findings
        self.sources: Sequence[ByteSource] = (*inner.sources, laid)
        self._inner = inner
        self._table = replace(table, layer=np.full_like(table.layer, len(inner.sources)))

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. Past the end of the inner disk there is what is laid alone, and HOLE."""
        upto = self.size if end is None else min(end, self.size)
        seam = min(upto, self._inner.size)
        for table in self._inner.windows(start, seam) if start < seam else ():
            yield overlay(self._table.clip(int(table.start[0]), table.end), table) if len(table) else table
        if max(start, seam) < upto:
            yield self._table.clip(max(start, seam), upto)

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return self._inner.error_for(run)

    def require_unchanged(self) -> None:
        """See DiskSource."""
        self._inner.require_unchanged()
