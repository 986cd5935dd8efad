"""Work spread over processes of this machine.

A process that is killed breaks a pool, which does not say what it was at. So whatever was at work then is done again,
each input alone: one that ends its process once more is lost, and all others have their results.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, ClassVar

from analyzer.progress import Progress, no_progress
from analyzer.tasks.engine import Item, Lost, Result, Work, batches, in_turn
from analyzer.tasks.workers import Workers

# Of waiting, so that Ctrl-C is heard on every system.
_TICK = 0.2
_LOST = Lost(
    "the process that worked at it ended, and so did a second one that had it alone; memory ran out, or somebody ended "
    "them: see the system's log, and try it with --jobs 1"
)


@dataclass(frozen=True, slots=True)
class Processes:
    """Works in processes of this machine, so many at a time."""

    count: int
    is_elsewhere: ClassVar[bool] = False

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], batch: int, tick: Progress = no_progress
    ) -> Iterator[Result | Lost]:
        """See Engine."""
        parts = batches(items, batch)
        return in_turn(_as_finished(work, parts, min(self.count, len(parts))), tick)


def _as_finished(
    work: Work[Item, Result], parts: Sequence[Sequence[Item]], count: int
) -> Iterator[tuple[int, Sequence[Result | Lost]]]:
    """The numbers of the parts, as they are finished, and their results."""
    waiting = deque(range(len(parts)))
    while waiting:
        running = dict[Future[Any], int]()
        with Workers(count) as workers:
            try:
                yield from _while_whole(workers, work, parts, waiting, running, count)
            except BrokenProcessPool:
                workers.end()
        for number in sorted(running.values()):
            yield number, [*_each_alone(work, parts[number])]


def _while_whole(
    workers: Workers,
    work: Work[Item, Result],
    parts: Sequence[Sequence[Item]],
    waiting: deque[int],
    running: dict[Future[Any], int],
    count: int,
) -> Iterator[tuple[int, Sequence[Result]]]:
    """Parts as they are finished, until none is left; raises BrokenProcessPool, with those that were begun running."""
    while waiting or running:
        while waiting and len(running) <= count:  # one more than work, so that none of them waits for this process
            running[workers.submit(work, parts[waiting[0]])] = waiting[0]
            waiting.popleft()
        finished, _ = wait(running, _TICK, FIRST_COMPLETED)
        for future in finished:
            results = future.result()
            yield running.pop(future), results


def _each_alone(work: Work[Item, Result], part: Sequence[Item]) -> Iterator[Result | Lost]:
    """The result of each input, each tried once, with nothing beside it."""
    waiting = deque(part)
    while waiting:
        with Workers(1) as workers:
            try:
                while waiting:
                    future = workers.submit(work, [waiting[0]])
                    while not future.done():
                        wait([future], _TICK)
                    yield future.result()[0]
                    waiting.popleft()
            except BrokenProcessPool:
                waiting.popleft()
                yield _LOST
