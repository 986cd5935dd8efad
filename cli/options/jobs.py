"""Who does the work where there are many inputs: this process, several of this machine, or a fleet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.tasks.engine import Engine, Here
from cli.options.common import grouped, option
from vhdx.system import processes

_MOST_JOBS = 256
# Seconds of work that repay processes, of which each takes half a second of a processor to start.
_WORTH = 2.0
# Bytes that one process may need, of disks of any size (benchmarks/bench_memory.py). Half of the memory is for others.
_MEMORY = 300 << 20
# Bytes of a source that are read, hashed or copied in a second.
_PACE = 400 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How many processes work."""

    jobs: int | None = option(
        "Work at so many inputs at a time, each in a process of its own. Default: as many as there are processors "
        "that may be used, and memory for, where the work is worth it.",
        type=click.IntRange(1, _MOST_JOBS),
        metavar="N",
    )

    dask: str | None = option(
        "Have the workers of a Dask scheduler do it, which see the same files under the same paths: tcp://host:8786. "
        "Needs the package distributed.",
        metavar="SCHEDULER",
    )

    def engine(self, inputs: int, seconds: float) -> Engine:
        """What does the work, which takes about so many seconds of one processor."""
        if self.dask is not None:
            if self.jobs is not None:
                raise click.UsageError("--jobs is for this machine and --dask for others: leave one out.")
            from analyzer.tasks.fleet import Fleet

            return Fleet(self.dask)
        count = min(inputs, self.jobs or (_usable() if seconds > _WORTH else 1))
        if count <= 1:
            return Here()
        from analyzer.tasks.processes import Processes  # multiprocessing, which one process never needs

        return Processes(count)

    def engine_to_read(self, files: Sequence[Path | str]) -> Engine:
        """What does the work where each of these files is read whole."""
        return self.engine(len(files), sum(map(_size, files)) / _PACE)


job_options = grouped("how", JobOptions)
"""How many processes work: `how`."""


def _size(path: Path | str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - of LEAF@N too, which is no path: it counts for nothing
    except (OSError, ValueError):
        return 0


def _usable() -> int:
    memory = processes.memory()
    room = _MOST_JOBS if memory is None else memory // 2 // _MEMORY
    return max(1, min(processes.usable_cores(), room))
