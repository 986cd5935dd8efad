"""Work spread over machines that see the same storage, by a scheduler of Dask, which gives each worker its tasks.

Dask does again what a lost worker had, as often as its `allowed-failures` says. Where that was in vain for a batch, its
inputs are tried one by one.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analyzer.progress import Progress, no_progress
from analyzer.tasks.engine import Item, Lost, Result, Work, batches, in_turn
from analyzer.text import adding_extra, version
from vhdx.errors import VhdxError

if TYPE_CHECKING:
    from distributed import Client

# Seconds for a scheduler to answer, for a worker to come, between looks at what is done, and without an answer until it
# is asked whether there are workers still.
_ANSWER, _ARRIVAL, _TICK, _SILENCE = 10, 60, 0.05, 5
# Tasks that the scheduler has at one time: more than any fleet works at, and few enough to be cancelled at once.
_MOST_AHEAD = 1024
_LOST = Lost("the workers that were given it ended, also when they had it alone; see the scheduler's log")


class FleetError(VhdxError):
    """A scheduler, or its workers, cannot do the work."""

    exit_code = 6
    scheduler: str
    reason: str
    text = "the scheduler {scheduler}: {reason}"


class MissingFleetError(VhdxError):
    """The package that speaks with a scheduler is not installed."""

    exit_code = 6
    text = f"--dask needs the package distributed, which is not installed; {adding_extra('fleet')}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Works where a scheduler has it worked at; `scheduler` is its address, tcp://host:8786 or tls://host:8786."""

    scheduler: str
    is_elsewhere: ClassVar[bool] = True

    def run(
        self, work: Work[Item, Result], items: Sequence[Item], batch: int, tick: Progress = no_progress
    ) -> Iterator[Result | Lost]:
        """See Engine. Raises FleetError, also where the scheduler is lost, and MissingFleetError."""
        parts = batches(items, batch)
        with _connected(self.scheduler) as client:
            yield from in_turn(_as_finished(client, work, parts), tick)


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """A client of the scheduler, which has workers; what is left undone is cancelled when it is left."""
    try:
        from distributed import Client
        from distributed.comm.registry import get_backend
    except ImportError as error:
        raise MissingFleetError from error
    with _quiet():
        try:
            get_backend(scheduler.partition("://")[0])
            client = Client(scheduler, timeout=_ANSWER, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            why = f"it does not answer ({error}); check the address, and that it runs"
            raise FleetError(scheduler, why) from error
        try:
            _await_workers(client, scheduler)
            yield client
        except (CancelledError, asyncio.CancelledError) as error:  # of Dask, where the connection has ended
            why = "it is lost; what was not told is not done: start it again, and run the command again"
            raise FleetError(scheduler, why) from error
        finally:
            with suppress(TimeoutError, OSError):
                client.close(timeout=1)


def _await_workers(client: "Client", scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_ARRIVAL)
    except TimeoutError as error:
        why = f"it has no worker, and none joined it within {_ARRIVAL} s; start some with `dask worker`, and try again"
        raise FleetError(scheduler, why) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Meanwhile Dask writes no log: what is to be known of it is an error of ours."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)


def _as_finished(
    client: "Client", work: Work[Item, Result], parts: Sequence[Sequence[Item]]
) -> Iterator[tuple[int, Sequence[Result | Lost]]]:
    """The numbers of the parts, as they are finished, and their results."""
    from distributed import as_completed

    waiting, numbers = deque(range(len(parts))), dict[Any, int]()

    def begun() -> Any:  # noqa: ANN401 - Dask has no types
        number = waiting.popleft()
        future = _submitted(client, work, parts[number])
        numbers[future] = number
        return future

    running = as_completed([begun() for _ in range(min(len(waiting), _MOST_AHEAD))], loop=client.loop)
    for future in _done(client, running):
        number = numbers.pop(future)
        results = _results(future)
        if waiting:
            running.add(begun())
        yield number, _each_alone(client, work, parts[number]) if results is None else results


def _done(client: "Client", running: Any) -> Iterator[Any]:  # noqa: ANN401
    """What runs, as each ends. Raises FleetError where every worker went, and none comes: Dask would wait for ever."""
    heard = time.monotonic()
    while not running.is_empty():
        ended = running.next_batch(block=False)
        yield from ended
        if ended:
            heard = time.monotonic()
            continue
        time.sleep(_TICK)
        if time.monotonic() - heard > _SILENCE:
            _await_workers(client, client.scheduler.address)
            heard = time.monotonic()


def _each_alone(client: "Client", work: Work[Item, Result], part: Sequence[Item]) -> list[Result | Lost]:
    from distributed import as_completed

    futures = [_submitted(client, work, [item]) for item in part]
    deque(_done(client, as_completed(futures, loop=client.loop)), maxlen=0)
    return [(_results(future) or [_LOST])[0] for future in futures]


def _submitted(client: "Client", work: Work[Item, Result], part: Sequence[Item]) -> Any:  # noqa: ANN401
    return client.submit(_there, work, part, str(Path.cwd()), version(), pure=False)


def _results(future: Any) -> Sequence[Any] | None:  # noqa: ANN401
    """The results of a task; None where its workers were lost. Raises what the work raises."""
    from distributed.scheduler import KilledWorker

    try:
        results: Sequence[Any] = future.result()
    except KilledWorker:
        return None
    except ImportError as error:
        raise FleetError(future.client.scheduler.address, f"a worker cannot load vhdx: {error}") from error
    return results


def _there(work: Work[Item, Result], items: Sequence[Item], folder: str, tool: str) -> Sequence[Result | Lost]:
    """What a worker does: the work, as if it had been started in the folder that paths are given from."""
    where = socket.gethostname()
    if version() != tool:
        raise FleetError(where, f"a worker there has vhdx {version()}, and this is {tool}; install the same version")
    try:
        os.chdir(folder)
    except OSError as error:
        return [Lost(f"the worker on {where} has no folder {folder}: {error.strerror}")] * len(items)
    return work(items)
