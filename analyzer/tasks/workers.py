"""Processes that work for this one: they leave interruptions to it, and are gone when it is."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import FrameType
from typing import Any, Self, TypeVar

from vhdx.system import processes

Result = TypeVar("Result")
_ENDED = 143
# Of the second in which Ctrl-C is to be done: workers that have not removed what they were writing by then are killed.
_GRACE = 0.5


class _Worker(SpawnProcess):
    """A process that is started deaf to the signals that a terminal sends to all: this process hears them for it."""

    def start(self) -> None:
        """See Process."""
        with processes.interruptions_held():
            super().start()


class _Context(SpawnContext):
    """Starts processes, and knows which. Spawned, as on every system: a process with threads must not be forked."""

    def __init__(self) -> None:
        self.started: list[_Worker] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: ANN401, N802 - as the library calls it
        """A process to be."""
        self.started.append(_Worker(*args, **kwargs))
        return self.started[-1]


class Workers:
    """Some processes; none of them is left when it is left."""

    def __init__(self, count: int) -> None:
        """Starts none before there is work for it."""
        self._context = _Context()
        self._pool = ProcessPoolExecutor(count, mp_context=self._context, initializer=_begin)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> "Future[Result]":  # noqa: ANN401 - the work's own
        """Have it done; raises BrokenProcessPool where a process has ended that should not."""
        return self._pool.submit(_tidily, work, arguments)

    def __enter__(self) -> Self:
        """The workers themselves."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let them end when all is done, else have them end now."""
        if kind is not None:
            self.end()
        self._pool.shutdown(cancel_futures=True)

    def end(self) -> None:
        """End them, whatever they do; what they were writing is removed, unless that takes them too long."""
        started = [worker for worker in self._context.started if worker.pid is not None]
        for worker in started:
            worker.terminate()
        until = time.monotonic() + _GRACE
        for worker in started:
            worker.join(max(0.0, until - time.monotonic()))
        for worker in started:
            worker.kill()
            worker.join()


def _begin() -> None:
    """What a worker does first."""
    signal.signal(signal.SIGTERM, _end)
    processes.hear(signal.SIGTERM)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_ENDED)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(_ENDED)  # nobody is left to take a result


def _tidily(work: Callable[..., Result], arguments: Sequence[Any]) -> Result:
    try:
        return work(*arguments)
    except SystemExit:  # unwound by now, so that what was half written is removed; the pool would go on
        os._exit(_ENDED)
