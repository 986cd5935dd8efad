"""What was written to a disk that was served, as a new checkpoint: a differencing VHDX on the layer that was served."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analyzer.convert.disks import DiskSource
from analyzer.convert.merge_upper import Above, UpperMergePlan, plan_above, run_above
from analyzer.convert.model import Options, Outcome
from analyzer.progress import Progress, no_progress
from analyzer.serve.scratch import Scratch
from vhdx.chain import Chain, in_step
from vhdx.errors import VhdxError
from vhdx.runs import Run, RunTable, overlay
from vhdx.source import ByteSource


class WrittenDisk:
    """A disk with what was written laid over it, once nobody writes any more (a `DiskSource`). Closes neither."""

    def __init__(self, below: DiskSource, scratch: Scratch) -> None:
        """Read what `scratch` has, and `below` where it has nothing."""
        self.size, self.sector_size, self.findings = below.size, below.sector_size, below.findings
        self.sources: Sequence[ByteSource] = (*below.sources, scratch.medium)
        self._below, self._scratch = below, scratch

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk."""
        upto = self.size if end is None else min(end, self.size)
        for written, shown in in_step([self._written(start, upto), self._below.windows(start, upto)]):
            yield overlay(written, shown)

    def _written(self, start: int, end: int) -> Iterator[RunTable]:
        above = len(self._below.sources)
        first = start // self.sector_size * self.sector_size
        for table in self._scratch.windows(first, end):
            cut = table.clip(start, end)
            yield replace(cut, layer=np.full_like(cut.layer, above))

    def error_for(self, run: Run) -> VhdxError | None:
        """See RunSource."""
        return self._below.error_for(run)

    def require_unchanged(self) -> None:
        """See DiskSource."""
        self._below.require_unchanged()


def plan_save(chain: Chain, scratch: Scratch, target: Path, options: Options) -> UpperMergePlan:
    """What would be written as a checkpoint on `chain`; raises as planning any output does."""
    return plan_above(_above(chain, scratch), chain, target, options)


def run_save(plan: UpperMergePlan, chain: Chain, scratch: Scratch, progress: Progress = no_progress) -> Outcome:
    """Write the checkpoint, read it back, give it its name; raises what reading and writing raise."""
    return run_above(plan, _above(chain, scratch), progress)


def _above(chain: Chain, scratch: Scratch) -> Above:
    return Above(disk=WrittenDisk(chain, scratch), below=chain, windows=scratch.windows, layers=1)
