"""What a file becomes when it is made smaller."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from analyzer.compact.free import VolumeSpace
from vhdx.structures.constants import MIB


class Fate(Enum):
    """What becomes of a block that the file holds."""

    STAYS = "stays"
    GOES = "goes"
    """Without it the disk reads the same."""
    ZEROS = "zeros"
    """It hides what the parent has there, and reads as zeros: an entry says that without a block."""


class Move(NamedTuple):
    """`length` bytes of the file, and where they are to be."""

    owner: int | UUID
    """What leads there: the slot of a block or a sector bitmap in the block table, or the region that it is."""
    start: int
    target: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPlan:
    """What is going to be changed in one file; all sizes are bytes of the file. Nothing was touched to make it."""

    path: Path
    file_size: int
    size_after: int
    gone: tuple[int, ...]
    """Blocks of which nothing is kept."""
    zeros: tuple[int, ...]
    """Blocks whose entries will say that they are zeros."""
    bitmaps: tuple[int, ...]
    """Chunks whose sector bitmap no block needs any more."""
    moves: tuple[tuple[Move, ...], ...]
    """What moves down, step by step: each is durable before the next."""
    volumes: tuple[VolumeSpace, ...] = ()
    """What volumes call free, where that was asked for."""
    changes_content: bool = False
    """What the disk shows where volumes have nothing changes: so does its identity."""

    @property
    def saved(self) -> int:
        """By how much the file becomes smaller."""
        return max(0, self.file_size - self.size_after)

    @property
    def moved_bytes(self) -> int:
        """What is copied within the file."""
        return sum(move.length for step in self.moves for move in step)

    @property
    def needed_bytes(self) -> int:
        """Room that the host may have to find: what blocks move to may be holes, and so may the log."""
        return self.moved_bytes + MIB

    @property
    def work(self) -> int:
        """What progress counts to: bytes that are copied."""
        return self.moved_bytes
