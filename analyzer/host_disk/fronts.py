"""Where files of VHDX begin on a disk: the eight bytes that each begins with, wherever a sector begins."""

from collections.abc import Iterator

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.progress import Progress
from vhdx.ranges import joined
from vhdx.structures.constants import MIB
from vhdx.structures.identifier import SIGNATURE

# Every file system gives files whole sectors; NTFS and ext give 4 KiB as a rule, but not always.
_GRID = 512
_PIECE = 4 * MIB
_WORD = np.dtype("<u8")
_MARK = int.from_bytes(SIGNATURE, "little")


def fronts_in(disk: ReadableDisk, tick: Progress) -> Iterator[int]:
    """The bytes of the disk at which a file may begin, in order; what a copy of a disk has as holes is not read."""
    for part in joined(disk.data()):
        for piece in part.pieces(_PIECE):
            data, _ = disk.read_best_effort(*piece)
            words = np.frombuffer(data, _WORD, len(data) // _WORD.itemsize)[:: _GRID // _WORD.itemsize]
            yield from (piece.start + np.flatnonzero(words == _MARK) * _GRID).tolist()
            tick(piece.length)
