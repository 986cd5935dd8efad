"""The index of a restore point: the id of every chunk of the disk, in order; a casync blob index (.caibx)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.backup.errors import BadDocumentError
from analyzer.backup.repository.codec import ID_SIZE, LARGEST
from analyzer.backup.storage.storage import Stored
from analyzer.text import plural

# Of casync's format: bytes of a header, and what marks the index, its table and its end.
_HEADER, _INDEX, _TABLE, _TAIL = 48, 0x96824D9C7B129FF9, 0xE75B9E112F17417D, 0x4B4F050E5549ECD1
# Feature flags of an index whose ids are SHA-256.
_SHA256 = 0x9000000000000000
_STREAMED = 0xFFFFFFFFFFFFFFFF
_FRONT_SIZE, _TAIL_SIZE = 64, 40
_ITEM = np.dtype([("end", "<u8"), ("id", "u1", (ID_SIZE,))])
# An index of 64 TiB has millions of items; converted piece by piece it needs no second copy of itself.
_AT_ONCE = 1 << 16
Ids = npt.NDArray[np.uint8]
IdArray = npt.NDArray[np.bytes_]
"""Ids as text of 32 bytes: numpy sorts and finds those. All are equally long, so zeros at the end do no harm."""


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A disk of `size` bytes in chunks of `chunk_size`, the last one shorter; `ids` has a row of 32 bytes for each."""

    chunk_size: int
    size: int
    ids: Ids
    document: Stored
    """The .caibx that the ids are in."""

    def id_of(self, number: int) -> bytes:
        """The id of chunk `number`."""
        return bytes(self.ids[number])

    def length_of(self, number: int) -> int:
        """Bytes of chunk `number`."""
        return length_of(number, self.chunk_size, self.size)


def chunk_count(size: int, chunk_size: int) -> int:
    """How many chunks a disk has."""
    return -(-size // chunk_size)


def length_of(number: int, chunk_size: int, size: int) -> int:
    """Bytes of one chunk: the last one may be shorter, and there is none past it."""
    return max(0, min(chunk_size, size - number * chunk_size))


def blank_index(chunk: int, size: int) -> Index:
    """The index of a disk whose ids are all zeros, to be written to.

    That of 64 TiB takes 160 MiB: there is to be one of it.
    """
    count = chunk_count(size, chunk)
    whole = bytearray(_FRONT_SIZE + count * _ITEM.itemsize + _TAIL_SIZE)
    front = [_HEADER, _INDEX, _SHA256, chunk, chunk, chunk, _STREAMED, _TABLE]
    whole[:_FRONT_SIZE] = np.array(front, dtype="<u8").tobytes()
    items = np.frombuffer(whole, _ITEM, count, _FRONT_SIZE)
    for piece, ends in _ends(count, chunk, size):
        items["end"][piece] = ends
    table_size = 16 + count * _ITEM.itemsize + _TAIL_SIZE
    whole[-_TAIL_SIZE:] = np.array([0, 0, _HEADER, table_size, _TAIL], dtype="<u8").tobytes()
    return parse_index(whole)


def parse_index(stored: Stored) -> Index:
    """The index in a .caibx of uniform chunks; raises BadDocumentError for anything else."""
    if len(stored) < _FRONT_SIZE + _TAIL_SIZE or (len(stored) - _FRONT_SIZE - _TAIL_SIZE) % _ITEM.itemsize:
        raise BadDocumentError(f"no index is {plural(len(stored), 'byte')} long")
    front = np.frombuffer(stored, "<u8", _FRONT_SIZE // 8).tolist()
    count = (len(stored) - _FRONT_SIZE - _TAIL_SIZE) // _ITEM.itemsize
    tail = np.frombuffer(stored, "<u8", _TAIL_SIZE // 8, len(stored) - _TAIL_SIZE).tolist()
    chunk = front[4]
    if front != [_HEADER, _INDEX, _SHA256, chunk, chunk, chunk, _STREAMED, _TABLE] or not 0 < chunk <= LARGEST:
        raise BadDocumentError("its header is none of an index of uniform chunks with SHA-256")
    if tail != [0, 0, _HEADER, 16 + count * _ITEM.itemsize + _TAIL_SIZE, _TAIL]:
        raise BadDocumentError("its end is not where its length says")
    items = np.frombuffer(stored, _ITEM, count, _FRONT_SIZE)
    size = int(items["end"][-1]) if count else 0
    if chunk_count(size, chunk) != count:
        raise BadDocumentError("its last chunk does not end where the disk does")
    if not all(np.array_equal(items["end"][piece], ends) for piece, ends in _ends(count, chunk, size)):
        raise BadDocumentError("its chunks are not of one size")
    return Index(chunk, size, items["id"], stored)


def _ends(count: int, chunk: int, size: int) -> Iterator[tuple[slice, npt.NDArray[np.uint64]]]:
    """Where chunks end, so many at a time that they take no memory worth speaking of."""
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        ends = np.arange(first + 1, last + 1, dtype=np.uint64) * np.uint64(chunk)
        yield slice(first, last), np.minimum(ends, np.uint64(size))


def id_array(rows: Ids) -> IdArray:
    """The ids of an index, one for each row."""
    return np.ascontiguousarray(rows).view(f"S{ID_SIZE}").reshape(-1)


def ids_from(ids: Iterable[bytes]) -> IdArray:
    """The ids of any collection, in its order."""
    return np.frombuffer(b"".join(ids), dtype=f"S{ID_SIZE}")


def raw(chunk_id: bytes) -> bytes:
    """An id as it is, from an element of an array, which leaves zeros at the end out."""
    return bytes(chunk_id).ljust(ID_SIZE, b"\0")


def places_in(wanted: IdArray, known: IdArray) -> npt.NDArray[np.intp]:
    """The place of each wanted id in the sorted `known`; -1 for those that are not there."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.intp)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)
