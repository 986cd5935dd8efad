"""The process that reads file systems: it is asked over a connection, and reads the disk over the same.

Started by `reader_process`; it opens no file, and what it tells are plain values.
"""

import contextlib
import pickle
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import astuple
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from analyzer.guest.filesystems.file_records import FAILURES, sentence
from analyzer.guest.filesystems.opened import At, Avoid, OpenedVolume
from analyzer.guest.filesystems.opening import opened
from analyzer.guest.filesystems.rows import row_of
from analyzer.guest.filesystems.walk import Said
from analyzer.guest.filesystems.watch import Watch
from analyzer.guest.layouts.partitions import Partition
from vhdx.ranges import Range

# Values that are told together: as many as are made in a time that nobody notices.
_MOST_VALUES, _MOST_SECONDS = 256, 0.05


class ServedDisk:
    """A disk that the parent reads; see ReadableDisk."""

    def __init__(self, connection: Connection, size: int, sector_size: int) -> None:
        self._connection, self.size, self.sector_size = connection, size, sector_size
        self.waiting, self.missed = deque[Any](), list[tuple[int, int]]()
        """What the parent asked meanwhile, and what was found lost."""
        self.watch = Watch()

    def read_best_effort(self, start: int, length: int) -> tuple[bytes, list[Range]]:
        """See ReadableDisk."""
        self.watch.read(start)
        self.tell("read", start, length)
        while (message := pickle.loads(self._connection.recv_bytes()))[0] is not None:  # noqa: S301 - of the parent
            self.waiting.append(message)
        _, data, missed = message
        self.missed += missed
        return data, [Range(*part) for part in missed]

    def tell(self, *message: Any) -> None:  # noqa: ANN401 - plain values
        """Send something to the parent."""
        self._connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def asked(self) -> tuple[int, Any]:
        """The next question, by its number; raises EOFError when there is none any more."""
        message: tuple[int, Any] | None
        message = self.waiting.popleft() if self.waiting else pickle.loads(self._connection.recv_bytes())  # noqa: S301
        if message is None:
            raise EOFError
        return message


class Worker:
    """Answers questions in turn, each a batch of values at a time."""

    def __init__(self, disk: ServedDisk) -> None:
        self._disk, self._answers = disk, dict[int, Iterator[Any]]()
        self._volumes: dict[Partition, tuple[Any, OpenedVolume | None]] = {}
        self._places: dict[int, At] = {}
        """What each answer was looking at last."""
        self._number, self._batch = 0, _MOST_VALUES

    def serve(self) -> None:
        """Answer until the parent has no more questions."""
        while True:
            self._number, question = self._disk.asked()
            if question == "drop":
                self._forget()
                continue
            if question != "more":
                part, avoid, passed, name, arguments = question
                values = self._stepping(getattr(self, f"_{name}")(part, avoid, *arguments))
                self._answers[self._number] = islice(values, passed, None)
                self._batch = 1 if avoid.suspects else _MOST_VALUES
            self._tell_some(self._answers[self._number])

    def _tell_some(self, values: Iterator[Any]) -> None:
        self._at(self._places.get(self._number, At()))
        batch, until = [], time.monotonic() + _MOST_SECONDS
        for value in values:
            batch.append(value)
            if len(batch) >= self._batch or time.monotonic() > until:
                break
        else:
            self._forget()
        self._disk.tell("answer", self._number, batch, self._number not in self._answers, self._disk.missed)
        self._disk.missed = []

    def _forget(self) -> None:
        self._answers.pop(self._number, None)
        self._places.pop(self._number, None)

    def _stepping(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self._disk.watch.step()
            yield value

    def _at(self, at: At) -> None:
        self._places[self._number] = at
        self._disk.watch.step()
        self._disk.tell("at", self._number, tuple(at))

    def _volume(self, part: Partition, avoid: Avoid) -> tuple[Any, OpenedVolume | None]:
        if part not in self._volumes:
            self._volumes[part] = opened(self._disk, part, avoid, self._at)
        return self._volumes[part]

    def _open(self, part: Partition, avoid: Avoid) -> Iterator[Any]:
        yield self._volume(part, avoid)[0]

    def _items(self, part: Partition, avoid: Avoid, name: str, *arguments: object) -> Iterator[Any]:
        known, volume = self._volume(part, avoid)
        if volume is None:  # the parent could read some of it
            yield row_of(Said("", f"what is not plain cannot be read: {known['reason']}"))
        else:
            yield from map(row_of, getattr(volume, name)(*arguments))

    def _read(self, part: Partition, avoid: Avoid, address: int, *where: int) -> Iterator[Any]:
        volume = self._volume(part, avoid)[1]
        self._at(At(address))
        try:
            yield bytes(volume.fs.open_meta(inode=address).read_random(*where)) if volume else b""
        except FAILURES as error:
            yield sentence(error)

    def _details(self, part: Partition, avoid: Avoid, address: int) -> Iterator[Any]:
        volume = self._volume(part, avoid)[1]
        self._at(At(address))
        found = volume.details(address) if volume else None
        yield found and astuple(found)

    def _initialized(self, part: Partition, avoid: Avoid, address: int) -> Iterator[Any]:
        volume = self._volume(part, avoid)[1]
        yield volume.initialized(address) if volume else None


def main(connection: Connection, size: int, sector_size: int) -> None:
    """Serve one disk; ends when the parent does, or wants no more."""
    with contextlib.suppress(EOFError, OSError):
        Worker(ServedDisk(connection, size, sector_size)).serve()
