"""How fast chunks go to a place and come from it, where a line is shared with others."""

import threading
import time
from collections.abc import Callable

Paced = Callable[[int], None]
"""Called with the bytes of each chunk that was sent or fetched; it may wait."""


def unpaced(_count: int) -> None:
    """As fast as it goes."""


class Pace:
    """At most so many bytes a second, by all threads together, measured over a few chunks."""

    def __init__(self, bytes_a_second: int) -> None:
        """Begin now."""
        self._rate, self._due, self._lock = bytes_a_second, time.monotonic(), threading.Lock()

    def __call__(self, count: int) -> None:
        """Wait until so many bytes more were allowed."""
        with self._lock:
            now = time.monotonic()
            # What was not used in the past is not made up for: a line is not flooded after a pause.
            self._due = max(self._due, now) + count / self._rate
            wait = self._due - now
        time.sleep(wait)
