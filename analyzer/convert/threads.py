"""Work on cells dealt to threads: in any order, in any order but for one step, or with results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from threading import Condition, Lock
from typing import TypeVar

from analyzer.progress import Progress

THREADS = 2
"""That work at a time; more gain nothing where two already fill the memory's bandwidth."""
# A lock for 16 MiB, not for each: threads meet rarely, and the last share is short enough that none waits long.
_SHARE = 16
# Enough that no thread waits for the writer, few enough that memory stays at some cells.
WAITING = 4 * THREADS
"""Cells that are packed or wait to be written: what bounds the memory."""

Given = TypeVar("Given")
Made = TypeVar("Made")


class Deal:
    """Cells dealt to threads, some at a time; each thread gets its own in ascending order."""

    share = _SHARE

    def __init__(self, cells: Iterable[int]) -> None:
        """Deal `cells`, which ascend."""
        self._left, self._changed = iter(cells), Condition(Lock())

    def dealt(self) -> Iterator[int]:
        """The cells of one thread."""
        while share := self._take():
            yield from share

    def end(self) -> None:
        """Deal no more: a thread failed, or was interrupted."""
        with self._changed:
            self._left = iter(())

    def _take(self) -> list[int]:
        with self._changed:
            return list(islice(self._left, self.share))


class OverError(Exception):
    """A thread's turn never comes, for another one failed before it."""


class Turns(Deal):
    """Cells dealt one by one, each with a turn for what must be done in the order of the cells."""

    share = 1

    def __init__(self, cells: Iterable[int]) -> None:
        """See Deal."""
        super().__init__(cells)
        self._under_way, self._is_over = deque[int](), False

    @contextmanager
    def turn_of(self, cell: int) -> Iterator[None]:
        """Wait until each cell before this one had its turn; raises OverError when one of them never will."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._under_way[0] == cell)
            if self._is_over:
                raise OverError
            yield
            self._under_way.popleft()
            self._changed.notify_all()

    def end(self) -> None:
        """See Deal."""
        super().end()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _take(self) -> list[int]:
        with self._changed:
            taken = list(islice(self._left, self.share))
            self._under_way.extend(taken)
            return taken


def by_threads(
    work: Callable[[Iterator[int], Progress], Made], deal: Deal, progress: Progress, *, threads: int = THREADS
) -> list[Made]:
    """What `work` makes in each of some threads of the cells that are dealt to it; raises what it raises."""
    lock = Lock()

    def report(count: int) -> None:
        with lock:  # progress hears of one thread at a time
            progress(count)

    with ThreadPoolExecutor(threads) as pool:
        try:
            begun = [pool.submit(work, deal.dealt(), report) for _ in range(threads)]
            # what one thread cannot read or write ends the others too
            wait(begun, return_when=FIRST_EXCEPTION)
        finally:
            deal.end()
    for error in sorted(filter(None, (one.exception() for one in begun)), key=lambda one: isinstance(one, OverError)):
        raise error
    return [one.result() for one in begun]


def in_order(work: Callable[[Given], Made], things: Iterable[Given]) -> Generator[Made, None, None]:
    """What `work` makes of each thing, done by threads, in the order of the things; few are under way at a time."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) >= WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()  # what has not begun need not be packed: nobody writes it any more
