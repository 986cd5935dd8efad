"""When each chunk was last read and found good: what lets a share of a repository be verified at a time."""

import hashlib

import numpy as np
import numpy.typing as npt

from analyzer.backup.errors import MissingObjectError
from analyzer.backup.repository.codec import ID_SIZE
from analyzer.backup.repository.index import IdArray, ids_from, places_in
from analyzer.backup.storage.storage import Place

OBJECT = "state/verified"
_SIGNATURE = b"vhdxgood"
_SUM_SIZE = 32
Times = npt.NDArray[np.uint32]
"""Seconds since 1970; 0: never."""


class BadMemoryError(ValueError):
    """What is stored is not what was written."""


def build_memory(ids: IdArray, times: Times) -> bytes:
    """The object: a signature, the ids, their times (u32, little-endian), and the SHA-256 of all that."""
    body = _SIGNATURE + ids.tobytes() + times.astype("<u4").tobytes()
    return body + hashlib.sha256(body).digest()


def parse_memory(stored: bytes) -> tuple[IdArray, Times]:
    """Ids, sorted, and times; raises BadMemoryError."""
    body, told = stored[:-_SUM_SIZE], stored[-_SUM_SIZE:]
    count, rest = divmod(len(body) - len(_SIGNATURE), ID_SIZE + 4)
    if count < 0 or rest or not body.startswith(_SIGNATURE) or hashlib.sha256(body).digest() != told:
        raise BadMemoryError("its SHA-256 is not the one it was written with")
    ids = np.frombuffer(body, f"S{ID_SIZE}", count, len(_SIGNATURE))
    return ids, np.frombuffer(body, "<u4", count, len(_SIGNATURE) + count * ID_SIZE).astype(np.uint32)


def read_memory(place: Place) -> tuple[IdArray, Times]:
    """What is remembered: nothing where nothing was verified yet; raises BadMemoryError, PlaceError."""
    try:
        return parse_memory(place.read(OBJECT))
    except MissingObjectError:
        return ids_from(()), np.empty(0, np.uint32)


def times_of(ids: IdArray, memory: tuple[IdArray, Times]) -> Times:
    """When each of the ids was last good."""
    known, times = memory
    place = places_in(ids, known)
    if not len(known):
        return np.zeros(len(ids), np.uint32)
    return np.where(place >= 0, times[place], 0).astype(np.uint32)
