"""A double of Windows for a machine that is none: files as kernel32 has them, over POSIX descriptors."""

import os
from pathlib import Path

from vhdx.system import windows

_TRUNCATE = os.ftruncate


class Kernel:
    """What stands for the calls of `vhdx.system.windows`; `calls` says what was asked."""

    HERE = True

    def __init__(self, *, sparse, in_use):
        self.calls, self._sparse, self._in_use = [], sparse, in_use

    def open_shared(self, path, flags, share):
        self.calls.append(("open", share))
        self.require_replaceable(path)
        return os.open(path, flags, 0o666)

    def require_replaceable(self, path):
        if Path(path).name in self._in_use:
            raise refusal(32, path)

    def make_sparse(self, _descriptor):
        self.calls.append("make_sparse")
        if not self._sparse:
            raise refusal(1)

    def set_size(self, descriptor, size):
        self.calls.append("set_size")
        _TRUNCATE(descriptor, size)

    def holds_sparse_files(self, _folder):
        return self._sparse

    def allocated_ranges(self, _descriptor, position, size):
        return iter([(position, size)])

    def is_console(self, descriptor):
        return os.isatty(descriptor)


def play_windows(monkeypatch, *, sparse=True, in_use=()):
    """Have the room `vhdx.system` take this for Windows; files of these names are open elsewhere. Gives the calls."""
    kernel = Kernel(sparse=sparse, in_use=in_use)
    for name in [name for name in dir(kernel) if not name.startswith("_") and hasattr(windows, name)]:
        monkeypatch.setattr(windows, name, getattr(kernel, name))
    monkeypatch.setattr(os, "ftruncate", _writes_zeros)
    return kernel.calls


def _writes_zeros(*_):
    raise AssertionError("os.ftruncate writes zeros on Windows, for hours")


def refusal(number, path=None):
    """What Windows raises by this number: 32 where another program has the file open, 5 where it is denied."""
    error = PermissionError(13, "Access denied", path)
    error.winerror = number
    return error
