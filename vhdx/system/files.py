"""Files as the system has them: opening, sharing, locks, sizes, holes, names, and what makes them durable."""

import contextlib
import errno
import os
import re
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from vhdx.system import windows

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ALWAYS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
# O_NONBLOCK: should the path be a fifo by now, opening must not wait for a writer.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _ALWAYS
"""How a source is opened."""
CHANGE = os.O_RDWR | _ALWAYS
"""How an existing file is opened to be changed. No O_CREAT: it has to be there."""
# O_NOFOLLOW: who may write into the folder does not choose what this process changes elsewhere.
RESUME = CHANGE | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
"""How an unfinished file is opened to be gone on with."""
# O_EXCL: of two runs that choose one name, one is refused by the system itself.
NEW = RESUME | os.O_EXCL
"""How a new file is made."""

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
# What a file system without hard links says: FAT, exFAT, some shares, ReFS; on Windows as errors of its own.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EXDEV}
_NO_LINKS_ON_WINDOWS = {1, 50, 120}  # ERROR_INVALID_FUNCTION, _NOT_SUPPORTED, _CALL_NOT_IMPLEMENTED
# A virus scanner or an indexer has a new file open for a moment: five attempts, two seconds in all.
_WAITS = (0.05, 0.15, 0.3, 0.5, 1.0)
# File systems of Linux that keep room for every byte, so that a file without data takes its whole size.
_WITHOUT_HOLES = {"vfat", "msdos", "exfat", "hfs", "hfsplus"}
# Those that Windows reads: a sparse file there is one that it does not attach, 0xC03A001A.
_OF_WINDOWS = {"ntfs", "ntfs3", "fuseblk", "ufsd", "cifs", "smb3"}
_MIN_HOLE_SIZE = 27  # macOS' _PC_MIN_HOLE_SIZE
_OFD_GETLK = 36
"""Linux's request for a lock that keeps others from having theirs; fcntl names it since Python 3.9, not everywhere."""
_PUNCH = 3
"""Linux's FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE: bytes become zeros, and the host has their room back."""
_BLKSSZGET, _DKIOCGETBLOCKSIZE = 0x1268, 0x40046418
_FICLONE = 0x40049409
"""Linux's request to share all blocks of one file with another, on btrfs, XFS and the like."""
_FICLONERANGE = 0x4020940D
"""The same for a range of both."""
# Those whose files can share blocks, as far as they were made to.
_SHARING = {"xfs", "btrfs", "bcachefs"}

MOUNTS_OVER_FOLDERS = not windows.HERE
"""Whether a folder that is mounted is there before, and is unmounted by a program; WinFsp makes and removes it."""


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a file; raises OSError. On Windows a file that is open to be written takes no other writer.

    There others may rename and remove what is open here, as they may elsewhere.
    """
    others = windows.READ | windows.DELETE | (0 if flags & os.O_RDWR else windows.WRITE)
    opened = partial(windows.open_shared, share=others) if windows.HERE else partial(os.open, mode=0o666)
    return opened(str(path), flags)


def lock(descriptor: int) -> bool:
    """Mark a file as being written by this process; False when another one does. Windows locks by `open_file`."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}  # others: a file system that has no locks
    return True


def is_used_elsewhere(descriptor: int) -> bool:
    """Whether another program has locked bytes of a file, as QEMU does, or a loop device shows it; asked on Linux."""
    if windows.HERE or sys.platform != "linux":
        return False
    return _has_locked_bytes(descriptor) or _is_looped(descriptor)


def _has_locked_bytes(descriptor: int) -> bool:
    """Whether another open file description has a lock on any of a file's bytes."""
    layout = struct.Struct("hhqqi4x")  # struct flock
    asked = layout.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        answer = fcntl.fcntl(descriptor, _OFD_GETLK, asked)
    except OSError:  # a file system that has no locks
        return False
    return bool(layout.unpack(answer)[0] != fcntl.F_UNLCK)


