"""What Windows alone has, asked of its kernel32. Importable on every system, so that a double can stand for it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

try:
    import msvcrt
except ImportError:
    msvcrt = None  # type: ignore[assignment]

HERE = os.name == "nt"
"""Whether this is Windows; nothing but the room `vhdx.system` asks."""

READ, WRITE, DELETE = 1, 2, 4
"""What others may do meanwhile with a file that is open (FILE_SHARE_...)."""
IN_USE = frozenset({32, 33})
"""ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION: another program has the file open."""

NAME_SURROGATE = 0x20000000
"""The bit of a reparse point's tag that says that it stands for another place."""

_GENERIC_READ, _GENERIC_WRITE, _MAY_DELETE = 0x80000000, 0x40000000, 0x10000
_CREATE_NEW, _OPEN_EXISTING, _OPEN_ALWAYS = 1, 3, 4
_SET_SPARSE, _QUERY_ALLOCATED_RANGES, _SET_ZERO_DATA = 0x900C4, 0x940CF, 0x980C8  # FSCTL_...
_GET_DRIVE_GEOMETRY_EX = 0x700A0  # IOCTL_DISK_...
_DRIVE = re.compile(r"(\\\\[.?]\\PhysicalDrive\d+)\\?", re.IGNORECASE)
_SUPPORTS_SPARSE = 0x40  # FILE_SUPPORTS_SPARSE_FILES
_END_OF_FILE = 6  # FileEndOfFileInfo
_MORE_DATA = 234
_RANGES_AT_ONCE = 512
# A folder of 248 characters has no room for a name of 8.3 below it; files may have 259.
_LONGEST = 247


@cache
def kernel32() -> Any:  # noqa: ANN401 - the calls of a library, each of its own type
    """Windows' own calls."""
    import ctypes

    library = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    library.CreateFileW.restype = ctypes.c_void_p
    return library


def failure(path: str = "") -> OSError:
    """What the last call came to grief with."""
    import ctypes

    error: OSError = ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined]
    error.filename = path or None
    return error


def open_shared(path: str, flags: int, share: int) -> int:
    """A descriptor of a file with which others may do meanwhile what `share` says; raises OSError.

    `os.open` lets others write, and lets nobody rename or remove the file.
    """
    drive = _DRIVE.fullmatch(path)
    path = drive[1] if drive else path  # a Path of Python before 3.12 ends with a backslash, and no drive is called so
    access = _GENERIC_READ | (_GENERIC_WRITE if flags & os.O_RDWR else 0)
    how = _OPEN_EXISTING
    if flags & os.O_CREAT:
        how = _CREATE_NEW if flags & os.O_EXCL else _OPEN_ALWAYS
    handle = _opened(path, access, share, how)
    try:
        kept = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
        return int(msvcrt.open_osfhandle(handle, flags & kept))  # type: ignore[attr-defined]
    except OSError:
        kernel32().CloseHandle(_pointer(handle))
        raise


def require_replaceable(path: str) -> None:
    """Raise OSError where a file cannot be given up now: it is read-only, or somebody who has it open forbids that."""
    handle = _opened(path, _MAY_DELETE | _GENERIC_WRITE, READ | WRITE | DELETE, _OPEN_EXISTING)
    kernel32().CloseHandle(_pointer(handle))


def _opened(path: str, access: int, share: int, how: int) -> int:
    import ctypes

    handle = kernel32().CreateFileW(extended(path), access, share, None, how, 0x80, None)
    if handle in {None, ctypes.c_void_p(-1).value}:
        raise failure(path)
    return int(handle)


def _pointer(value: int) -> Any:  # noqa: ANN401 - a handle has the width of a pointer
    import ctypes

    return ctypes.c_void_p(value)


def _handle(descriptor: int) -> Any:  # noqa: ANN401 - see above
    return _pointer(msvcrt.get_osfhandle(descriptor))  # type: ignore[attr-defined]


def extended(path: str) -> str:
    r"""A path as it may be long: with `\\?\` in front where the system would refuse it otherwise."""
    whole = os.path.abspath(path)  # noqa: PTH100 - a path with `\\?\` is not resolved by the system
    if len(whole) <= _LONGEST or whole.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    return f"\\\\?\\UNC\\{whole[2:]}" if whole.startswith("\\\\") else f"\\\\?\\{whole}"


