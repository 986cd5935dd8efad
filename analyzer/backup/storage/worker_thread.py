"""Calls that a signal does not reach: another thread makes them, and the main thread, where signals come, waits."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
_LOOK_UP = 1.0
"""Seconds: on Windows a wait without an end is deaf to Ctrl-C."""


class Aside:
    """A thread that makes one call after another. It ends with the process, whatever it is waiting for."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="vhdx place", daemon=True)
        self.thread.start()

    def run(self, action: Callable[[], Result]) -> Result:
        """What `action` gives or raises. An interruption of the wait leaves it running: use another `Aside` then."""
        call = _Call(action)
        self._calls.put(call)
        while not call.done.wait(_LOOK_UP):
            pass
        if call.error is not None:
            raise call.error
        result: Result = call.result
        return result

    def end(self) -> None:
        """Let the thread end after what it is at."""
        self._calls.put(_Call(None))

    def _work(self) -> None:
        while (call := self._calls.get()).action is not None:
            try:
                call.result = call.action()
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was asked for
                call.error = error
            call.done.set()


class _Call:
    """One call and what became of it."""

    def __init__(self, action: Callable[[], Any] | None) -> None:
        self.action, self.done = action, threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
