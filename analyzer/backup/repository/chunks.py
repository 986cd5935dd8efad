"""The chunk store: content by id, each written once; chunks that are set aside; and candidates for deletion.

Candidates are chunks that `prune` found unreferenced and will delete on a later pass; until then, nobody may rely on
them. A list of them is written once and never changed. That it exists since when is said by the place's own clock: the
time of its object. A chunk that was written after its list is no candidate any more: a `create` has brought it back.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from analyzer.backup.errors import DamagedObjectError, MissingObjectError
from analyzer.backup.repository.codec import ID_SIZE, Codec
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.pace import Paced, unpaced
from analyzer.backup.storage.remote_folder import Place
from analyzer.backup.storage.storage import Data, Entry, Stored
from vhdx.system import files

FOLDER, QUARANTINE, CANDIDATES = "chunks.castr", "quarantine", "candidates"
_MAGIC = b"VHDXCAND"
SUFFIX = ".cacnk"
# Bytes and files of a local batch, which an interrupted run has to write anew.
_BATCHED, _MOST_BATCHED = 256 << 20, 1024


def object_of(chunk_id: bytes) -> str:
    """The name of a chunk's object."""
    digits = chunk_id.hex()
    return f"{FOLDER}/{digits[:4]}/{digits}{SUFFIX}"


def id_of_object(name: str) -> bytes | None:
    """The id in an object's name; None for a name that no chunk has."""
    chunk_id = _id_in(name)
    return chunk_id if chunk_id is not None and object_of(chunk_id) == name else None


def _id_in(name: str) -> bytes | None:
    try:
        chunk_id = bytes.fromhex(name.rpartition("/")[2].removesuffix(SUFFIX))
    except ValueError:
        return None
    return chunk_id if len(chunk_id) == ID_SIZE else None


class ChunkStore:
    """The chunks of a repository, for one run. What is put is there after `flush`. All calls from any thread.

    In a folder, files are written at once, and get their names when the file system was flushed. One flush for hundreds
    of files: a flush for each, and one for its folder, would take longer than all the rest.
    """

    def __init__(self, place: Place, codec: Codec, beware: Set[bytes] = frozenset(), paced: Paced = unpaced) -> None:
        """A run over the chunks at `place`; those to beware of may be deleted soon, and count as absent."""
        self.place, self.codec, self._beware, self._paced = place, codec, beware, paced
        self._known, self._lock = set[bytes](), threading.Lock()
        self._waiting, self._bytes = list[tuple[str, Path]](), 0
        self.written, self.written_bytes = 0, 0

    def put(self, data: Data) -> bytes:
        """Store a chunk unless it is there; returns its id."""
        chunk_id = self.codec.id_of(data)
        if chunk_id in self._known:
            return chunk_id
        packed = b"" if self.has(chunk_id) else self.codec.pack(data)
        with self._lock:
            is_first = chunk_id not in self._known  # else another thread was quicker
            self._known.add(chunk_id)
        if packed and is_first:
            self._add(object_of(chunk_id), packed)
        return chunk_id

    def has(self, chunk_id: bytes) -> bool:
        """Whether a chunk is there, to stay."""
        return chunk_id in self._known or bool(chunk_id not in self._beware and self.place.size(object_of(chunk_id)))

    def get(self, chunk_id: bytes) -> bytes:
        """The content of a chunk; raises MissingObjectError, BadChunkError."""
        packed = self.place.read(object_of(chunk_id))
        # Chunks alone are paced: a lock's sign of life must not wait behind them.
        self._paced(len(packed))
        return self.codec.unpack(packed, chunk_id)

    def flush(self) -> None:
        """Have everything there that was put, each whole, and durable."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        if waiting and isinstance(self.place, LocalPlace):
            self.place.name_all(waiting)

    def discard(self) -> None:
        """Leave behind nothing that is not there for sure yet; nothing happens after `flush`."""
        for _, part in self._waiting:
            files.remove(part)
        self._waiting = []

    def entries(self) -> Iterator[tuple[bytes, Entry]]:
        """Every chunk that is stored, in no order, and its object."""
        for entry in self.place.list(FOLDER):
            if (chunk_id := id_of_object(entry.name)) is not None:
                yield chunk_id, entry

    def _add(self, name: str, packed: bytes) -> None:
        if isinstance(self.place, LocalPlace):
            part = self.place.begin(name, packed)
        else:
            part = None
            self.place.write(name, packed)
        self._paced(len(packed))
        with self._lock:
            self.written, self.written_bytes = self.written + 1, self.written_bytes + len(packed)
            if part is not None:
                self._waiting.append((name, part))
                self._bytes += len(packed)
            full = self._bytes >= _BATCHED or len(self._waiting) >= _MOST_BATCHED
        if full:
            self.flush()


def set_aside(place: Place, chunk_id: bytes) -> None:
    """Move a chunk out of the store: nobody takes it for good any more. One that is gone leaves an empty object.

    What was set aside before is kept.
    """
    name = object_of(chunk_id)
    try:
        content = place.read(name)
    except MissingObjectError:
        content = b""
    place.create(object_aside(chunk_id), content)
    place.delete(name)


def set_aside_ids(place: Place) -> frozenset[bytes]:
    """The ids of all that were set aside."""
    return frozenset(filter(None, (_id_in(entry.name) for entry in place.list(QUARANTINE))))


def object_aside(chunk_id: bytes) -> str:
    """The name of a chunk that was set aside."""
    return f"{QUARANTINE}/{chunk_id.hex()}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class CandidateList:
    """One list; `since` in seconds since 1970 by the place's clock, 0 where it has none.

    A damaged one has a `flaw` and no ids: `prune` removes it and begins anew, so nobody need avoid what it held.
    """

    name: str
    since: float
    ids: frozenset[bytes]
    flaw: str | None = None


def candidate_ids(place: Place, codec: Codec) -> frozenset[bytes]:
    """The chunks that may be deleted soon: whoever wants to refer to one has to write it anew."""
    return frozenset[bytes]().union(*(found.ids for found in read_candidates(place, codec)))


def write_candidates(place: Place, codec: Codec, ids: Iterable[bytes]) -> None:
    """Add a list."""
    body = b"".join(sorted(ids))
    name = f"{CANDIDATES}/{secrets.token_hex(16)}.ids"
    place.write(name, codec.seal(name, _MAGIC + hashlib.sha256(body).digest() + body))


def read_candidates(place: Place, codec: Codec) -> Iterator[CandidateList]:
    """All lists."""
    for entry in place.list(CANDIDATES):
        ids, flaw = frozenset[bytes](), None
        try:
            ids = _parse(codec.open(entry.name, place.read(entry.name)))
        except MissingObjectError:  # a prune that has just ended
            continue
        except (DamagedObjectError, ValueError) as error:
            flaw = str(error)
        yield CandidateList(entry.name, entry.modified, ids, flaw)


def _parse(document: Stored) -> frozenset[bytes]:
    checksum, body = document[len(_MAGIC) :][:32], document[len(_MAGIC) + 32 :]
    if not document.startswith(_MAGIC) or len(body) % ID_SIZE or hashlib.sha256(body).digest() != checksum:
        raise ValueError("it is no list of chunks with its checksum")
    return frozenset(bytes(body[at : at + ID_SIZE]) for at in range(0, len(body), ID_SIZE))
