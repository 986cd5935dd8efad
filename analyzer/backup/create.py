"""Making restore points: chunks are read, hashed, packed and stored, then come index and manifest."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from analyzer.backup.changed_chunks import ChangedChunk, Part, parts_of, states_in_step
from analyzer.backup.chunk_reader import ChunkReader, Digests, ImageHashes, StoredChunk, hashes_of
from analyzer.backup.locks import LockLostError
from analyzer.backup.plan import CreatePlan, Hashing
from analyzer.backup.repository.chunks import ChunkStore, candidate_ids, object_aside
from analyzer.backup.repository.index import Ids, Index, blank_index, parse_index
from analyzer.backup.repository.manifest import Effort, Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.backup.sources import traits_of
from analyzer.convert.threads import in_order
from analyzer.progress import Progress, no_progress
from vhdx.ranges import Range


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
        known = plan.reference.manifest if plan.reference else None
        self.index = plan.repository.stored_index(known.name, known.index_sha256) if known else None
        """The reference's, and then that of the point that was built last."""
        # Of a huge disk there is room for one index: the reference's becomes, in its place, that of the first point.
        if self.index is not None and isinstance(self.index.document, bytes):
            self.index = parse_index(bytearray(self.index.document))
        self.brought_back: set[bytes] = set()
        """The ids of chunks that were set aside, and are stored again."""

    def chunks_to_read(self) -> Iterator[ChangedChunk]:
        """The chunks that must be read; what turns out to be zeros is noted while they pass by."""
        plan = self._plan
        sizes = (point.state.size for point in plan.points)
        streams = [parts_of(n, plan.tables(n), plan.chunk_size, size) for n, size in enumerate(sizes)]
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
            self.brought_back |= {chunk_id} & self._plan.set_aside

    def build(self, number: int) -> Index:
        """The index of a point; all points in turn. Its chunks of zeros, which are never read, are stored."""
        size = self._plan.points[number].state.size
        index = self.index if self.index is not None and self.index.size == size else self._resized(size)
        self._changes[number].apply(index.ids, self._zero)
        last = bytes(index.length_of(len(index.ids) - 1))
        last_id = self._store.codec.id_of(last)
        if index.ids[-1].tobytes() == self._zero:
            index.ids[-1] = np.frombuffer(last_id, np.uint8)
        # A huge index is looked at in pieces.
        pieces = (index.ids[first : first + (1 << 16)] for first in range(0, len(index.ids), 1 << 16))
        has_zeros = any((piece == np.frombuffer(self._zero, np.uint8)).all(axis=1).any() for piece in pieces)
        zeros = [bytes(index.chunk_size)] if has_zeros else []
        for content in (*zeros, *([last] if index.ids[-1].tobytes() == last_id else ())):
            self.brought_back |= {self._store.put(content)} & self._plan.set_aside
        self._store.flush()
        self.index = index
        return index

    def _resized(self, size: int) -> Index:
        """The index of a disk of some size with the ids of the point before it, and zeros where that has none."""
        before = self.index.ids if self.index is not None else np.empty((0, len(self._zero)), np.uint8)
        index = blank_index(self._plan.chunk_size, size)
        kept = min(len(index.ids), len(before))
        index.ids[:kept], index.ids[kept:] = before[:kept], np.frombuffer(self._zero, np.uint8)
        return index


Confirm = Callable[[], None]
"""Raises LockLostError when the run's lock is not held any more."""


def run_create(
    plan: CreatePlan, progress: Progress = no_progress, confirm: Confirm = lambda: None
) -> tuple[Manifest, ...]:
    """Make the points, and return their manifests, lowest layer first.

    `confirm` is called around the writing of a point. Raises what reading the disk raises, LockLostError and
    PlaceError; then chunks may be there that belong to no point, and nothing else is.
    """
    place = plan.repository.place
    store = plan.repository.chunks(candidate_ids(place, plan.repository.codec))
    builder, hashes, read_bytes = IndexBuilder(plan, store), ImageHashes(plan), 0
    reader = ChunkReader(plan, store, builder.index, hashes)
    try:
        with closing(in_order(reader.read, builder.chunks_to_read())) as chunks:
            for chunk in chunks:
                builder.note(chunk)
                hashes.note(chunk)
                read_bytes += chunk.read_bytes
                progress(chunk.read_bytes)
        # From here on all is made durable in the order that leaves no point without its chunks.
        store.flush()
        for point in plan.points:
            # After the last read and before the first name: a file that changed meanwhile gives a mixture that never
            # was a state.
            point.state.require_unchanged()
        manifests = tuple(_published(plan, store, builder, hashes, read_bytes, confirm))
        for chunk_id in builder.brought_back:
            place.delete(object_aside(chunk_id))
        return manifests
    finally:
        store.discard()


def _published(
    plan: CreatePlan, store: ChunkStore, builder: IndexBuilder, hashes: ImageHashes, read_bytes: int, confirm: Confirm
) -> Iterator[Manifest]:
    """Write index and manifest of each point."""
    before = plan.reference.manifest if plan.reference else None
    for number, point in enumerate(plan.points):
        index = builder.build(number)
        confirm()
        index_sha256 = plan.repository.write_index(point.name, index.document)
        sums: Digests = None, None
        if hashes.images:
            sums = hashes.images[number].digests()
        elif before is not None and before.index_sha256 == index_sha256 and before.image_sha256:
            sums = before.image_sha256, before.image_sha512_256  # the index identifies the content
        if plan.options.hashing is Hashing.ALWAYS and not (hashes.images or all(sums)):
            sums = hashes_of(store, index)
        effort = Effort(
            read_in_full=plan.read_in_full,
            read_bytes=read_bytes,
            chunks_written=store.written,
            bytes_written=store.written_bytes,
        )
        before = _manifest(plan, number, index_sha256, sums, before.name if before else None, effort)
        publish(plan.repository, before, confirm)
        yield before


def publish(repository: Repository, manifest: Manifest, confirm: Confirm) -> None:
    """Write a manifest, of a point all else of which is there; it is taken back when the lock was lost meanwhile."""
    repository.write_manifest(manifest)
    try:
        confirm()
    except LockLostError:  # its chunks may be gone
        repository.remove(manifest.name)
        raise


def _manifest(
    plan: CreatePlan, number: int, index_sha256: str, sums: Digests, parent: str | None, effort: Effort
) -> Manifest:
    point = plan.points[number]
    traits = traits_of(point.state)
    notes = plan.options.notes if point is plan.points[-1] else ()
    points = sorted([*((one.layer, one.name) for one in plan.points[:number]), *plan.skipped])
    return Manifest(
        name=point.name,
        created=plan.created,
        tool=plan.options.tool,
        size=point.state.size,
        chunk_size=plan.chunk_size,
        logical_sector_size=point.state.sector_size,
        physical_sector_size=traits.physical_sector_size,
        block_size=traits.block_size,
        disk_id=str(traits.disk_id),
        index_sha256=index_sha256,
        image_sha256=sums[0],
        image_sha512_256=sums[1],
        layer=point.layer,
        chain=plan.records[: point.layer + 1],
        lost=point.lost,
        warnings=(*(str(finding) for finding in point.state.findings), *notes),
        parent=parent,
        checkpoints=tuple(name for layer, name in points if layer < point.layer),
        host=plan.options.host,
        tags=plan.options.tags,
        effort=effort,
    )