def _is_looped(descriptor: int) -> bool:
    """Whether a file is what a loop device shows, by what the kernel lists of them."""
    status = os.fstat(descriptor)
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            other = Path(_lines(entry)[0].rstrip("\n")).stat()
            if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
                return True
    return False


def is_in_use(error: OSError) -> bool:
    """Whether the system says that another program has the file open, as Windows does."""
    return getattr(error, "winerror", None) in windows.IN_USE


def is_full(error: OSError) -> bool:
    """Whether the system says that there is no more room, on the medium or for this user."""
    return error.errno in _FULL


def set_size(descriptor: int, size: int) -> None:
    """Make a file `size` bytes long, what is new as zeros that nobody writes; raises OSError."""
    if windows.HERE:
        windows.set_size(descriptor, size)
    else:
        os.ftruncate(descriptor, size)


def make_sparse(descriptor: int) -> None:
    """Let a file have holes, where the system wants to be asked and the file system has them."""
    if windows.HERE:
        with contextlib.suppress(OSError):  # FAT, exFAT: the file takes its whole size, as `keeps_holes` forecast
            windows.make_sparse(descriptor)


def keeps_holes(folder: Path) -> bool:
    """Whether a file in a folder takes no room for what is never written; True where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        if windows.HERE:
            return windows.holds_sparse_files(str(folder))
        if sys.platform == "linux":
            return _file_system(folder) not in _WITHOUT_HOLES
        return os.pathconf(folder, _MIN_HOLE_SIZE) > 0
    return True


def takes_room_back(folder: Path) -> bool:
    """Whether the middle of a file in a folder can become room of its file system again: tried with one without a name.

    On Windows a file has to be sparse for that, and such a one is not attached; macOS is not asked.
    """
    import tempfile  # 4 ms of each start for what one option needs

    if sys.platform != "linux":
        return False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
            file.flush()
            return zero(file.fileno(), 0, 1 << 16)
    except OSError:  # nothing can be made there: by what kind it is
        return keeps_holes(folder)


def is_read_by_windows(folder: Path) -> bool:
    """Whether a folder of this machine, which is not Windows, is on a file system of Windows, or on a share."""
    if windows.HERE or sys.platform != "linux":
        return False
    try:
        return _file_system(folder) in _OF_WINDOWS
    except OSError:
        return False


def _file_system(folder: Path) -> str:
    """The kind of a folder's file system, "" where it is not listed."""
    # By the number of the mount: what `stat` calls the device of a folder is on btrfs that of a subvolume.
    descriptor = open_file(folder, READ)
    try:
        facts = dict(line.split(":", 1) for line in _lines(Path(f"/proc/self/fdinfo/{descriptor}")))
    finally:
        os.close(descriptor)
    wanted = facts.get("mnt_id", "").strip()
    found = (
        words[words.index("-") + 1]
        for words in map(str.split, _lines(Path("/proc/self/mountinfo")))
        if words[0] == wanted
    )
    return next(found, "")


def _lines(path: Path) -> list[str]:
    with os.fdopen(open_file(path, READ), errors="surrogateescape", encoding="utf-8") as file:
        return file.readlines()


def fill_holes(descriptor: int, size: int) -> None:
    """Give a file of `size` bytes room for all of them, so that it has no holes; raises OSError.

    On Windows a file that was not made sparse has none.
    """
    if windows.HERE or not size:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    position = 0
    for start, end in [*extents(descriptor, 0, size), (size, size)]:
        while position < start:
            os.lseek(descriptor, position, os.SEEK_SET)
            position += os.write(descriptor, bytes(min(1 << 20, start - position)))
        position = end


def zero(descriptor: int, start: int, length: int) -> bool:
    """Make bytes of a file zeros without writing them; False where the system or the file system cannot do that.

    On Linux the host has their room back; on Windows where the file is sparse.
    """
    try:
        if windows.HERE:
            windows.zero(descriptor, start, start + length)
            return True
        return sys.platform == "linux" and _fallocate(descriptor, _PUNCH, start, length)
    except OSError:
        return False


