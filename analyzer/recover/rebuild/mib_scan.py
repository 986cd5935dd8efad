"""The MiB boundaries of a file that can hold a structure: holes of a sparse file are not looked at."""

from collections.abc import Iterator

from vhdx.source import ByteSource, extents_of
from vhdx.structures.constants import MIB

# Structures are in the first MiB of genuine files. The bound keeps the search within minutes for files of terabytes,
# in which a guest may have stored anything. test_holes_of_a_sparse_file_are_passed_over holds that holes cost
# nothing.
MOST_PLACES = 1 << 16
"""So many MiB that hold something are looked at, from the front: 64 GiB of them."""


def places_to_look(source: ByteSource) -> Iterator[int]:
    """Bytes of the file, multiples of 1 MiB from 1 MiB up, where data may stand; MOST_PLACES of them at most."""
    for number, mib in enumerate(_held(source)):
        if number == MOST_PLACES:
            return
        yield mib * MIB


def _held(source: ByteSource) -> Iterator[int]:
    last = 0
    for part in extents_of(source):
        first = max(part.start // MIB, last + 1)
        last = max(last, -(-part.end // MIB) - 1)
        yield from range(first, last + 1)
