"""Making restore points: chunks are read, hashed, packed and stored, then come index and manifest."""

import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from analyzer.backup.changed_chunks import Part, Touched, parts_of, states_in_step
from analyzer.backup.image_hash import Bytes, ImageHash, Sums, hashes_of
from analyzer.backup.locks.locks import LockLostError
from analyzer.backup.plan import CreatePlan, Hashing, Lost
from analyzer.backup.repository.candidates import candidate_ids
from analyzer.backup.repository.chunks import release
from analyzer.backup.repository.index import Ids, Index, blank_index, length_of, parse_index
from analyzer.backup.repository.manifest import Effort, Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.convert.formats.pipeline import in_order
from analyzer.progress import Progress, no_progress
from vhdx.lost import RAISE, FillZeros
from vhdx.ranges import Range
from vhdx.reader import GRANULE, Reader

# Bytes of images that are hashed without asking; twice what is read, where that is more.
_ALWAYS_HASHED = 16 << 30

# Ids that are compared at once.
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Made:
    """What a worker made of one chunk: the id of each state that has it changed, and the content if it was asked."""

    touched: Touched
    ids: tuple[bytes, ...]
    contents: tuple[Bytes, ...]
    read: int


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
            ids[np.frombuffer(self.numbers, np.int64)] = np.frombuffer(self.ids, np.uint8).reshape(
                len(self.numbers), -1
            )


def run_create(
    plan: CreatePlan, progress: Progress = no_progress, confirm: Callable[[], None] = lambda: None
) -> tuple[Manifest, ...]:
    """Make the points, and return their manifests, lowest layer first.

    `confirm` is asked around the writing of a point whether the run's lock is still held: LockLostError if not. Raises
    what reading the disk raises, and PlaceError; then chunks may be there that belong to no point, and nothing else is.
    """
    run = _Run(plan)
    try:
        with closing(in_order(run.work, run.items())) as made:
            for one in made:
                run.note(one)
                progress(one.read)
        return run.finish(confirm)
    finally:
        run.discard()


