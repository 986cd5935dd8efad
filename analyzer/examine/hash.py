"""The SHA-256 of a flat disk: every byte of it, zeros included, without reading those."""

import hashlib

from analyzer.convert.cells import CELL, InOrder, cells_with_data, read_cells, require_known
from analyzer.convert.disks import KeptRuns
from analyzer.progress import Progress, no_progress
from vhdx.disk import DiskSource


def sha256_of(disk: DiskSource, progress: Progress = no_progress) -> str:
    """The digest as hex; raises what reading raises, LostDataError for what cannot be known."""
    digest, disk = hashlib.sha256(), KeptRuns(disk)
    for _ in require_known(disk, disk.windows(0, disk.size)):
        pass  # all runs are made once, and what is lost is said before anything is read
    # What is known to be zeros is hashed from memory: most of a large disk is holes, which cost no read.
    flat = InOrder(digest.update, progress)
    for cell, data in read_cells(disk, cells_with_data(disk.windows(0, disk.size))):
        flat.put(cell * CELL, data.data)
        progress(len(data))
    flat.zeros_until(disk.size)
    # A source that was written to meanwhile gives the digest of a state that never was.
    disk.require_unchanged()
    return digest.hexdigest()
