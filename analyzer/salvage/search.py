"""The MiB boundaries of a file that can hold a structure: holes of a sparse file are not looked at."""

from collections.abc import Iterator

from vhdx.errors import VhdxError
from vhdx.source import ByteSource, FileSource
from vhdx.structures.constants import MIB

MOST_PLACES = 1 << 16
"""So many MiB that hold something are looked at, from the front: 64 GiB of them."""


def places_to_look(source: ByteSource, original: ByteSource) -> Iterator[int]:
    """Bytes of the file, multiples of 1 MiB from 1 MiB up, where data may stand; MOST_PLACES of them at most."""
    for number, mib in enumerate(_held(source, original)):
        if number == MOST_PLACES:
            return
        yield mib * MIB


def _held(source: ByteSource, original: ByteSource) -> Iterator[int]:
    last = 0
    for start, end in _extents(source, original):
        first = max(start // MIB, last + 1)
        last = max(last, -(-end // MIB) - 1)
        yield from range(first, last + 1)


def _extents(source: ByteSource, original: ByteSource) -> Iterator[tuple[int, int]]:
    if not isinstance(original, FileSource) or source.size != original.size:
        yield 0, source.size
        return
    try:
        yield from original.extents()
    except (VhdxError, OSError):
        yield 0, source.size
