"""MD5 and SHA-1 of a whole disk, each in a thread of its own, beside whatever else is going on."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from analyzer.convert.cells import InOrder
from analyzer.progress import Progress

# Pieces that a digest may be behind: what bounds the memory.
_WAITING = 8


class DiskDigests:
    """The digests of a disk whose data come in ascending order; between them are zeros."""

    def __init__(self, progress: Progress) -> None:
        """Begin at the disk's first byte; `progress` counts zeros alone."""
        self._bytes = InOrder(self._take, progress)
        # Not for security: these two are what the format has. One thread for each: hashlib lets go of the GIL, but a
        # digest takes its bytes in order.
        states = [hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha1")]
        self._digests = [(state, ThreadPoolExecutor(1)) for state in states]
        self._waiting = deque[list[Future[None]]]()

    def update(self, start: int, data: bytes | memoryview) -> None:
        """Bytes of the disk at `start`; they must not change until `close`."""
        self._bytes.put(start, data)

    def close(self, size: int) -> tuple[bytes, bytes]:
        """MD5 and SHA-1 of the disk of `size` bytes."""
        self._bytes.zeros_until(size)
        self._wait(0)
        for _, thread in self._digests:
            thread.shutdown()
        md5, sha1 = (state.digest() for state, _ in self._digests)
        return md5, sha1

    def _take(self, data: bytes | memoryview) -> None:
        """Queue bytes for both threads; waits while they are too far behind."""
        self._waiting.append([thread.submit(state.update, data) for state, thread in self._digests])
        self._wait(_WAITING)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            for future in self._waiting.popleft():
                future.result()
