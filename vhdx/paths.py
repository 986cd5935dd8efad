"""Windows paths from an untrusted locator, as paths of this machine. Nothing here opens anything.

A locator is hostile until proven otherwise: device paths are refused, and so are remote (UNC) ones unless the user has
said where that share is on this machine.
"""

import ntpath
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath

from vhdx.system import windows

_DEVICE_PREFIXES = ("\\\\.\\", "\\\\?\\", "\\??\\")
_VOLUME = re.compile(r"^Volume\{[0-9a-f-]{36}\}$", re.IGNORECASE)
_DRIVE = re.compile(r"^[a-z]:$", re.IGNORECASE)
# Windows opens a device by these names in any folder; a locator that has one was not written by Hyper-V.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}


@dataclass(frozen=True, slots=True)
class Refused:
    """A path that is not followed, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mapping:
    r"""Where a folder or share of the lost host is on this machine: `C:\VMs=/mnt/nas`, `\\FS01\VMs$=/mnt/nas`."""

    windows: PureWindowsPath
    local: Path

    @classmethod
    def parse(cls, text: str) -> "Mapping":
        """The mapping in `WINDOWS=LOCAL`; raises ValueError when either side is missing."""
        windows, separator, local = text.partition("=")
        if not separator or not windows or not local:
            raise ValueError(f"{text!r} is not WINDOWS=LOCAL, as in 'C:\\VMs=/mnt/nas'")
        root = _bare(windows)
        return cls(PureWindowsPath(f"{root}\\" if _DRIVE.match(root) else root), Path(local))

    def apply(self, path: str) -> Path | None:
        """The local place of a Windows path under this mapping; None when it is not under it."""
        wanted = PureWindowsPath(path)
        if not wanted.is_relative_to(self.windows):
            return None
        return self.local.joinpath(*wanted.relative_to(self.windows).parts)


def locate(path: str, folder: Path, mappings: Sequence[Mapping]) -> Path | Refused:
    """Where a path of a locator points on this machine; relative paths count from `folder`, the child's.

    The file need not exist. Differences of case and of Unicode's normal form are settled against the folders that do.
    """
    bare = _bare(path)
    flaw = _why_refused(bare)
    if flaw:
        return Refused(path, flaw)
    for mapping in sorted(mappings, key=lambda one: -len(one.windows.parts)):  # what says more of the path comes first
        mapped = mapping.apply(bare)
        if mapped is not None:
            return match_case(mapped)
    if _is_remote(bare):
        share = PureWindowsPath(bare).drive or r"\\HOST\SHARE"
        return Refused(path, f"a remote or device path is never followed; --map '{share}=/DIR' says where that is now")
    head = bare.replace("\\", "/").split("/", 1)[0]
    if not (bare.startswith("/") or _DRIVE.match(head) or _VOLUME.match(head)):
        return match_case(folder.joinpath(*PureWindowsPath(bare).parts))
    return _absolute(path, bare)


def _absolute(path: str, bare: str) -> Path | Refused:
    if windows.HERE:
        return Path(path)
    if bare.startswith("/"):  # DiscUtils on Linux writes such paths
        return match_case(Path(bare))
    root = PureWindowsPath(bare).parts[0]
    return Refused(path, f"a path of the old host; --map '{root}=/DIR' says where that is now")


def paths_to_parent(parent: PurePath, folder: PurePath) -> tuple[str | None, str | None]:
    r"""How a locator in a folder names a parent: the relative path, and on Windows the absolute one; None where none.

    Both are given absolute. On Windows they may begin with `\\?\`, as a path does that a locator led to; the absolute
    path begins with that in any case: `\\?\C:\VMs\a.vhdx`, `\\?\UNC\nas\vm\a.vhdx`.
    """
    if not isinstance(parent, PureWindowsPath):
        return _below(os.path.relpath(parent, folder)), None
    bare = _bare(str(parent))
    absolute = f"\\\\?\\UNC\\{bare[2:]}" if _is_remote(bare) else f"\\\\?\\{bare}"
    try:
        return _below(ntpath.relpath(bare, _bare(str(folder)))), absolute
    except ValueError:  # two drives: no relative path leads from one to the other
        return None, absolute


def _below(relative: str) -> str:
    text = str(PureWindowsPath(relative))
    return text if text.startswith("..") else f".\\{text}"


def _bare(path: str) -> str:
    r"""The path without `\\?\`, forward slashes kept where they are the only ones (a POSIX path)."""
    front = path[:4].replace("/", "\\")  # Windows takes `//?/` for the same
    stripped = path[4:] if front in _DEVICE_PREFIXES and front[2] == "?" else path
    if stripped is not path and re.match(r"UNC[\\/]", stripped, re.IGNORECASE):
        stripped = "\\\\" + stripped[4:]
    return stripped if stripped.startswith("/") and "\\" not in stripped else stripped.replace("/", "\\")


def _why_refused(bare: str) -> str:
    if bare.startswith(("\\\\.\\", "//./", "\\\\?")) or re.match(r"UNC[\\/]", bare, re.IGNORECASE):
        return "a remote or device path is never followed"
    parts = re.split(r"[\\/]+", bare.lstrip("\\/") if _is_remote(bare) else bare)
    if bare.startswith("\\") and not _is_remote(bare):
        return "a path from an unknown drive's root is not followed"
    if any(character < " " for character in bare):
        return "it holds control characters"
    tail = parts[1:] if _DRIVE.match(parts[0]) else parts
    if any(":" in part for part in tail):
        return "it names a stream or a drive in the middle"
    names = (part.split(".", maxsplit=1)[0].rstrip(" ").lower() for part in parts)
    if re.match(r"GLOBALROOT$", parts[0], re.IGNORECASE) or not _RESERVED.isdisjoint(names):
        return "it names a device"
    return ""


def _is_remote(bare: str) -> bool:
    return bare.startswith(("\\\\", "//"))


def match_case(path: Path) -> Path:
    """The path, each part that does not exist replaced by the one entry that differs in case or normal form alone.

    macOS and many file servers keep names decomposed (form D), locators have them composed. Dots and spaces at the end
    of a part come last: Windows leaves them out of a name.
    """
    if _exists(path):
        return path
    parts = path.parts
    found = Path(parts[0])
    for part in parts[1:]:
        exact = found / part
        found = exact if part == ".." or _exists(exact) else next(_same_but_case(found, part), exact)
    return found


def _exists(path: Path) -> bool:
    """Whether something is there; a name that the system does not take, too long for one, is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _same_but_case(folder: Path, name: str) -> Iterator[Path]:
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208 - Path.iterdir builds a Path for each of thousands
    except OSError:
        return
    for wanted in dict.fromkeys((_folded(name), _folded(name.rstrip(". ")))):
        yield from (folder / entry for entry in entries if _folded(entry) == wanted)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
