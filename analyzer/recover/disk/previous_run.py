"""What an earlier run has of a disk, in its map and its image."""

from collections.abc import Callable
from dataclasses import dataclass

from vhdx.ranges import NO_RANGES, Ranges

Read = Callable[[int, memoryview], None]
"""Fills a buffer from byte `start` of the disk as an earlier run wrote it."""


def _nothing(start: int, buffer: memoryview) -> None:
    raise ValueError(f"no earlier run has {len(buffer)} bytes at {start}")


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """`known` ranges are taken from it; `stale` ones only where this run has nothing: it is never worse than before."""

    known: Ranges = NO_RANGES
    stale: Ranges = NO_RANGES
    read: Read = _nothing
