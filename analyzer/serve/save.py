"""What was written to a disk that was served: as a checkpoint on the layer that was served, or as a disk of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analyzer.convert.convert import plan_output, run_conversion
from analyzer.convert.merge_upper import Above, UpperMergePlan, plan_above, run_above
from analyzer.convert.model import ImageRequest, Options, Outcome, Plan
from analyzer.progress import Progress, no_progress
from analyzer.serve.scratch import Scratch
from vhdx.chain import Chain
from vhdx.disk import DiskSource, ThroughDisk
from vhdx.layers import in_step
from vhdx.runs import RunTable, overlay
from vhdx.source import ByteSource


class WrittenDisk(ThroughDisk):
    """A disk with what was written laid over it, once nobody writes any more. Closes neither."""

    def __init__(self, below: DiskSource, scratch: Scratch) -> None:
        """Read what `scratch` has, and `below` where it has nothing."""
        super().__init__(below)
        self._scratch = scratch

    @property
    def sources(self) -> Sequence[ByteSource]:
        """See RunSource."""
        return (*self.inner.sources, self._scratch.medium)

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk."""
        upto = self.size if end is None else min(end, self.size)
        for written, shown in in_step([self._written(start, upto), self.inner.windows(start, upto)]):
            yield overlay(written, shown)

    def _written(self, start: int, end: int) -> Iterator[RunTable]:
        above = len(self.inner.sources)
        first = start // self.sector_size * self.sector_size
        for table in self._scratch.windows(first, end):
            cut = table.clip(start, end)
            yield replace(cut, layer=np.full_like(cut.layer, above))


def plan_save(chain: Chain, scratch: Scratch, target: Path, options: Options) -> UpperMergePlan:
    """What would be written as a checkpoint on `chain`; raises as planning any output does."""
    return plan_above(_above(chain, scratch), chain, target, options)


def run_save(plan: UpperMergePlan, chain: Chain, scratch: Scratch, progress: Progress = no_progress) -> Outcome:
    """Write the checkpoint, read it back, give it its name; raises what reading and writing raise."""
    return run_above(plan, _above(chain, scratch), progress)


def plan_whole(disk: DiskSource, scratch: Scratch, request: ImageRequest) -> Plan:
    """The same as one image, of a disk that nothing can be laid upon; raises as planning any output does."""
    return plan_output(WrittenDisk(disk, scratch), request)


def run_whole(plan: Plan, disk: DiskSource, scratch: Scratch, progress: Progress = no_progress) -> Outcome:
    """Write the image, read it back, give it its name; raises what reading and writing raise."""
    return run_conversion(plan, WrittenDisk(disk, scratch), progress)


def _above(chain: Chain, scratch: Scratch) -> Above:
    return Above(disk=WrittenDisk(chain, scratch), below=chain, windows=scratch.windows, layers=1)
