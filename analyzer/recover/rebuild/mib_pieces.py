"""A disk put together from pieces of 1 MiB: those that tell their place show in which blocks, or order, all stand."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.recover.rebuild.signatures import Sign, sign_fits
from analyzer.recover.rebuild.votes import Votes
from analyzer.recover.rebuild.workspace import (
    UNKNOWN,
    Certainty,
    RebuildWorkspace,
    entry_for,
    payload_entries,
    places_of,
    put_entries,
)
from analyzer.text import plural
from vhdx.image import Image
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import HEADER_AREA_SIZE, MIB

Pieces = npt.NDArray[np.int64]
# MiB of every block that there may be.
_ALL_BLOCKS = tuple(1 << power for power in range(9))
# Derivation: pieces of one stretch have the same shift between file and disk, so only different shifts are
# independent evidence. In blocks of B MiB all shifts are equal modulo B. If blocks are really smaller, by a factor of
# 2^b, a further shift agrees by chance in one case of 2^b: it gives b bits (2 from 2 to 8 MiB, 1 elsewhere). Blocks
# of 4, 128 and 256 MiB are made by nobody unasked; a disk in such blocks is put together in smaller ones, and less of
# it comes back.
# Blocks as programs make them when nobody asks for another size, the largest first: MiB, and the bits by which each
# piece that agrees with them speaks against the next smaller ones.
_USUAL_BLOCKS = ((64, 1), (32, 1), (16, 1), (8, 2), (2, 1))
# Held between 4 and 6 by test_blocks_are_not_taken_for_larger_ones_because_a_few_pieces_agree_by_chance: 3 takes
# stretches that agree by chance for blocks, 7 and more do not believe real ones.
# Bits that are believed: one case in 64 by chance.
_ENOUGH = 6


@dataclass(frozen=True, slots=True)
class Known:
    """Pieces that have a place: MiB of the disk, sorted, and the MiB of the file at which each stands."""

    disk: Pieces
    file: Pieces
    disk_end: int
    file_end: int
    """The MiB at which disk and file end."""

    @property
    def shifts(self) -> Pieces:
        """How much further into the file than into the disk each piece stands; each number once."""
        return np.unique(self.file - self.disk)


def spread(work: RebuildWorkspace, image: Image, floor: int, votes: Votes) -> frozenset[int]:
    """Place the pieces that stand in one block with a piece that has a place, or in one order with all that have.

    What stands in the file in front of byte `floor` was overwritten with the tables. The bytes of the file at which the
    pieces stand are returned.
    """
    known = _known(image, work.source.size)
    if not len(known.disk):
        return frozenset()
    if _is_in_order(known):
        disk = np.arange(known.disk_end, dtype=np.int64)
        file = disk + known.shifts[0]
    else:
        disk, file = _of_blocks(known, block_of(known))
    fresh = ~np.isin(disk, known.disk) & ~np.isin(file, known.file) & (disk < known.disk_end) & (file < known.file_end)
    fresh &= file >= floor // MIB
    disk, file = disk[fresh], file[fresh]
    if not len(disk) or not votes.agree(zip(disk.tolist(), (file * MIB).tolist(), strict=True)):
        return frozenset()
    places = (entry_for(BlockState.FULLY_PRESENT, place * MIB) for place in file.tolist())
    put_entries(work, image.table, dict(zip(image.geometry.payload_slot(disk).tolist(), places, strict=True)))
    apart = f"what is placed ({plural(len(known.disk), 'piece')} in {plural(len(known.shifts), 'stretch')})"
    why = f"{apart} agrees on blocks of {block_of(known)} MiB, of which these are the rest"
    if _is_in_order(known):
        why = f"{apart} stands in the order of the disk, and the file ends where it does"
    work.note("BAT", f"{len(disk)} MiB more of the disk got a place", Certainty.LIKELY, why)
    return frozenset((file * MIB).tolist())


def withdraw(work: RebuildWorkspace, image: Image, signs: Iterable[Sign]) -> None:
    """Make unknown what was placed in front of a sign that ought to stand there and does not: it is overwritten.

    That counts in front of the first piece that shows a sign; further on, what has no sign may be unused.
    """
    known = _known(image, work.source.size)
    places = dict(zip(known.disk.tolist(), (known.file * MIB).tolist(), strict=True))
    found: dict[bool, list[int]] = {True: [], False: []}
    for sign in signs:
        if place := places.get(sign.start // MIB):
            fits = sign_fits(work.view, place + sign.start % MIB, sign)
            found[fits] += [place] if fits or sign.is_expected else []
    # What overwrites a front does so from the front on without a gap. So a sign that is missing before the first one
    # that is there was overwritten, and everything before it with it. Behind that nothing follows from a missing
    # sign. Held by test_what_stands_in_front_of_the_first_piece_with_a_place_is_not_believed.
    first = min(found[True], default=0)
    wrong = max((place for place in found[False] if place < first), default=0)
    slots = image.geometry.payload_slot(known.disk[known.file * MIB <= wrong])
    put_entries(work, image.table, dict.fromkeys(slots.tolist(), UNKNOWN))


def _known(image: Image, file_size: int) -> Known:
    places = places_of(payload_entries(image.table)) // MIB
    blocks = np.flatnonzero(places)
    return Known(blocks, places[blocks], image.geometry.block_count, -(-file_size // MIB))


def _is_in_order(known: Known) -> bool:
    """Whether the file is the disk from some MiB on: all pieces say so, and the file ends where the last block must."""
    # Both conditions are needed. A dynamic disk that was filled from front to back has one shift, too, but it ends
    # where writing ended; only a fixed disk's file ends with the last block, whatever its size.
    first = int(known.shifts[0])
    ends = {first + -(-known.disk_end // block) * block for block in _ALL_BLOCKS}
    return len(known.shifts) == 1 and first >= HEADER_AREA_SIZE // MIB and known.file_end in ends


def block_of(known: Known) -> int:
    """MiB of the largest blocks that all pieces fit, and that pieces of smaller ones would hardly fit by chance."""
    shifts = known.shifts
    for block, bits in _USUAL_BLOCKS:
        within = int(shifts[0]) % block
        # The first shift is what the others are compared with, and no evidence by itself. The end of the file is,
        # where it is the end of a block, like one more shift.
        agree = len(shifts) - 1 + ((known.file_end - within) % block == 0)
        if agree * bits >= _ENOUGH and (shifts % block == within).all():
            disk, file = _of_blocks(known, block)
            # No piece of the disk has two places, and no place two pieces.
            if len(np.unique(disk)) == len(disk) and len(np.unique(file)) == len(file):
                return block
    return 1


def _of_blocks(known: Known, block: int) -> tuple[Pieces, Pieces]:
    """All pieces of the blocks that have one with a place."""
    steps = np.arange(block, dtype=np.int64)
    start = known.disk // block * block
    pairs = np.column_stack((start, known.file - (known.disk - start)))
    starts = np.unique(pairs, axis=0)
    return (starts[:, :1] + steps).ravel(), (starts[:, 1:] + steps).ravel()
