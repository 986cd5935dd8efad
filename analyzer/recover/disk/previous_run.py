"""What an earlier run has of a disk, in its map and its image."""

from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer.recover.ranges import Ranges

Read = Callable[[int, memoryview], None]
"""Fills a buffer from byte `start` of the disk as an earlier run wrote it."""


def _nothing(start: int, buffer: memoryview) -> None:
    raise ValueError(f"no earlier run has {len(buffer)} bytes at {start}")


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """`known` ranges are taken from it; `stale` ones only where this run has nothing: it is never worse than before."""

    known: Ranges = field(default_factory=Ranges)
    stale: Ranges = field(default_factory=Ranges)
    read: Read = _nothing
