"""MD5 and SHA-1 of a whole disk, each in a thread of its own, beside whatever else is going on."""

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from analyzer.progress import Progress

# Pieces that a digest may be behind: what bounds the memory.
_WAITING = 8
# hashlib lets other threads run for pieces like this, and progress stays smooth.
_STEP = 1 << 20
# Zeros between data are not read but have to be hashed. In steps of this size progress moves, and an interruption
# comes through.
# Zeros that are one piece of work.
_LEAP = 64 << 20
_ZEROS = bytes(_STEP)


class DiskDigests:
    """The digests of a disk whose data come in ascending order; between them are zeros."""

    def __init__(self, progress: Progress) -> None:
        """Begin at the disk's first byte; `progress` counts zeros alone."""
        self._position, self._progress = 0, progress
        # Not for security: these two are what the format has. One thread for each: hashlib lets go of the GIL, but a
        # digest takes its bytes in order.
        states = [hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha1")]
        self._digests = [(state, ThreadPoolExecutor(1)) for state in states]
        self._waiting = deque[list[Future[None]]]()

    def update(self, start: int, data: bytes | memoryview) -> None:
        """Bytes of the disk at `start`; they must not change until `close`."""
        self._zeros_until(start)
        self._do(_update, data)
        self._position = start + len(data)

    def close(self, size: int) -> tuple[bytes, bytes]:
        """MD5 and SHA-1 of the disk of `size` bytes."""
        self._zeros_until(size)
        self._wait(0)
        for _, thread in self._digests:
            thread.shutdown()
        md5, sha1 = (state.digest() for state, _ in self._digests)
        return md5, sha1

    def _zeros_until(self, position: int) -> None:
        while self._position < position:
            count = min(_LEAP, position - self._position)
            self._do(_update_zeros, count)
            self._position += count
            self._progress(count)

    def _do(self, work: "Callable[[hashlib._Hash, Any], None]", what: object) -> None:
        """Queue work for both threads; waits while they are too far behind."""
        self._waiting.append([thread.submit(work, state, what) for state, thread in self._digests])
        self._wait(_WAITING)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            for future in self._waiting.popleft():
                future.result()


def _update(state: "hashlib._Hash", data: bytes | memoryview) -> None:
    state.update(data)


def _update_zeros(state: "hashlib._Hash", count: int) -> None:
    for done in range(0, count, _STEP):
        left = count - done
        state.update(_ZEROS if left >= _STEP else _ZEROS[:left])
