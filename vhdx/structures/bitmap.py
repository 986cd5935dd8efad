"""Sector bitmap blocks ([MS-VHDX] 2.4): least significant bit first, 1 is this file's sector, 0 the parent's."""

import numpy as np
import numpy.typing as npt

_WORD_BITS = 64


def edges_of_bits(words: npt.NDArray[np.uint64], most: int) -> tuple[npt.NDArray[np.int64], int]:
    """The bits, sorted, that differ from the one before them (bit 0 from a clear one), and how far that was looked.

    `most` edges are enough; a word more is looked at, so that there is always an answer for some bits.
    """
    before = np.concatenate((np.zeros(1, dtype=np.uint64), words[:-1] >> np.uint64(_WORD_BITS - 1)))
    different = words ^ (words << np.uint64(1) | before)
    found = np.flatnonzero(different)
    enough = int(np.searchsorted(np.cumsum(np.bitwise_count(different[found]), dtype=np.int64), most)) + 1
    looked = (int(found[enough]) if enough < len(found) else len(words)) * _WORD_BITS
    bits = np.unpackbits(different[found[:enough]].view(np.uint8), bitorder="little")
    places = np.flatnonzero(bits.view(np.bool_))
    return found[places // _WORD_BITS] * _WORD_BITS + places % _WORD_BITS, looked
