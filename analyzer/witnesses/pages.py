"""What pages look like: zeros, noise, or anything else."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from analyzer.guest.filesystems.volume_reader import ReadableDisk

PAGE = 4096
# Bytes of noise, 4096 of 256 values, have a chi-square of 255 with a standard deviation of 22.6: 420 is seven of them
# above. Text has thousands, programs tens of thousands; what deflate packs is mostly below, and counts as noise.
_MOST_NOISE = 420
Bytes = npt.NDArray[np.uint8]


class Look(IntEnum):
    """What a page looks like."""

    ZEROS = 0
    NOISE = 1
    OTHER = 2
    UNKNOWN = 3
    """It could not be read."""


def looks_of(data: bytes) -> Bytes:
    """The looks of pages that follow one another; a part of one at the end counts as one."""
    pages = np.frombuffer(data.ljust(-(-len(data) // PAGE) * PAGE, b"\0"), dtype=np.uint8).reshape(-1, PAGE)
    looks = np.full(len(pages), Look.OTHER, dtype=np.uint8)
    looks[~pages.any(axis=1)] = Look.ZEROS
    # Few pages have bytes of all kinds in their first 256, as noise has: the others need not be counted.
    some = np.flatnonzero(looks)
    some = some[_chi_square(pages[some, :256]) <= 255 + 12 * 22.6] if len(some) else some
    looks[some[_chi_square(pages[some]) <= _MOST_NOISE]] = Look.NOISE
    return looks


def look_at(read: ReadableDisk, start: int) -> int:
    """The look of the page of a disk that begins at a place, or of what is left of it there."""
    data, missed = read.read_best_effort(start, max(0, min(PAGE, read.size - start)))
    return Look.UNKNOWN if missed or not data else int(looks_of(data)[0])


def _chi_square(rows: Bytes) -> npt.NDArray[np.float64]:
    """How far the bytes of each row are from being as frequent as one another: 255 in the mean for noise."""
    count, length = rows.shape
    keys = rows.astype(np.int64) + np.arange(count, dtype=np.int64)[:, None] * 256
    counts = np.bincount(keys.ravel(), minlength=256 * count).reshape(count, 256)
    found: npt.NDArray[np.float64] = (counts * counts).sum(axis=1) * (256 / max(1, length)) - length
    return found


def is_noise(data: bytes) -> bool:
    """Whether some bytes, fewer than a page, have no more order than noise has."""
    found = _chi_square(np.frombuffer(data, dtype=np.uint8)[None, :])
    return bool(found[0] <= 255 + 8 * 22.6)
