"""The indexes of a run's restore points, each made of the one before it."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analyzer.backup.changed_chunks import ChangedChunk, Part, parts_of, states_in_step
from analyzer.backup.chunk_reader import StoredChunk
from analyzer.backup.plan import CreatePlan
from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.index import Ids, Index, blank_index, parse_index
from vhdx.ranges import Range

# Ids that are compared at once.
_AT_ONCE = 1 << 16


@dataclass
class _Changes:
    """The chunks of one point that are not those of the point before it, in the order in which they became known."""

    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    ids: bytearray = field(default_factory=bytearray)
    zeros: list[Range] = field(default_factory=list)

    def apply(self, ids: Ids, zero: bytes) -> None:
        """Put them into the ids of the point before it."""
        # Zeros first: a chunk that is partly zeros and partly data was noted by both, and its id is the one that was
        # read.
        for first, count in self.zeros:
            ids[first : first + count] = np.frombuffer(zero, np.uint8)
        if self.numbers:
            changed = np.frombuffer(self.ids, np.uint8).reshape(len(self.numbers), -1)
            ids[np.frombuffer(self.numbers, np.int64)] = changed


class IndexBuilder:
    """Notes which chunks of which point changed, and makes the indexes of it."""

    def __init__(self, plan: CreatePlan, store: ChunkStore) -> None:
        self._plan, self._store = plan, store
        self._zero = store.codec.id_of(bytes(plan.chunk_size))
        self._changes = [_Changes() for _ in plan.points]
        # Of a huge disk there is room for one index: the reference's becomes, in its place, that of the first point.
        known = plan.reference.manifest if plan.reference else None
        stored = plan.repository.index_document(known.name, known.index_sha256) if known else b""
        self.document = stored if isinstance(stored, bytearray) else bytearray(stored)
        self.index: Index | None = parse_index(self.document) if stored else None
        """The reference's, and then that of the point that was built last."""
        self.brought_back: set[bytes] = set()
        """The ids of chunks that were set aside, and are stored again."""

    def chunks_to_read(self) -> Iterator[ChangedChunk]:
        """The chunks that must be read; what turns out to be zeros is noted while they pass by."""
        plan = self._plan
        streams = [
            parts_of(number, plan.tables(number), plan.chunk_size, point.state.size)
            for number, point in enumerate(plan.points)
        ]
        for item in states_in_step(streams):
            if isinstance(item, Part):
                self._changes[item.state].zeros.append(Range(item.number, item.count))
            else:
                yield item

    def note(self, chunk: StoredChunk) -> None:
        """Take down the ids of a chunk."""
        for part, chunk_id in zip(chunk.changed.parts, chunk.ids, strict=True):
            self._changes[part.state].numbers.append(chunk.changed.number)
            self._changes[part.state].ids += chunk_id
            self._note_stored(chunk_id)

    def build(self, number: int) -> Index:
        """The index of a point, `document` its .caibx; all points in turn. Its chunks of zeros are stored."""
        size = self._plan.points[number].state.size
        index = self.index if self.index is not None and self.index.size == size else self._resized(size)
        self._changes[number].apply(index.ids, self._zero)
        last = index.length_of(len(index.ids) - 1)
        if last != index.chunk_size and index.ids[-1].tobytes() == self._zero:
            index.ids[-1] = np.frombuffer(self._store.codec.id_of(bytes(last)), np.uint8)
        self._store_zeros(index.ids, last)
        self.index = index
        return index

    def _resized(self, size: int) -> Index:
        """The index of a disk of some size with the ids of the point before it, and zeros where that has none."""
        before = self.index.ids if self.index is not None else np.empty((0, len(self._zero)), np.uint8)
        self.document = blank_index(self._plan.chunk_size, size)
        index = parse_index(self.document)
        kept = min(len(index.ids), len(before))
        index.ids[:kept], index.ids[kept:] = before[:kept], np.frombuffer(self._zero, np.uint8)
        return index

    def _store_zeros(self, ids: Ids, last: int) -> None:
        """Store the chunks of zeros that an index refers to: they are never read. `last` is the last chunk's length."""
        ends_in = bytes(last)
        zeros = [bytes(self._plan.chunk_size)] if _has(ids, self._zero) else []
        zeros += [ends_in] if ids[-1].tobytes() == self._store.codec.id_of(ends_in) else []
        for content in zeros:
            self._note_stored(self._store.put(content))
        self._store.flush()

    def _note_stored(self, chunk_id: bytes) -> None:
        if chunk_id in self._plan.set_aside:
            self.brought_back.add(chunk_id)


def _has(ids: Ids, chunk_id: bytes) -> bool:
    """Whether a chunk is among them; a huge index is looked at in pieces."""
    wanted = np.frombuffer(chunk_id, np.uint8)
    pieces = (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))
    return any(bool((piece == wanted).all(axis=1).any()) for piece in pieces)
