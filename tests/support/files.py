"""Files in tests: copies that stay sparse."""

import contextlib
import os
from pathlib import Path

import pytest

from vhdx.system import files

ROOT = Path(__file__).parents[2]
"""The folder of the project."""


def sparse_copy(source, target):
    """Copy a file and keep its holes."""
    size = source.stat().st_size
    with source.open("rb") as origin, target.open("wb") as copy:
        copy.truncate(size)
        for start, end in data_extents(origin.fileno(), size):
            origin.seek(start)
            copy.seek(start)
            copy.write(origin.read(end - start))
    return target


def data_extents(descriptor, size):
    """(start, end) of what a file holds, its holes left out."""
    if not hasattr(os, "SEEK_DATA"):  # Windows
        yield 0, size
        return
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position


def room_of(path):
    """Bytes that a file takes, its holes left out; 0 on Windows, which does not say."""
    return getattr(path.stat(), "st_blocks", 0) * 512


PIECE = 4 << 20


def pieces_of(size, *ranges):
    """(start, length) of the pieces of a disk that touch (start, end) ranges, sorted: what else there is, is zeros."""
    touched = {number for each in ranges for start, end in each for number in range(start // PIECE, -(-end // PIECE))}
    return [(number * PIECE, min(PIECE, size - number * PIECE)) for number in sorted(touched) if number * PIECE < size]


def patch(path, offset, data):
    """Write bytes over a place of a file."""
    with path.open("r+b") as handle:
        handle.seek(offset)
        handle.write(data)


def symbolic_link(path, target):
    """A symbolic link at `path`; skips the test where the system makes none."""
    try:
        path.symlink_to(target)
    except OSError:  # Windows asks for a right
        pytest.skip("this user may make no symbolic links")
    if not path.is_symlink():  # wine says yes, and makes none
        pytest.skip("this system makes no symbolic links")


@contextlib.contextmanager
def let_go(*sinks):
    """Unfinished outputs to which others may write meanwhile: while they are open, Windows lets nobody."""
    for sink in sinks:
        sink.close()
    yield
    for sink in sinks:
        sink._descriptor = files.open_file(sink.path, files.CHANGE | os.O_CREAT)


def open_files():
    """How many files this process has open; skips the test where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list open files")
    return len(list(folder.iterdir()))
