"""A file system that shares blocks, played where there is none."""

import errno
import os
from itertools import count

from vhdx.system import files

UNIT = 4096


def play_sharing(monkeypatch, *, fails_after=None, error=errno.EMLINK):
    """Let all files share blocks; after so many calls they cannot. Returns the (offset, length) pairs of each call."""
    shared, calls = [], count()

    def clone_range(descriptor, offset, source, source_offset, length):
        if any(value % UNIT for value in (offset, source_offset, length)):
            raise OSError(errno.EINVAL, "not whole blocks")
        if fails_after is not None and next(calls) >= fails_after:
            raise OSError(error, os.strerror(error))
        assert os.pwrite(descriptor, os.pread(source, length, source_offset), offset) == length
        shared.append((offset, length))

    monkeypatch.setattr(files, "clone_range", clone_range)
    monkeypatch.setattr(files, "may_share", lambda _: True)
    monkeypatch.setattr(files, "block_size", lambda _: UNIT)
    return shared
