"""What tests of backups share: a place in memory, and how points are made and read."""

import hashlib
import time
from contextlib import contextmanager

from analyzer.backup.create import run_create
from analyzer.backup.errors import MissingObjectError
from analyzer.backup.plan import CreateOptions, plan_create
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.index import blank_index
from analyzer.backup.repository.repository import Settings, init_repository
from analyzer.backup.restore import PointDisk
from analyzer.backup.storage.storage import Entry
from vhdx.reader import Reader

KIB, MIB = 1 << 10, 1 << 20


class CutOffError(Exception):
    """The place stopped in the middle of a run, as a process that is killed does."""


class MemoryPlace:
    """Objects in a dictionary, each written whole; `left` counts down the writes that it still does."""

    url = "memory"

    def __init__(self):
        self.objects, self.left, self.writes, self.reads = {}, None, 0, []

    def _step(self):
        if self.left == 0:
            raise CutOffError
        self.left = None if self.left is None else self.left - 1
        self.writes += 1

    def read(self, name):
        self.reads.append(name)
        try:
            return self.objects[name]
        except KeyError:
            raise MissingObjectError(self.url, name) from None

    def write(self, name, data):
        self._step()
        self.objects[name] = bytes(data)

    def create(self, name, data):
        if name in self.objects:
            return False
        self.write(name, data)
        return True

    def size(self, name):
        return len(self.objects[name]) if name in self.objects else None

    def list(self, folder):
        for name in list(self.objects):
            if not folder or name.startswith(f"{folder}/"):
                yield Entry(name, len(self.objects[name]), time.time())

    def delete(self, name):
        if name in self.objects:
            self._step()
            del self.objects[name]

    @contextmanager
    def cut_off_after(self, writes):
        """Within, only so many writes are done."""
        self.left = writes
        try:
            yield
        finally:
            self.left = None


def new_repository(place=None, chunk_size=64 * KIB):
    return init_repository(place or MemoryPlace(), Settings(chunk_size=chunk_size), Codec())


def back_up(repository, chain, **options):
    """Make points of a chain; their manifests."""
    return run_create(plan_create(repository, chain, CreateOptions(**options)))


def content_of(repository, name):
    """All bytes of a point's disk."""
    disk = PointDisk(repository, name)
    return Reader(disk).read(0, disk.size)


def chunks_of(data, size):
    """The contents of the chunks of a disk, by their SHA-256: what a repository must hold of it, told independently."""
    pieces = (bytes(data[start : start + size]) for start in range(0, len(data), size))
    return {hashlib.sha256(piece).digest(): piece for piece in pieces}


def stored_chunks(repository):
    return {chunk_id for chunk_id, _ in repository.chunks().entries()}


def index_of(chunk_size, size, ids):
    """The index of a disk with these ids, a row of 32 bytes for each chunk."""
    index = blank_index(chunk_size, size)
    index.ids[:] = ids
    return index
