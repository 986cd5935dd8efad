"""A process of its own for the library that reads file systems: a hostile disk makes such libraries hang, or end.

It has nothing of the disk but what this one reads for it, so that it works with every disk that can be read here, LOST
and all; its answers are plain values, never classes; it ends itself when a step takes too much time or memory, or when
this process is gone (`watch`). It starts with the first question, and anew after an end.
"""

import importlib.util
import io
import itertools
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from analyzer.guest.filesystems.errors import MissingReaderError
from analyzer.guest.filesystems.opened import At
from analyzer.guest.filesystems.volume_reader import MOST_READ, ReadableDisk
from analyzer.guest.filesystems.watch import OUT_OF_MEMORY, OUT_OF_TIME
from vhdx.errors import VhdxError

# Of no sign of life, where the process does not end by itself; of waiting, so that Ctrl-C is heard on every system; and
# of the end that it is given to leave by itself.
_MOST_SILENT, _TICK, _GRACE = 60, 0.2, 0.3
_MOST_MESSAGE = MOST_READ + (1 << 20)
_NONSENSE = (pickle.UnpicklingError, ValueError, TypeError, AttributeError, IndexError, KeyError, MemoryError)
_PROGRAM = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from multiprocessing import connection
from analyzer.guest.filesystems.worker import main
kind = getattr(connection, "PipeConnection", connection.Connection)
main(kind(int(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))
"""
_REASONS = {OUT_OF_TIME: "took too long", OUT_OF_MEMORY: "took too much memory"}


class ReaderEndedError(Exception):
    """The process has ended before it answered; `at` is what it was looking at."""

    def __init__(self, reason: str, at: At, *, was_asked: bool) -> None:
        super().__init__(reason)
        self.at, self.was_asked = at, was_asked
        """`was_asked`: it was at work on the question, or on none yet, and not on another one."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401 - never returns
        """No class is ever looked up: what a library may have been led to send stays numbers and text."""
        raise pickle.UnpicklingError(f"{module}.{name}")


class _Child:
    """One process, and the thread that reads the disk for it and takes its answers."""

    def __init__(self, disk: ReadableDisk) -> None:
        self.connection, theirs = Pipe()
        self.process = _start(theirs, disk)
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.kept = dict[int, deque[Any]]()
        """Answers by the numbers of questions that somebody waits for."""
        self.at, self.heard, self._lock = (0, At()), time.monotonic(), threading.Lock()
        self._thread = threading.Thread(target=self._serve, args=(disk,), daemon=True)
        self._thread.start()

    def send(self, message: Any) -> None:  # noqa: ANN401 - plain values
        """Send to the process; nothing happens where that has ended: its end is heard with the answer."""
        try:
            with self._lock:
                self.connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        except OSError:
            pass

    def answer(self, number: int) -> Any:  # noqa: ANN401
        """The next answer to a question; raises ReaderEndedError, and what reading the disk raises."""
        while not self.kept[number]:
            try:
                answer = self.answers.get(timeout=_TICK)
            except queue.Empty:
                if time.monotonic() - self.heard > _MOST_SILENT:
                    self.process.kill()
                continue
            if answer is None:
                self.answers.put(None)  # for the others who wait
                raise ReaderEndedError(self._why(), self.at[1], was_asked=self.at[0] in {0, number})
            if isinstance(answer, Exception):
                raise answer
            if answer[0] in self.kept:
                self.kept[answer[0]].append(answer[1:])
        return self.kept[number].popleft()

    def end(self) -> None:
        """End it, at once where it does not listen."""
        self.send(None)
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.connection.close()

    def _why(self) -> str:
        try:
            code = self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return _REASONS.get(code, f"ended by itself ({code})")

    def _serve(self, disk: ReadableDisk) -> None:
        try:
            while True:
                kind, *message = _Plain(io.BytesIO(self.connection.recv_bytes(_MOST_MESSAGE))).load()
                self.heard = time.monotonic()
                if kind == "read":
                    data, missed = disk.read_best_effort(*_judged(disk.size, *message))
                    self.send((None, data, [tuple(part) for part in missed]))
                elif kind == "at":
                    self.at = message[0], At(*message[1])
                else:
                    self.answers.put(message)
        except (EOFError, OSError, *_NONSENSE):
            self.answers.put(None)
        except VhdxError as error:
            self.answers.put(error)


def _judged(size: int, start: int, length: int) -> tuple[int, int]:
    if not (start >= 0 and 0 <= length <= MOST_READ and start + length <= size):
        raise ValueError(f"{length} bytes at {start} of {size}")
    return start, length


def _start(theirs: Connection, disk: ReadableDisk) -> subprocess.Popen[bytes]:
    """The process, with its end of the connection, and nothing else that is open."""
    handle, options = theirs.fileno(), dict[str, Any]()
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)  # noqa: FBT003 - its only way to say so
        started = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        options = {"startupinfo": started, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        options = {"pass_fds": (handle,), "start_new_session": True}
    # The same modules, wherever the current folder is; one thread for numpy, which makes one for each processor.
    path = json.dumps([str(Path(__file__).parents[3]), *filter(None, sys.path)])
    # Without `site`, whose work is done: it takes as long as all imports of the program.
    arguments = [sys.executable, "-P", "-S", "-c", _PROGRAM, path, *map(str, (handle, disk.size, disk.sector_size))]
    with theirs:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and arguments of our own
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, **options,
        )  # fmt: skip


class ReaderProcess:
    """Asks about the file systems of one disk. Nothing is left of it when nobody has it any more."""

    def __init__(self, disk: ReadableDisk) -> None:
        """Of `disk`, which is read in a thread of its own while questions wait. Raises MissingReaderError."""
        if importlib.util.find_spec("pytsk3") is None:
            raise MissingReaderError
        self.disk, self._numbers = disk, itertools.count(1)
        self._child: _Child | None = None
        self._finalizer: weakref.finalize | None = None  # type: ignore[type-arg]

    @property
    def is_started(self) -> bool:
        """Whether there is a process: a disk whose volumes are read without one needs none."""
        return self._child is not None

    def ask(self, question: Any) -> Iterator[tuple[list[Any], list[Any]]]:  # noqa: ANN401 - plain values
        """Values that answer a question, some at a time, with the ranges of the disk that were found lost meanwhile.

        The next ones are prepared while these are looked at. Raises ReaderEndedError, and what reading the disk raises.
        """
        child, number, is_last = self._started(), next(self._numbers), False
        child.kept[number] = deque()
        try:
            child.send((number, question))
            while not is_last:
                values, is_last, missed = child.answer(number)
                if not is_last:
                    child.send((number, "more"))
                yield values, missed
        except ReaderEndedError:
            is_last = True
            if child is self._child:
                self._child = None
            raise
        finally:
            child.kept.pop(number, None)
            if not is_last:
                child.send((number, "drop"))

    def _started(self) -> _Child:
        if self._child is None:
            if self._finalizer:
                self._finalizer()
            self._child = _Child(self.disk)
            self._finalizer = weakref.finalize(self, self._child.end)
        return self._child
