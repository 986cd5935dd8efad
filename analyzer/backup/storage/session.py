"""A connection that is made anew when it is lost: each thread has its own, each call is tried a few times."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import ServerError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and the seconds between: `first`, twice that, and so on, but never over `longest`."""

    # Six attempts with doubled pauses span about half a minute: a server that restarts is back by then.
    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (0 is the first), up to half of it by chance."""
        # Many clients that lost the same server should not come back at the same moment.
        return min(self.first * 2.0**attempt, self.longest) * (0.5 + random.random() / 2)  # noqa: S311 - no secret


class WorkerThread:
    """A thread that makes one call after another, which no signal reaches: signals come to the main thread.

    It ends with the process, whatever it is waiting for.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="vhdx place", daemon=True)
        self.thread.start()

    def run(self, action: Callable[[], Result]) -> Result:
        """What `action` returns or raises. An interruption leaves it running: use another WorkerThread then."""
        call = Future[Result]()
        self._calls.put((action, call))
        while not call.done():
            # Never without an end: on Windows a wait without one is deaf to Ctrl-C.
            wait([call], timeout=1.0)
        return call.result()

    def end(self) -> None:
        """Let the thread end after its current call."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            action, result = call
            try:
                result.set_result(action())
            # SystemExit too: a library that raises it in this thread must not leave the main thread waiting for ever.
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was asked for
                result.set_exception(error)


class Session:
    """The connections to one place: one for each thread, or a pool that all share."""

    def __init__(self, place: str, connect: Callable[[], Server], policy: RetryPolicy) -> None:
        """`connect` makes a connection; nothing is connected yet."""
        self.place, self._connect, self._policy = place, connect, policy
        self._all, self._lock = dict[threading.Thread, Server](), threading.Lock()
        self._worker: WorkerThread | None = None

    def call(self, action: Callable[[Server], Result]) -> Result:
        """What `action` returns, on a new connection when one is lost; it may so run more than once.

        Raises ServerError when the place cannot be reached, and whatever else `action` raises.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._call(action)
        # A library that a signal interrupts in the middle of a message is of no more use, not even to say goodbye: it
        # waits for answers that were read half, and for its own locks. So the thread is forgotten with its connection:
        # test_an_interruption_leaves_the_call_alone_and_the_next_one_has_a_connection_of_its_own.
        worker = self._worker = self._worker or WorkerThread()
        try:
            return worker.run(lambda: self._call(action))
        except (KeyboardInterrupt, SystemExit):
            worker.end()
            self._worker = None
            with self._lock:
                self._all.pop(worker.thread, None)
            raise

    def _call(self, action: Callable[[Server], Result]) -> Result:
        for attempt in range(self._policy.attempts):
            try:
                return action(self._connection())
            # Only what a new connection can change. A wrong password or a missing bucket is raised at once.
            except (ConnectionError, EOFError, TimeoutError) as error:
                lost = error
                self._drop()
            if attempt + 1 < self._policy.attempts:
                time.sleep(self._policy.wait(attempt))
        reason = f"the connection failed {self._policy.attempts} times, at last with: {str(lost) or 'it was closed'}"
        raise ServerError(self.place, reason, "check the network and the server, and run again") from lost

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._all = self._all, {}
        for connection in connections.values():
            connection.close()
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _connection(self) -> Server:
        with self._lock:
            pool = next((connection for connection in self._all.values() if connection.is_pool), None)
            known = self._all.get(threading.current_thread(), pool)
        if known is None:
            known = self._connect()
            with self._lock:
                self._all[threading.current_thread()] = known
        return known

    def _drop(self) -> None:
        with self._lock:
            known = self._all.get(threading.current_thread())
            if known is None or known.is_pool:
                return
            del self._all[threading.current_thread()]
        known.close()
