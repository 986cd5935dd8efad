"""The SHA-256 of a flat disk: every byte of it, zeros included, without reading those."""

import hashlib
from collections.abc import Callable

from analyzer.convert.cells import CELL, cells_with_data, read_cells, require_known
from analyzer.convert.disks import DiskSource
from analyzer.progress import Progress, no_progress

# What is known to be zeros is hashed from memory: most of a large disk is holes, which cost no read.
_ZEROS = bytes(CELL)


def sha256_of(disk: DiskSource, progress: Progress = no_progress) -> str:
    """The digest as hex; raises what reading raises, LostDataError for what cannot be known."""
    digest, position = hashlib.sha256(), 0
    for cell, data in read_cells(disk, cells_with_data(require_known(disk, disk.windows(0, disk.size)))):
        _update_zeros(digest.update, cell * CELL - position, progress)
        digest.update(data.data)
        position = cell * CELL + len(data)
        progress(len(data))
    _update_zeros(digest.update, disk.size - position, progress)
    # A source that was written to meanwhile gives the digest of a state that never was.
    disk.require_unchanged()
    return digest.hexdigest()


def _update_zeros(update: Callable[[bytes], None], count: int, progress: Progress) -> None:
    while count > 0:
        step = min(CELL, count)
        update(_ZEROS[:step] if step < CELL else _ZEROS)
        progress(step)
        count -= step
