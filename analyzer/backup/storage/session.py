"""A connection that is made anew when it is lost: each thread has its own, each call is tried a few times."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from analyzer.backup.storage.errors import ServerError
from analyzer.backup.storage.worker_thread import Aside

Result = TypeVar("Result")


class Connection(Protocol):
    """Something that speaks with one server; it raises ConnectionError, EOFError or TimeoutError once it is lost."""

    @property
    def sharing(self) -> "Sharing":
        """Who may use it."""

    def close(self) -> None:
        """Leave, without complaint where the server has gone."""


class Sharing(Enum):
    """Who may use a connection."""

    THREAD = auto()
    """The thread that made it, until it is lost."""
    ALL = auto()
    """All threads, and after a loss too: it is a pool of connections by itself."""


Spoken = TypeVar("Spoken", bound=Connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a call is tried, and the seconds between: `first`, twice that, and so on, but never over `longest`."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (0 is the first), up to half of it by chance."""
        # Many clients that lost the same server should not come back at the same moment.
        return min(self.first * 2.0**attempt, self.longest) * (0.5 + random.random() / 2)  # noqa: S311 - no secret


class Session(Generic[Spoken]):
    """The connections to one place: one for each thread, or one that all share."""

    def __init__(self, place: str, connect: Callable[[], Spoken], patience: Patience) -> None:
        """`connect` makes a connection; nothing is connected yet."""
        self.place, self._connect, self._patience = place, connect, patience
        self._mine, self._all, self._lock = threading.local(), dict[threading.Thread, Spoken](), threading.Lock()
        self._aside: Aside | None = None

    def call(self, action: Callable[[Spoken], Result]) -> Result:
        """What `action` gives, on a new connection when one is lost; it may so run more than once.

        Raises ServerError when the place cannot be reached, and whatever else `action` raises.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._call(action)
        # A library that a signal interrupts in the middle of a message is of no more use, not even to say goodbye: it
        # waits for answers that were read half, and for its own locks.
        aside = self._aside = self._aside or Aside()
        try:
            return aside.run(lambda: self._call(action))
        except (KeyboardInterrupt, SystemExit):
            self._leave(aside)
            raise

    def _leave(self, aside: Aside) -> None:
        """Forget a thread, with its connection, that is in the middle of a call."""
        aside.end()
        self._aside = None
        with self._lock:
            self._all.pop(aside.thread, None)

    def _call(self, action: Callable[[Spoken], Result]) -> Result:
        for attempt in range(self._patience.attempts):
            try:
                return action(self._connection())
            except (ConnectionError, EOFError, TimeoutError) as error:
                lost = error
                self._drop()
            if attempt + 1 < self._patience.attempts:
                time.sleep(self._patience.wait(attempt))
        reason = f"the connection failed {self._patience.attempts} times, at last with: {str(lost) or 'it was closed'}"
        raise ServerError(self.place, reason, "check the network and the server, and run again") from lost

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._all = self._all, {}
        for connection in connections.values():
            connection.close()
        if self._aside is not None:
            self._aside.end()
            self._aside = None
        self._mine = threading.local()

    def _connection(self) -> Spoken:
        known: Spoken | None = getattr(self._mine, "connection", None)
        if known is not None:
            return known
        with self._lock:
            shared = [connection for connection in self._all.values() if connection.sharing is Sharing.ALL]
        made = shared[0] if shared else self._connect()
        if not shared:
            with self._lock:
                self._all[threading.current_thread()] = made
        self._mine.connection = made
        return made

    def _drop(self) -> None:
        known: Spoken | None = getattr(self._mine, "connection", None)
        if known is None or known.sharing is Sharing.ALL:
            return
        self._mine.connection = None
        with self._lock:
            self._all.pop(threading.current_thread(), None)
        known.close()
