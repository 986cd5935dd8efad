"""Chunks read from a disk and stored, and the hashes of whole images made on the way."""

import hashlib
import threading
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from analyzer.backup.changed_chunks import ChangedChunk, Part
from analyzer.backup.plan import CreatePlan, Hashing, Lost
from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.index import Index, length_of
from analyzer.convert.cells import Bytes, InOrder
from analyzer.convert.threads import in_order
from vhdx.lost import RAISE, FillZeros
from vhdx.plans import GRANULE
from vhdx.reader import Reader

Digests = tuple[str | None, str | None]
"""SHA-256 and SHA-512/256 of a whole image, as hex; None for what was not made."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that was read: the id of each state that has it changed, and the content where images are hashed."""

    changed: ChangedChunk
    ids: tuple[bytes, ...]
    contents: tuple[Bytes, ...]
    read_bytes: int


class ChunkReader:
    """Reads chunks as the states of a run have them, and stores them."""

    def __init__(self, plan: CreatePlan, store: ChunkStore, reference: Index | None, hashes: "ImageHashes") -> None:
        """`reference` is the index of the point that the run builds upon."""
        self._plan, self._store, self._reference, self._hashes = plan, store, reference, hashes
        self._zero = store.codec.id_of(bytes(plan.chunk_size))
        self._own = threading.local()

    def read(self, changed: ChangedChunk) -> StoredChunk:
        """Read a chunk as each state has it, and store it. Called by threads."""
        buffer = self._begin(changed)
        ids, contents = [], []
        for part in changed.parts:
            content = self._overlay(part, changed.number, buffer)
            ids.append(self._store.put(content.data))
            if self._hashes.images:
                contents.append(content.copy())
        read_bytes = sum(one.length for part in changed.parts for one in part.read)
        return StoredChunk(changed, tuple(ids), tuple(contents), read_bytes)

    def _begin(self, changed: ChangedChunk) -> Bytes:
        """A buffer with what the chunk held in the reference, unless all of it is read."""
        plan, number, first = self._plan, changed.number, changed.parts[0]
        buffer = np.zeros(plan.chunk_size, np.uint8)
        length = length_of(number, plan.chunk_size, plan.points[first.state].state.size)
        covered = sum(one.length for one in first.read)
        if self._reference is not None and number < len(self._reference.ids) and 0 < covered < length:
            held = self._reference.id_of(number)
            if held != self._zero:
                content = self._store.get(held)
                buffer[: len(content)] = np.frombuffer(content, np.uint8)
        return buffer

    def _overlay(self, part: Part, number: int, buffer: Bytes) -> Bytes:
        """Lay over the buffer what a state has; returns what of it belongs to the disk."""
        origin = number * self._plan.chunk_size
        length = length_of(number, self._plan.chunk_size, self._plan.points[part.state].state.size)
        if not part.read:
            buffer[:] = 0
        elif not part.state and self._reference is None:
            self._reader(0, origin).read_into(origin, buffer[:length].data)  # zeros between its ranges cost nothing
        else:
            reader = self._reader(part.state, origin)
            for one in part.read:
                reader.read_into(one.start, buffer[one.start - origin : one.end - origin].data)
        buffer[length:] = 0
        return buffer[:length]

    def _reader(self, state: int, at: int) -> Reader:
        """This thread's reader of a state; made anew for each granule, so that no more than one is kept."""
        kept: dict[int, tuple[int, Reader]] = self._own.__dict__.setdefault("readers", {})
        granule, reader = kept.get(state, (-1, None))
        if reader is None or granule != at // GRANULE:
            lost = FillZeros() if self._plan.options.lost is Lost.ALLOW else RAISE
            reader = Reader(self._plan.points[state].state, lost)
            kept[state] = at // GRANULE, reader
        return reader


class ImageHash:
    """The hashes of a whole image, fed in the order of the disk; what is left out is zeros."""

    def __init__(self, size: int, hashing: Hashing) -> None:
        """SHA-256, and for ALWAYS SHA-512/256 too, which takes longer than all else that a backup does."""
        self._size, self._bytes = size, InOrder(self._take)
        self._sums = [hashlib.sha256()]
        if hashing is Hashing.ALWAYS and "sha512_256" in hashlib.algorithms_available:
            self._sums.append(hashlib.new("sha512_256"))

    def update(self, start: int, data: Bytes) -> None:
        """Take the bytes at `start`, as far as the image goes."""
        if start < self._size:
            self._bytes.put(start, data[: self._size - start].data)

    def digests(self) -> Digests:
        """SHA-256, and SHA-512/256 (as `casync digest` has it) where it was asked for and this Python knows it."""
        self._bytes.zeros_until(self._size)
        first, *others = (one.hexdigest() for one in self._sums)
        return first, others[0] if others else None

    def _take(self, data: bytes | memoryview) -> None:
        for one in self._sums:
            one.update(data)


class ImageHashes:
    """The hashes of the images of all points of a run, where all data is read anyway or that was asked for."""

    def __init__(self, plan: CreatePlan) -> None:
        """No images where hashing them would mean to read what did not change."""
        self._chunk_size, hashing = plan.chunk_size, plan.options.hashing
        total = sum(point.state.size for point in plan.points)
        # So many bytes are hashed without asking; twice what is read, where that is more.
        cheap = total <= max(16 << 30, 2 * plan.work)
        wanted = hashing is Hashing.ALWAYS or (hashing is Hashing.CHEAP and cheap)
        taken = plan.points if wanted and plan.reference is None else ()
        self.images = [ImageHash(point.state.size, hashing) for point in taken]

    def note(self, chunk: StoredChunk) -> None:
        """Take a chunk; they come in the order of the disk."""
        states = (part.state for part in chunk.changed.parts)
        shown, contents = None, dict(zip(states, chunk.contents, strict=False))
        for state, image in enumerate(self.images):
            # A state that does not change the chunk shows what the state below it has there.
            shown = contents.get(state, shown)
            if shown is not None:
                image.update(chunk.changed.number * self._chunk_size, shown)


def hashes_of(store: ChunkStore, index: Index) -> Digests:
    """The hashes of a disk whose chunks are stored: all are read back, but for zeros. Raises as `ChunkStore.get`."""
    zero = np.frombuffer(store.codec.id_of(bytes(index.chunk_size)), np.uint8)
    numbers: list[int] = np.flatnonzero((index.ids != zero).any(axis=1)).tolist()
    image = ImageHash(index.size, Hashing.ALWAYS)
    with closing(in_order(lambda number: (number, store.get(index.id_of(number))), numbers)) as contents:
        for number, content in contents:
            image.update(number * index.chunk_size, np.frombuffer(content, np.uint8))
    return image.digests()
