"""The chunk store: content by id, each written once."""

import threading
from collections.abc import Iterable, Iterator, Set

from analyzer.backup.repository.batches import batch_for
from analyzer.backup.repository.codec import ID_SIZE, Codec
from analyzer.backup.storage.storage import Data, Entry, Place

FOLDER = "chunks.castr"
SUFFIX = ".cacnk"


def object_of(chunk_id: bytes) -> str:
    """The name of a chunk's object."""
    digits = chunk_id.hex()
    return f"{FOLDER}/{digits[:4]}/{digits}{SUFFIX}"


def id_of_object(name: str) -> bytes | None:
    """The id that an object's name stands for; None for a name that no chunk has."""
    digits = name.rpartition("/")[2].removesuffix(SUFFIX)
    try:
        chunk_id = bytes.fromhex(digits)
    except ValueError:
        return None
    return chunk_id if len(chunk_id) == ID_SIZE and object_of(chunk_id) == name else None


class ChunkStore:
    """The chunks of a repository, for one run. What is put is there after `flush`. All calls from any thread."""

    def __init__(self, place: Place, codec: Codec, beware: Set[bytes] = frozenset()) -> None:
        """A run over the chunks at `place`; those to beware of may be deleted soon, and count as absent."""
        self.place, self.codec = place, codec
        self._known: set[bytes] = set()
        self._beware = beware
        self._batch = batch_for(place)
        self._lock = threading.Lock()
        self.written, self.written_bytes = 0, 0

    def know(self, ids: Iterable[bytes]) -> None:
        """Take these chunks for stored, without asking."""
        self._known.update(ids)

    def has(self, chunk_id: bytes) -> bool:
        """Whether a chunk is stored, or waits to be."""
        if chunk_id in self._known:
            return True
        if chunk_id in self._beware:
            return False
        there = bool(self.place.size(object_of(chunk_id)))
        if there:
            self._known.add(chunk_id)
        return there

    def put(self, data: Data) -> bytes:
        """Store a chunk unless it is there; returns its id."""
        chunk_id = self.codec.id_of(data)
        if not self.has(chunk_id):
            self._add(chunk_id, self.codec.pack(data))
        return chunk_id

    def get(self, chunk_id: bytes) -> bytes:
        """The content of a chunk; raises MissingObjectError, BadChunkError."""
        return self.codec.unpack(self.place.read(object_of(chunk_id)), chunk_id)

    def flush(self) -> None:
        """Have everything there that was put."""
        self._batch.commit()

    def discard(self) -> None:
        """Leave behind nothing that is not there for sure yet; nothing happens after `flush`."""
        self._batch.discard()

    def entries(self) -> Iterator[tuple[bytes, Entry]]:
        """Every chunk that is stored, in no order, and its object."""
        for entry in self.place.list(FOLDER):
            chunk_id = id_of_object(entry.name)
            if chunk_id is not None:
                yield chunk_id, entry

    def _add(self, chunk_id: bytes, packed: bytes) -> None:
        with self._lock:
            if chunk_id in self._known:
                return  # another thread was quicker
            self._known.add(chunk_id)
            self.written, self.written_bytes = self.written + 1, self.written_bytes + len(packed)
        self._batch.add(object_of(chunk_id), packed)
