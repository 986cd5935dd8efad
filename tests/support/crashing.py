"""Files in memory that remember what was done to them, and every state that a crash can leave of them.

Before a flush a medium promises nothing: of what was done since the last one, any part may have reached it, in any
order, and the last write by halves, at a multiple of 512 bytes.
"""

import random
from contextlib import suppress
from pathlib import Path

from vhdx.errors import FileSystemFullError, ShortReadError

PAGE = 4096
_ZEROS = bytes(PAGE)
SECTOR = 512


class PagedFile:
    """A file as pages, cheap to copy. Pages that are not there are zeros."""

    def __init__(self, pages=None, size=0, path=Path("<paged>")):
        self.pages, self.size, self.path = pages or {}, size, path

    @classmethod
    def of(cls, sparse, path):
        """From a file of the fixtures."""
        file = cls({}, sparse.size, path)
        for start, data in sparse.extents:
            file.put(start, data)
        file.size = sparse.size
        return file

    def copy(self):
        return PagedFile(dict(self.pages), self.size, self.path)

    def put(self, offset, data):
        data, at, end = bytes(data), offset, offset + len(data)
        while at < end:
            number, inside = divmod(at, PAGE)
            stop = min(end, (number + 1) * PAGE)
            page = self.pages.get(number, _ZEROS)
            piece = data[at - offset : stop - offset]
            self.pages[number] = page[:inside] + piece + page[inside + len(piece) :]
            at = stop
        self.size = max(self.size, end)

    def clear(self, start, length):
        """Zeros, up to the file's end."""
        end = min(start + length, self.size)
        first, last = -(-start // PAGE), end // PAGE
        if first > last:
            self.put(start, bytes(max(0, end - start)))
            return
        size = self.size
        self.put(start, bytes(first * PAGE - start))
        self.put(last * PAGE, bytes(end - last * PAGE))
        self.size = size
        for number in [number for number in self.pages if first <= number < last]:
            del self.pages[number]

    def resize(self, size):
        if size < self.size:
            self.clear(size, self.size - size)
        self.size = size

    def do(self, operation):
        kind, *arguments = operation
        {"write": self.put, "zero": self.clear, "size": self.resize}[kind](*arguments)

    def read(self, offset, length):
        if offset + length > self.size:
            raise ShortReadError(self.path, offset, length, max(0, self.size - offset))
        first, last = offset // PAGE, (offset + length - 1) // PAGE
        data = b"".join(self.pages.get(number, _ZEROS) for number in range(first, last + 1))
        return data if len(data) == length else data[offset - first * PAGE :][:length]

    def read_into(self, offset, buffer):
        buffer[:] = self.read(offset, len(buffer))

    def write_to(self, path):
        with path.open("wb") as out:
            out.truncate(self.size)
            for number, page in self.pages.items():
                out.seek(number * PAGE)
                out.write(page[: max(0, self.size - number * PAGE)])


class Killed(BaseException):
    """What a test raises in the midst of work: as a signal would come."""


class Recorder:
    """The media of one run, and all that was done to them, in order: (path, operation)."""

    def __init__(self, files, *, room=None, stop_after=None, full=(), interrupt_at=None):
        """`files` by path; `room` are the bytes that may still be added to them; raise Killed after so many steps.

        The media are full at the writes of these numbers, from 0 on. Ctrl-C comes once, instead of step `interrupt_at`.
        """
        self.start = {path: file.copy() for path, file in files.items()}
        self.media = {path: Recorded(self, file.copy(), path) for path, file in files.items()}
        self.operations, self.room, self.stop_after, self.full = [], room, stop_after, full
        self.interrupt_at = interrupt_at
        self.writes = 0

    def note(self, path, operation):
        if self.stop_after is not None and len(self.operations) >= self.stop_after:
            raise Killed
        if self.interrupt_at is not None and len(self.operations) >= self.interrupt_at:
            self.interrupt_at = None
            raise KeyboardInterrupt
        self.operations.append((path, operation))

    def need(self, path, count):
        self.writes += 1
        if self.writes - 1 in self.full:
            raise FileSystemFullError(path)
        if self.room is None:
            return
        if count > self.room:
            raise FileSystemFullError(path)
        self.room -= count

    @property
    def files(self):
        """All files as they are now."""
        return {path: medium.file for path, medium in self.media.items()}


class Recorded:
    """A medium (see vhdx.edit.medium) in memory."""

    def __init__(self, recorder, file, path):
        self._recorder, self.file, self.path = recorder, file, path
        file.path = path

    @property
    def size(self):
        return self.file.size

    def read_into(self, offset, buffer):
        self.file.read_into(offset, buffer)

    def write_at(self, offset, data):
        first, last = offset // PAGE, (offset + len(data) - 1) // PAGE
        new = sum(number not in self.file.pages for number in range(first, last + 1))
        self._recorder.need(self.path, new * PAGE)
        self._do("write", offset, bytes(data))

    def set_size(self, size):
        self._do("size", size)

    def zero(self, part):
        self._do("zero", part.start, part.length)

    def release(self, part):
        before = len(self.file.pages)
        self._do("zero", part.start, part.length)
        if self._recorder.room is not None:
            self._recorder.room += (before - len(self.file.pages)) * PAGE

    def flush(self):
        self._recorder.note(self.path, ("flush",))

    def _do(self, *operation):
        self._recorder.note(self.path, operation)
        self.file.do(operation)

    def close(self):
        pass


def crash_states(recorder, *, seed=0, shuffled=2):
    """(words, files) of every state that a crash can leave: before the first step and after each one.

    For each moment what was not flushed is lost; is all there; is there but for the last write, which is torn; and is
    there in part, whatever the order (`shuffled` times, by `seed`). Flushes of one file say nothing of another.
    """
    chance = random.Random(seed)
    durable = {path: file.copy() for path, file in recorder.start.items()}
    pending = {path: [] for path in durable}
    yield "before the first step", {path: file.copy() for path, file in durable.items()}
    for number, (path, operation) in enumerate(recorder.operations):
        if operation[0] == "flush":
            for one in pending[path]:
                durable[path].do(one)
            pending[path] = []
            if not any(pending.values()):
                yield f"flushed at step {number}", {path: file.copy() for path, file in durable.items()}
            continue
        pending[path].append(operation)
        yield f"all of step {number}", _with(durable, pending)
        if operation[0] == "write" and len(operation[2]) > SECTOR:
            yield (
                f"step {number} torn",
                _with(durable, {**pending, path: [*pending[path][:-1], _torn(operation, chance)]}),
            )
        yield f"unflushed lost at step {number}", {path: file.copy() for path, file in durable.items()}
        for _ in range(shuffled):
            some = {name: [one for one in waiting if chance.random() < 0.5] for name, waiting in pending.items()}
            some = {name: chance.sample(waiting, len(waiting)) for name, waiting in some.items()}
            yield f"some of step {number} in any order", _with(durable, some)


def _with(durable, pending):
    files = {path: file.copy() for path, file in durable.items()}
    for path, operations in pending.items():
        for operation in operations:
            files[path].do(operation)
    return files


def _torn(operation, chance):
    _, offset, data = operation
    first = -offset % SECTOR
    cuts = range(first or SECTOR, len(data), SECTOR)
    return "write", offset, data[: chance.choice(cuts)] if cuts else b""


def full_at_each_write(files, work):
    """What is left where the media are full at the nth write of some work, for each n: at it alone, and from it on."""
    for first in range(1000):
        for full in (range(first, first + 1), range(first, 1 << 60)):
            run = Recorder(files, full=full)
            with suppress(FileSystemFullError):
                work(run)
            if run.writes <= first:  # the work has fewer
                return
            yield run


def interrupted_at_each_step(files, work):
    """What is left where Ctrl-C comes at the nth step of some work, for each n; what tidies up goes on."""
    for number in range(1000):
        run = Recorder(files, interrupt_at=number)
        with suppress(KeyboardInterrupt):
            work(run)
        if run.interrupt_at is not None:  # the work has fewer steps
            return
        yield run
