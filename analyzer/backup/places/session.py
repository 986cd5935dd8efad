"""A connection that is made anew when it is lost: each thread has its own, each call is tried a few times."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from analyzer.backup.places.failures import ServerError
from analyzer.interruption import interruption_behind

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


_LOST = (ConnectionError, EOFError, TimeoutError)
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
        self._mine, self._all, self._lock = threading.local(), list[Spoken](), threading.Lock()

    def call(self, action: Callable[[Spoken], Result]) -> Result:
        """What `action` gives, on a new connection when one is lost; it may so run more than once.

        Raises ServerError when the place cannot be reached, and whatever else `action` raises.
        """
        for attempt in range(self._patience.attempts):
            try:
                return action(self._connection())
            except BaseException as error:
                if (interruption := interruption_behind(error)) is not None:
                    self._drop()  # it came in the middle of a message, maybe: nothing sensible follows
                    raise interruption from None
                if not isinstance(error, _LOST):
                    raise
                lost = error
                self._drop()
            if attempt + 1 < self._patience.attempts:
                time.sleep(self._patience.wait(attempt))
        reason = f"the connection failed {self._patience.attempts} times, at last with: {str(lost) or 'it was closed'}"
        raise ServerError(self.place, reason, "check the network and the server, and run again") from lost

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._all = self._all, []
        for connection in connections:
            connection.close()
        self._mine = threading.local()

    def _connection(self) -> Spoken:
        known: Spoken | None = getattr(self._mine, "connection", None)
        if known is not None:
            return known
        with self._lock:
            shared = [connection for connection in self._all if connection.sharing is Sharing.ALL]
        made = shared[0] if shared else self._connect()
        if not shared:
            with self._lock:
                self._all.append(made)
        self._mine.connection = made
        return made

    def _drop(self) -> None:
        known: Spoken | None = getattr(self._mine, "connection", None)
        if known is None or known.sharing is Sharing.ALL:
            return
        self._mine.connection = None
        with self._lock:
            self._all = [one for one in self._all if one is not known]
        known.close()
