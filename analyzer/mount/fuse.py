"""A tree for FUSE, by mfusepy: paths to nodes, errors to numbers."""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import Any, Self, TypeVar

from analyzer.mount.tree import Attributes, File, Folder, Link, Node, Type, find
from vhdx.errors import OutputError, VhdxError

_MODES = {Type.FOLDER: stat.S_IFDIR | 0o555, Type.FILE: stat.S_IFREG | 0o444, Type.LINK: stat.S_IFLNK | 0o777}
_SECTOR = 512
# What the system asks for in one request, where it can: fewer of them cost less.
_MOST_READ = 1 << 20
NAME = "vhdx"
"""What the system calls what is mounted: `mount` shows it as fuse.vhdx."""
_ENDED_BY_SIGNAL = 8
# Errors that are said; of a medium that fails there may be a million.
_MOST_SAID = 1000
_WRITABLE = 0x200
"""Python's PyBUF_WRITE."""
_memory_at = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
"""A memoryview of memory that C has."""
Given = TypeVar("Given")


class NoFuseError(VhdxError):
    """Nothing here mounts: the package, or the library of the system, is not there."""

    exit_code = 6
    reason: str
    text = (
        "nothing can be mounted here ({reason}); install the extra `mount` (mfusepy) and the system's FUSE, or serve "
        "the disk with `vhdx serve DISK --socket S` and mount that with `nbdfuse FILE nbd+unix:///?socket=S`"
    )


class MountFailedError(OutputError):
    """FUSE does not mount at a folder."""


def _bindings() -> Any:  # noqa: ANN401 - it ships no types that hold for both versions of the library
    """mfusepy; raises NoFuseError. It looks for libfuse when it is imported, and takes version 2 first."""
    # Version 2 knows nothing of holes (SEEK_HOLE).
    if sys.platform == "linux":
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        import mfusepy
    except (ImportError, OSError, AttributeError) as error:
        raise NoFuseError(str(error)) from error
    return mfusepy


class Operations:
    """The calls of FUSE, as mfusepy makes them. `say` hears of what fails, once each."""

    use_ns = True

    def __init__(self, root: Folder, ready: Callable[[], None], say: Callable[[str], None]) -> None:
        """Show `root`; `ready` is called when it is mounted."""
        self._root, self._ready, self._say, self._said = root, ready, say, set[str]()
        self._here = Path.cwd()

    def init(self, _path: str) -> None:
        """The folder is mounted now."""
        os.chdir(self._here)  # libfuse goes to /, and repositories may be named from here
        self._ready()

    def getattr(self, path: str, _handle: object = None) -> dict[str, int]:
        """The status of a path."""
        return _status(self._told(self._node(path).attributes))

    def readdir(self, path: str, _handle: object) -> Iterable[tuple[str, dict[str, int], int]]:
        """The names in a folder."""
        node = self._node(path)
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        names = self._told(lambda: list(node.names()))
        return [(name, {}, 0) for name in (".", "..", *names)]

    def readlink(self, path: str) -> str:
        """Where a link leads to."""
        node = self._node(path)
        if not isinstance(node, Link):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return node.target

    def open(self, path: str, info: Any) -> int:  # noqa: ANN401 - a structure of the bindings
        """Open a file to be read: nothing of it ever changes, so the system may keep what it read."""
        file = self._file(path)
        exact = self._told(file.is_exact)
        info.direct_io, info.keep_cache = exact, not exact
        return 0

    def read(self, path: str, buffer: memoryview, offset: int) -> int:
        """Fill the buffer with bytes of a file, as far as it goes; returns how many."""
        file = self._file(path)
        return self._told(lambda: file.read_into(offset, buffer))

    def lseek(self, path: str, offset: int, whence: int) -> int:
        """Where the next data or the next hole is."""
        file = self._file(path)
        if offset >= file.attributes().size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        if whence == os.SEEK_HOLE:
            return self._told(lambda: file.next_hole(offset))
        found = self._told(lambda: file.next_data(offset))
        if found is None:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return found

    def statfs(self, _path: str) -> dict[str, int]:
        """The file system as a whole: read-only, full."""
        return {"f_bsize": _MOST_READ, "f_frsize": _SECTOR, "f_namemax": 255}

    def _node(self, path: str) -> Node:
        node = self._told(lambda: find(self._root, path))
        if node is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node

    def _file(self, path: str) -> File:
        node = self._node(path)
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return node

    def _told(self, call: Callable[[], Given]) -> Given:
        """What a call gives; where it fails an error of input, and the reason is said once."""
        try:
            return call()
        except VhdxError as error:
            text = str(error)
            if text not in self._said and len(self._said) < _MOST_SAID:
                self._said.add(text)
                self._say(text)
            raise OSError(errno.EIO, text) from error


