"""Objects that are made together: what collects them, as suits each kind of place."""

import os
import threading
from pathlib import Path

from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.storage import Batch, Data, Place

# Bytes that are collected for a place that takes whole objects; more of them would be more memory.
_COLLECTED = 8 << 20
_BATCHED, _MOST_BATCHED = 256 << 20, 1024
"""Bytes and files of a local batch, which an interrupted run has to write anew."""


class CollectedBatch:
    """The batch of a place that writes what it is given: it collects some, and hands them over."""

    def __init__(self, place: Place) -> None:
        """A batch for `place`."""
        self._place, self._lock, self._waiting = place, threading.Lock(), list[tuple[str, Data]]()
        self._bytes = 0

    def add(self, name: str, data: Data) -> None:
        """See Batch."""
        with self._lock:
            self._waiting.append((name, data))
            self._bytes += len(data)
            full = self._bytes >= _COLLECTED
        if full:
            self.commit()

    def commit(self) -> None:
        """See Batch."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._place.write_all(waiting)

    def discard(self) -> None:
        """See Batch."""
        self._waiting = []


class LocalBatch:
    """The batch of a folder: files are written at once, and get their names when the file system was flushed.

    One flush for hundreds of files: a flush for each, and one for its folder, would take longer than all the rest.
    """

    def __init__(self, place: LocalPlace) -> None:
        """A batch for `place`."""
        self._place, self._lock, self._waiting = place, threading.Lock(), list[tuple[str, Path]]()
        self._bytes = 0

    def add(self, name: str, data: Data) -> None:
        """See Batch."""
        part, descriptor = self._place.begin(name, data)
        os.close(descriptor)
        with self._lock:
            self._waiting.append((name, part))
            self._bytes += len(data)
            full = self._bytes >= _BATCHED or len(self._waiting) >= _MOST_BATCHED
        if full:
            self.commit()

    def commit(self) -> None:
        """See Batch."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        if waiting:
            self._place.name_all(waiting)

    def discard(self) -> None:
        """See Batch."""
        for _, part in self._waiting:
            part.unlink(missing_ok=True)
        self._waiting = []


def batch_for(place: Place) -> Batch:
    """The batch that suits a place best."""
    return LocalBatch(place) if isinstance(place, LocalPlace) else CollectedBatch(place)
