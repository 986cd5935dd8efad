"""Chunks that `prune` found unreferenced and will delete on a later pass; until then, nobody may rely on them.

A list is written once and never changed. That it exists since when is said by the place's own clock: the time of its
object. A chunk that was written after its list is no candidate any more: a `create` has brought it back.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from analyzer.backup.errors import DamagedObjectError, MissingObjectError
from analyzer.backup.repository.codec import ID_SIZE, Codec
from analyzer.backup.storage.storage import Place

FOLDER = "candidates"
_MAGIC = b"VHDXCAND"
_HASH_SIZE = 32


@dataclass(frozen=True, slots=True)
class CandidateList:
    """One list; `since` in seconds since 1970 by the place's clock, 0 where it does not tell.

    A damaged one has a `flaw` and no ids: `prune` removes it and begins anew, so nobody need beware of what it held.
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
    name = f"{FOLDER}/{secrets.token_hex(16)}.ids"
    place.write(name, codec.seal(name, _MAGIC + hashlib.sha256(body).digest() + body))


def read_candidates(place: Place, codec: Codec) -> Iterator[CandidateList]:
    """All lists."""
    for entry in place.list(FOLDER):
        ids, flaw = frozenset[bytes](), None
        try:
            ids = _parse(codec.open(entry.name, place.read(entry.name)))
        except MissingObjectError:  # a prune that has just ended
            continue
        except (DamagedObjectError, ValueError) as error:
            flaw = str(error)
        yield CandidateList(entry.name, entry.modified, ids, flaw)


def _parse(document: bytes) -> frozenset[bytes]:
    checksum, body = document[len(_MAGIC) :][:_HASH_SIZE], document[len(_MAGIC) + _HASH_SIZE :]
    if not document.startswith(_MAGIC) or len(body) % ID_SIZE or hashlib.sha256(body).digest() != checksum:
        raise ValueError("it is no list of chunks with its checksum")
    return frozenset(body[at : at + ID_SIZE] for at in range(0, len(body), ID_SIZE))