def _status(node: Attributes) -> dict[str, int]:
    times = dict.fromkeys(("st_mtime", "st_atime", "st_ctime"), node.modified_ns)
    owner = {"st_uid": os.getuid(), "st_gid": os.getgid()} if hasattr(os, "getuid") else {}
    links = 2 if node.type is Type.FOLDER else 1
    blocks = -(-node.stored // _SECTOR)
    return {"st_mode": _MODES[node.type], "st_nlink": links, "st_size": node.size, "st_blocks": blocks} | times | owner


def run_mount(
    root: Folder, folder: Path, ready: Callable[[], None], say: Callable[[str], None], *, options: dict[str, Any]
) -> None:
    """Show a tree at a folder until somebody unmounts it, or a signal ends this process.

    Raises NoFuseError, MountFailedError.
    """
    bindings = _bindings()

    class Fuse(bindings.FUSE):  # type: ignore[name-defined,misc] # see `_bindings`
        """The binding with what it lacks: where holes are, and bytes put where libfuse wants them without a copy."""

        def read(self, path: bytes, buffer: object, size: int, offset: int, _info: object) -> int:
            room = _memory_at(buffer, size, _WRITABLE)
            return int(self.operations.read(path.decode(self.encoding, self.errors), room, offset))

        def lseek(self, path: bytes, offset: int, whence: int, _info: object) -> int:
            return int(self.operations.lseek(path.decode(self.encoding, self.errors), offset, whence))

    with _Quiet() as quiet:

        def begin() -> None:
            quiet.end()
            # Not here: whoever looks at the folder waits until this has returned.
            Thread(target=_read_far_ahead, args=(folder,), daemon=True).start()
            ready()

        shown = Operations(root, begin, say)
        try:
            Fuse(shown, str(folder), raw_fi=True, foreground=True, ro=True, fsname=NAME, subtype=NAME, **options)
        except RuntimeError as error:
            if error.args != (_ENDED_BY_SIGNAL,):
                reason = quiet.last_line() or f"FUSE ends with {error}"
                raise MountFailedError(
                    folder, reason, "see that /dev/fuse is there, and that you may use it"
                ) from error


def _read_far_ahead(folder: Path) -> None:
    """Have the system read a MiB ahead of who reads on, where this process may tell it so: else it is 128 KiB."""
    with suppress(OSError, AttributeError):  # neither Linux nor root
        device = folder.stat().st_dev
        ahead = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        ahead.write_text(str(_MOST_READ >> 10), encoding="ascii")


class _Quiet:
    """What libfuse writes to the terminal before it has mounted, kept for the sentence that says why it has not.

    Version 3.14 writes a line about a number of threads that nobody has set.
    """

    def __init__(self) -> None:
        self._kept, self._stderr = TemporaryFile(), -1  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> Self:
        self._stderr = os.dup(2)
        os.dup2(self._kept.fileno(), 2)
        return self

    def end(self) -> None:
        """Give the terminal back."""
        if self._stderr >= 0:
            os.dup2(self._stderr, 2)
            os.close(self._stderr)
            self._stderr = -1

    def last_line(self) -> str:
        """The last line that was kept."""
        self._kept.seek(0)
        lines = self._kept.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def __exit__(self, *_: object) -> None:
        self.end()
        self._kept.close()
