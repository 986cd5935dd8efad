"""Work that threads share: done ahead of who takes it, in any order, or with results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from analyzer.progress import Progress

THREADS = 2
"""That work at a time; more gain nothing where two already fill the memory's bandwidth."""
# A lock for 16 MiB, not for each: threads meet rarely, and the last share is short enough that none waits long.
_SHARE = 16
ALIVE = 4
"""Things that are made ahead, waiting or in use: two of a MiB stay in most processors' caches with what is read."""
# Enough that no thread waits for the writer, few enough that memory stays at some cells.
WAITING = 4 * THREADS
"""Cells that are packed or wait to be written: what bounds the memory."""

Given = TypeVar("Given")
Made = TypeVar("Made")


class Deal:
    """Cells dealt to threads, some at a time; each thread gets its own in ascending order."""

    def __init__(self, cells: Iterable[int]) -> None:
        """Deal `cells`, which ascend."""
        self._left, self._lock = iter(cells), Lock()

    def dealt(self) -> Iterator[int]:
        """The cells of one thread."""
        while share := self._take():
            yield from share

    def end(self) -> None:
        """Deal no more: a thread failed, or was interrupted."""
        with self._lock:
            self._left = iter(())

    def _take(self) -> list[int]:
        with self._lock:
            return list(islice(self._left, _SHARE))


def ahead(things: Iterable[Given]) -> Generator[Given, None, None]:
    """The things as they come, made by a thread of its own that is some ahead; raises what making one raises.

    A thing is good until the next one is asked for; those that are alive at any time are `ALIVE`.
    """
    made, room, is_over = SimpleQueue[tuple[Given] | None](), SimpleQueue[None](), False
    for _ in range(ALIVE - 1):
        room.put(None)

    def make() -> None:
        try:
            for thing in things:
                made.put((thing,))
                room.get()
                if is_over:
                    break
        finally:
            made.put(None)

    with ThreadPoolExecutor(1) as maker:
        making = maker.submit(make)
        try:
            while (one := made.get()) is not None:
                yield one[0]
                room.put(None)
            making.result()
        finally:
            is_over = True
            room.put(None)


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
