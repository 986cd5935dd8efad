"""Room in the file that nothing owns and that could be a block whose entry is lost."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vhdx.errors import VhdxError
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB
from vhdx.table import BlockTable

_MOST_READ = 1 << 16
"""MiB that are looked into to know whether they hold anything."""
_MOST_STARTS = 1 << 16
_PIECE = 1 << 16
_WINDOW = 1 << 20
_ZEROS = bytes(_PIECE)


def owners_of(table: BlockTable) -> npt.NDArray[np.uint8]:
    """One byte for each whole MiB of the file: not 0 where a structure, a block or a kept place stands."""
    owners, _ = table.claims.owners(table.all_places())
    owners = owners[: table.source.size // MIB]
    owners[: HEADER_AREA_SIZE // MIB] = 1
    for start, end, _ in table.structures:
        owners[start // MIB : -(-end // MIB)] = 1
    return owners


def free_runs(owners: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """(first, end) in MiB of the stretches that nobody owns, rising."""
    begun: int | None = None
    for at, is_free in _changes(owners):
        if begun is not None:
            yield begun, at
        begun = at if is_free else None
    if begun is not None:
        yield begun, len(owners)


def _changes(owners: npt.NDArray[np.uint8]) -> Iterator[tuple[int, bool]]:
    """Where a stretch begins and whether it is free; a window at a time, for a log may claim 128 TiB of file."""
    before = True
    for start in range(0, len(owners), _WINDOW):
        owned = owners[start : start + _WINDOW] != 0
        edges = np.flatnonzero(owned != np.concatenate(([before], owned[:-1])))
        yield from ((start + edge, not owned[edge]) for edge in edges.tolist())
        before = bool(owned[-1])


def _holds_something(source: ByteSource, at: int) -> bool:
    """Whether a MiB of the file is other than zeros; one that cannot be read may be."""
    try:
        return any(read_at(source, start, _PIECE) != _ZEROS for start in range(at, at + MIB, _PIECE))
    except VhdxError:
        return True


def possible_blocks(table: BlockTable) -> Iterator[int]:
    """Bytes of the file where a whole block could stand that no entry owns, and which hold something."""
    size, budget = table.geometry.block_size // MIB, _MOST_READ
    for first, end in free_runs(owners_of(table)):
        if end - first < size:
            continue
        looked = min(end - first, budget)
        budget -= looked
        held = [_holds_something(table.source, (first + mib) * MIB) for mib in range(looked)]
        for start in range(min(len(held) - size + 1, _MOST_STARTS)):
            if any(held[start : start + size]):
                yield (first + start) * MIB