class _Run:
    """A run of `create`."""

    def __init__(self, plan: CreatePlan) -> None:
        self._plan = plan
        self._store = plan.repository.chunks(candidate_ids(plan.repository.place, plan.repository.codec))
        # Of a huge disk there is room for one index: the reference's becomes, in its place, that of the first point.
        stored = plan.repository.index_document(plan.reference.manifest) if plan.reference else b""
        self._document = stored if isinstance(stored, bytearray) else bytearray(stored)
        self._before = parse_index(self._document) if stored else None
        self._zero = self._store.codec.id_of(bytes(plan.chunk_size))
        self._changes = [_Changes() for _ in plan.points]
        self._own, self._read = threading.local(), 0
        self._seen: set[bytes] = set()
        sums = Sums.BOTH if plan.wishes.hashing is Hashing.ALWAYS else Sums.SHA256
        self._hashes = [ImageHash(point.state.size, sums) for point in plan.points] if _hashes_image(plan) else []

    def items(self) -> Iterator[Touched]:
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

    def work(self, touched: Touched) -> Made:
        """Read a chunk as each state has it, and store it. Called by threads."""
        buffer = self._begin(touched)
        ids, contents, read = [], [], 0
        for part in touched.parts:
            content = self._lay(part, touched.number, buffer)
            read += sum(one.length for one in part.read)
            ids.append(self._store.put(content.data))
            if self._hashes:
                contents.append(content.copy())
        return Made(touched, tuple(ids), tuple(contents), read)

    def note(self, made: Made) -> None:
        """Take down what a worker made. Called in the order of the disk."""
        self._read += made.read
        for part, chunk_id in zip(made.touched.parts, made.ids, strict=True):
            self._changes[part.state].numbers.append(made.touched.number)
            self._changes[part.state].ids += chunk_id
            self._note_seen(chunk_id)
        shown, parts = None, dict(zip((part.state for part in made.touched.parts), made.contents, strict=False))
        for state, image in enumerate(self._hashes):
            # A state that does not change the chunk shows what the state below it has there.
            shown = parts.get(state, shown)
            if shown is not None:
                image.update(made.touched.number * self._plan.chunk_size, shown)

    def discard(self) -> None:
        """Leave nothing unfinished behind."""
        self._store.discard()

    def finish(self, confirm: Callable[[], None]) -> tuple[Manifest, ...]:
        """Make everything durable in the order that leaves no point without its chunks."""
        plan = self._plan
        self._store.flush()
        for point in plan.points:
            # After the last read and before the first name: a file that changed meanwhile gives a mixture that never
            # was a state.
            point.state.require_unchanged()
        ids = self._before.ids if self._before else np.empty((0, len(self._zero)), np.uint8)
        document, size = self._document, self._before.size if self._before else -1
        manifests, before = list[Manifest](), plan.reference.manifest if plan.reference else None
        for number, point in enumerate(plan.points):
            if size != point.state.size:
                document, size = self._begun(ids, point.state.size), point.state.size
            index = parse_index(document)
            ids = index.ids
            self._lay_ids(ids, number)
            self._put_zeros(ids, length_of(len(ids) - 1, plan.chunk_size, size))
            confirm()
            index_sha256 = plan.repository.write_index(point.name, document)
            same = before if before is not None and before.index_sha256 == index_sha256 else None
            sums = self._image_sums(number, index, same)
            before = self._manifest(number, index_sha256, sums, before.name if before else None)
            _publish(plan.repository, before, confirm)
            manifests.append(before)
        for chunk_id in plan.set_aside & self._seen:
            release(plan.repository.place, chunk_id)
        return tuple(manifests)

    def _begin(self, touched: Touched) -> Bytes:
        """A buffer with what the chunk held in the reference, unless all of it is read."""
        plan, number = self._plan, touched.number
        buffer = np.zeros(plan.chunk_size, np.uint8)
        first = touched.parts[0]
        length = length_of(number, plan.chunk_size, plan.points[first.state].state.size)
        covered = sum(one.length for one in first.read)
        if self._before is not None and number < len(self._before.ids) and not first.is_zeros and covered < length:
            held = self._before.id_of(number)
            if held != self._zero:
                content = self._store.get(held)
                buffer[: len(content)] = np.frombuffer(content, np.uint8)
        return buffer

    def _lay(self, part: Part, number: int, buffer: Bytes) -> Bytes:
        """Lay over the buffer what a state has; returns what of it belongs to the disk."""
        origin = number * self._plan.chunk_size
        length = length_of(number, self._plan.chunk_size, self._plan.points[part.state].state.size)
        if part.is_zeros:
            buffer[:] = 0
        elif not part.state and self._before is None:
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
            lost = FillZeros() if self._plan.wishes.lost is Lost.ALLOW else RAISE
            reader = Reader(self._plan.points[state].state, lost)
            kept[state] = at // GRANULE, reader
        return reader

    def _begun(self, before: Ids, size: int) -> bytearray:
        """The index of a disk of some size with the ids of the point before it, and zeros where that has none."""
        document = blank_index(self._plan.chunk_size, size)
        ids = parse_index(document).ids
        kept = min(len(ids), len(before))
        ids[:kept], ids[kept:] = before[:kept], np.frombuffer(self._zero, np.uint8)
        return document

    def _lay_ids(self, ids: Ids, number: int) -> None:
        """Make the ids of a point of those of the point before it."""
        self._changes[number].apply(ids, self._zero)
        length = length_of(len(ids) - 1, self._plan.chunk_size, self._plan.points[number].state.size)
        if length != self._plan.chunk_size and ids[-1].tobytes() == self._zero:
            ids[-1] = np.frombuffer(self._store.codec.id_of(bytes(length)), np.uint8)

    def _put_zeros(self, ids: Ids, last: int) -> None:
        """Store the chunks of zeros that an index refers to: they are never read. `last` is the last chunk's length."""
        ends_in = bytes(last)
        zeros = [bytes(self._plan.chunk_size)] if _has(ids, self._zero) else []
        zeros += [ends_in] if ids[-1].tobytes() == self._store.codec.id_of(ends_in) else []
        for content in zeros:
            self._note_seen(self._store.put(content))
        self._store.flush()

    def _note_seen(self, chunk_id: bytes) -> None:
        if chunk_id in self._plan.set_aside:
            self._seen.add(chunk_id)

    def _image_sums(self, number: int, index: Index, same: Manifest | None) -> tuple[str | None, str | None]:
        """SHA-256 and SHA-512/256 of a point's image; `same` is a point with the same index."""
        wants_both = self._plan.wishes.hashing is Hashing.ALWAYS
        if self._hashes:
            return self._hashes[number].digests()
        if same is not None and same.image_sha256 and (same.image_sha512_256 or not wants_both):
            return same.image_sha256, same.image_sha512_256
        if wants_both:
            return hashes_of(self._store, index)
        return None, None

    def _effort(self) -> Effort:
        return Effort(
            read_in_full=self._plan.read_in_full,
            read_bytes=self._read,
            chunks_written=self._store.written,
            bytes_written=self._store.written_bytes,
        )

    def _manifest(
        self,
        number: int,
        index_sha256: str,
        sums: tuple[str | None, str | None],
        parent: str | None,
    ) -> Manifest:
        plan, point = self._plan, self._plan.points[number]
        parameters = point.state.leaf.parameters
        return Manifest(
            name=point.name,
            created=plan.created,
            tool=plan.wishes.tool,
            size=point.state.size,
            chunk_size=plan.chunk_size,
            logical_sector_size=point.state.sector_size,
            physical_sector_size=parameters.physical_sector_size,
            block_size=point.state.base.parameters.block_size,
            disk_id=str(parameters.disk_id),
            index_sha256=index_sha256,
            image_sha256=sums[0],
            image_sha512_256=sums[1],
            layer=point.layer,
            chain=plan.records[: point.layer + 1],
            lost=point.lost,
            warnings=(
                *(str(finding) for finding in point.state.findings),
                *(plan.wishes.notes if point is plan.points[-1] else ()),
            ),
            parent=parent,
            checkpoints=plan.checkpoints_below(number),
            host=plan.wishes.host,
            effort=self._effort(),
        )


def _has(ids: Ids, chunk_id: bytes) -> bool:
    """Whether a chunk is among them; a huge index is looked at in pieces."""
    wanted = np.frombuffer(chunk_id, np.uint8)
    pieces = (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))
    return any(bool((piece == wanted).all(axis=1).any()) for piece in pieces)


def _publish(repository: Repository, manifest: Manifest, confirm: Callable[[], None]) -> None:
    """Write a manifest, and take it back when the lock was lost meanwhile: its chunks may be gone."""
    repository.write_manifest(manifest)
    try:
        confirm()
    except LockLostError:
        repository.remove(manifest.name)
        raise


def _hashes_image(plan: CreatePlan) -> bool:
    if plan.reference or plan.wishes.hashing is Hashing.NEVER:
        return False
    total = sum(point.state.size for point in plan.points)
    return plan.wishes.hashing is Hashing.ALWAYS or total <= max(_ALWAYS_HASHED, 2 * plan.work)
