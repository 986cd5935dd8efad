"""Many ids at once: a million of them in an array, where a Python set would take some 100 MiB."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from analyzer.backup.repository.codec import ID_SIZE
from analyzer.backup.repository.index import Ids

IdArray = npt.NDArray[np.bytes_]
"""Ids as text of 32 bytes: numpy sorts and finds those. Equal length, so that zeros at the end tell no lie."""


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
