"""What runs the same work over many inputs, and the plain way to do that: here, one after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from analyzer.progress import Progress, no_progress
from vhdx.errors import VhdxError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], Sequence[Result]]
"""Gives as many results as it is given inputs, in their order. It can be pickled, and so can what it takes and gives.

It may be run again with inputs that an earlier run had and did not finish with.
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """In place of a result: what worked at the input ended before it had one, twice."""

    reason: str

    def error(self, path: Path) -> "WorkerLostError":
        """The same of the file that the input is."""
        return WorkerLostError(path, self.reason)


class WorkerLostError(VhdxError):
    """What worked at a file ended before it was done, twice."""

    exit_code = 6
    path: Path
    reason: str
    text = "{path}: {reason}"


class Engine(Protocol):
    """Runs work over inputs."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether what it is given leaves this machine: no secret is given to it."""
        ...

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], batch: int, tick: Progress = no_progress
    ) -> Iterator[Result | Lost]:
        """The result of each input, in the order given; `tick` hears of those that are finished.

        `batch` inputs are handed over together. Whatever the work raises ends the run. A run that is left early leaves
        no process behind.
        """
        ...


class Here:
    """Works in this process."""

    is_elsewhere = False

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], batch: int, tick: Progress = no_progress
    ) -> Iterator[Result | Lost]:
        """See Engine."""
        for part in batches(items, batch):
            results = work(part)
            tick(len(part))
            yield from results


def in_turn(finished: Iterable[tuple[int, Sequence[Result | Lost]]], tick: Progress) -> Iterator[Result | Lost]:
    """The results of numbered batches in the order of the numbers, from 0 on; `tick` hears of each as it comes."""
    done, due = dict[int, Sequence[Result | Lost]](), 0
    for number, results in finished:
        done[number] = results
        tick(len(results))
        while due in done:
            yield from done.pop(due)
            due += 1


def batches(items: Sequence[Item], batch: int) -> list[Sequence[Item]]:
    """The inputs, so many of them at a time."""
    return [items[start : start + batch] for start in range(0, len(items), batch)]