def _fallocate(descriptor: int, mode: int, start: int, length: int) -> bool:
    import ctypes  # `os` has posix_fallocate alone, which makes no holes

    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(descriptor, mode, start, length) == 0)


def extents(descriptor: int, position: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what a file really holds from `position` on; all of it where the system cannot say."""
    if windows.HERE:
        try:
            yield from windows.allocated_ranges(descriptor, position, size)
        except OSError:
            yield position, size
        return
    if not hasattr(os, "SEEK_DATA"):
        yield position, size
        return
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but holes follow; else: this file system cannot say
                yield position, size
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position


def clone(descriptor: int, source: int) -> bool:
    """Share the bytes of an open file without copying them; False where the file system cannot do that."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(descriptor, _FICLONE, source)
    except OSError:
        return False
    return True


def clone_range(descriptor: int, offset: int, source: int, source_offset: int, length: int) -> None:
    """As `clone`, for whole blocks of the file system; raises OSError where they cannot be shared."""
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fcntl.ioctl(descriptor, _FICLONERANGE, struct.pack("qQQQ", source, source_offset, length, offset))


def may_share(folder: Path) -> bool:
    """Whether files in a folder may be able to share blocks, by what kind of file system it is on."""
    try:
        return sys.platform == "linux" and _file_system(folder) in _SHARING
    except OSError:
        return False


def block_size(folder: Path) -> int:
    """Bytes of a block of a folder's file system, of which whole ones alone can be shared; 0 where nobody can say."""
    return os.statvfs(folder).f_bsize if hasattr(os, "statvfs") else 0


def has_writer(descriptor: int) -> bool:
    """Whether somebody has a file, open here for reading, open for writing now; False where the system cannot say."""
    if sys.platform != "linux":
        return False
    try:
        # A lease for reading is not given while there is a writer. It is given back at once: nobody is kept waiting.
        # Who opens the file just then has the system send a signal here: one that is ignored, for SIGIO ends a process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def start_reading(descriptor: int, start: int, length: int) -> None:
    """Have a range begin to be read, where the system can be asked for that; nothing waits."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_WILLNEED)


def start_writing(descriptor: int, start: int, length: int) -> None:
    """Have what is new of a range begin to reach the medium, where the system can be asked for that; nothing waits."""
    # Linux writes out what it is told to forget. What is on its way is not forgotten yet.
    if sys.platform == "linux" and length:
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)


def flush(descriptor: int) -> None:
    """Have everything written reach the medium; raises OSError."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync leaves it in the drive's memory
    if full is not None:
        with contextlib.suppress(OSError):  # a network share has no drive
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Make a new name durable. Windows cannot open folders and needs no such step."""
    if windows.HERE:
        return
    with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is durable
        descriptor = open_file(folder, READ)
        try:
            flush(descriptor)
        finally:
            os.close(descriptor)


def rename(old: Path, new: Path) -> None:
    """Give a file another name, in place of what has it; raises OSError. On Windows tried for two seconds."""
    _tried(lambda: old.replace(new))


def remove(path: Path) -> None:
    """Remove a file, where it is there; raises OSError. On Windows tried for two seconds."""
    _tried(lambda: path.unlink(missing_ok=True))


def _tried(change: Callable[[], object]) -> None:
    for wait in (*_WAITS, None) if windows.HERE else (None,):
        try:
            change()
        except PermissionError:
            if wait is None:
                raise
            time.sleep(wait)
        else:
            return


def name_new(part: Path, path: Path) -> bool:
    """Give a whole file a name that nothing has; False when something has it. `part` may keep its own name, too.

    Raises OSError.
    """
    try:
        # A link fails where the name is taken, in one step, on NFS as well, where O_EXCL was not always kept.
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS and getattr(error, "winerror", None) not in _NO_LINKS_ON_WINDOWS:
            raise
        return _claim(part, path)
    return True


def _claim(part: Path, path: Path) -> bool:
    """As `name_new`, without links: the name is made for an empty file, which of two runs one can, then taken over."""
    try:
        os.close(open_file(path, NEW))
    except FileExistsError:
        return False
    rename(part, path)
    return True


def device_advice() -> str:
    """What to name where a block device is meant."""
    if windows.HERE:
        return "the devices of Windows are not written to; name a file, or do this on Linux"
    return f"name a block device, such as {'/dev/rdisk4' if sys.platform == 'darwin' else '/dev/sdx'}"


def is_device(path: Path) -> bool:
    r"""Whether a path leads to a block device, on Windows `\\.\PhysicalDriveN`, on macOS `/dev/rdiskN` too."""
    if windows.HERE:
        return windows.is_drive(str(path))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISBLK(mode) or (sys.platform == "darwin" and stat.S_ISCHR(mode) and path.name.startswith("rdisk"))


def device_sector_size(descriptor: int) -> int:
    """Bytes of a logical sector of an open block device; 512 where the system does not say."""
    with contextlib.suppress(OSError):
        if windows.HERE:
            return windows.drive_geometry(descriptor)[0]
        request = {"linux": _BLKSSZGET, "darwin": _DKIOCGETBLOCKSIZE}.get(sys.platform)
        if request is not None:
            return int.from_bytes(fcntl.ioctl(descriptor, request, bytes(4)), sys.byteorder)
    return 512


def device_size(descriptor: int) -> int:
    """Bytes of an open block device; raises OSError."""
    if windows.HERE:
        return windows.drive_geometry(descriptor)[1]
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size or sys.platform != "darwin":
        return size
    # macOS: a device has no end to be sought, DKIOCGETBLOCKSIZE and DKIOCGETBLOCKCOUNT say what it has.
    unit = fcntl.ioctl(descriptor, _DKIOCGETBLOCKSIZE, bytes(4))
    count = fcntl.ioctl(descriptor, 0x40086419, bytes(8))
    return int.from_bytes(unit, "little") * int.from_bytes(count, "little")


def why_not_replaceable(path: Path) -> str:
    """Why a file could not be replaced when its successor is whole; "" where it can, or where nobody can say.

    POSIX asks the folder alone, which the unfinished output has asked already.
    """
    if not windows.HERE or not path.exists():
        return ""
    try:
        windows.require_replaceable(str(path))
    except OSError as error:
        return "another program has it open" if is_in_use(error) else "it is read-only"
    return "" if os.access(path, os.W_OK) else "it is read-only"


def path_of_url(path: str) -> Path:
    """The folder that the path of a file: URL names: `/C:/backups` is on a drive of Windows."""
    return Path(path[1:] if windows.HERE and path[2:3] == ":" and path[:1] == "/" else path)


def may_be_long(path: Path) -> Path:
    """A path that the system takes although it is long."""
    return Path(windows.extended(str(path))) if windows.HERE else path


def leads_elsewhere(status: os.stat_result) -> bool:
    """Whether an entry of a folder, by its own status, stands for another place: a link, or a junction of Windows.

    Other reparse points, of files in the cloud or without duplicates, are the files and folders that they look like.
    """
    tag: int = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or bool(tag & windows.NAME_SURROGATE)


def is_mounted_volume(path: Path) -> bool:
    """Whether a folder that leads elsewhere leads to a volume, as those of a cluster do, and not to another folder."""
    try:
        return windows.HERE and bool(re.match(r"\\\\\?\\Volume\{[^}]*\}\\?$", os.readlink(path)))  # noqa: PTH115 - a Path drops the end
    except OSError:
        return False


def is_stream(name: str) -> bool:
    """Whether a file's name would be one of a stream of another file, as `disk.vhdx:x` is on Windows."""
    return windows.HERE and ":" in name