def control(descriptor: int, code: int, given: bytes, room: int) -> tuple[bytes, bool]:
    """What a request to the file system answers, and whether there is more; raises OSError."""
    import ctypes

    answer, got = ctypes.create_string_buffer(max(1, room)), ctypes.c_ulong()
    kept = given or None
    done = kernel32().DeviceIoControl(
        _handle(descriptor), code, kept, len(given), answer, room, ctypes.byref(got), None
    )
    is_more = not done and ctypes.get_last_error() == _MORE_DATA  # type: ignore[attr-defined]
    if not done and not is_more:
        raise failure()
    return answer.raw[: got.value], is_more


def make_sparse(descriptor: int) -> None:
    """Have the file keep no room for what is never written; raises OSError where the file system cannot do that."""
    control(descriptor, _SET_SPARSE, b"", 0)


def zero(descriptor: int, start: int, end: int) -> None:
    """Make bytes of a file zeros, by no writing in a sparse file, which gives their room back; raises OSError."""
    control(descriptor, _SET_ZERO_DATA, start.to_bytes(8, "little") + end.to_bytes(8, "little"), 0)


def allocated_ranges(descriptor: int, position: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what the file has room for; raises OSError where the file system does not say."""
    while position < size:
        asked = position.to_bytes(8, "little") + (size - position).to_bytes(8, "little")
        answer, is_more = control(descriptor, _QUERY_ALLOCATED_RANGES, asked, 16 * _RANGES_AT_ONCE)
        for at in range(0, len(answer), 16):
            start = int.from_bytes(answer[at : at + 8], "little")
            position = start + int.from_bytes(answer[at + 8 : at + 16], "little")
            yield start, min(position, size)
        if not is_more:
            return


def is_drive(path: str) -> bool:
    r"""Whether a path names a whole drive, `\\.\PhysicalDriveN`."""
    return bool(_DRIVE.fullmatch(path))


def drive_geometry(descriptor: int) -> tuple[int, int]:
    """Bytes of a sector of an open drive, and of all of it; raises OSError."""
    answer, _ = control(descriptor, _GET_DRIVE_GEOMETRY_EX, b"", 256)
    # DISK_GEOMETRY_EX: DISK_GEOMETRY, whose last member is BytesPerSector, then DiskSize.
    return int.from_bytes(answer[20:24], "little"), int.from_bytes(answer[24:32], "little")


def set_size(descriptor: int, size: int) -> None:
    """Make the file `size` bytes long without writing any of them; raises OSError.

    `os.ftruncate` is `_chsize_s` of the C library, which writes zeros, 4 KiB at a time: a terabyte of them.
    """
    import ctypes

    end = ctypes.c_longlong(size)
    if not kernel32().SetFileInformationByHandle(_handle(descriptor), _END_OF_FILE, ctypes.byref(end), 8):
        raise failure()


def holds_sparse_files(folder: str) -> bool:
    """Whether the file system of a folder keeps sparse files; raises OSError."""
    import ctypes

    root, flags = ctypes.create_unicode_buffer(1024), ctypes.c_ulong()
    if not kernel32().GetVolumePathNameW(os.path.abspath(folder), root, 1024):  # noqa: PTH100 - no link is resolved
        raise failure(folder)
    if not kernel32().GetVolumeInformationW(root, None, 0, None, None, ctypes.byref(flags), None, 0):
        raise failure(folder)
    return bool(flags.value & _SUPPORTS_SPARSE)


def is_console(descriptor: int) -> bool:
    """Whether a descriptor is a console's: `isatty` says so of NUL as well."""
    import ctypes

    return bool(kernel32().GetConsoleMode(_handle(descriptor), ctypes.byref(ctypes.c_ulong())))


def started(pid: int) -> int:
    """When a process was started, in 100 ns since 1601, 0 where there is none or it may not be asked."""
    import ctypes

    handle = kernel32().OpenProcess(0x1000, 0, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return 0
    times = [ctypes.c_ulonglong() for _ in range(4)]
    done = kernel32().GetProcessTimes(_pointer(handle), *map(ctypes.byref, times))
    kernel32().CloseHandle(_pointer(handle))
    return times[0].value if done else 0


@contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """Meanwhile this process is deaf to Ctrl-C; what it starts stays so."""
    kernel32().SetConsoleCtrlHandler(None, 1)
    try:
        yield
    finally:
        kernel32().SetConsoleCtrlHandler(None, 0)
