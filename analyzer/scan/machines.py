"""Virtual machine configurations (.vmcx, .vmrs): which machine, or checkpoint, has which disks.

Their container is read by dissect.hypervisor, an optional dependency under the AGPL-3.0: the extra `all` leaves it out.
What a file holds is untrusted: it is read up to a budget, for its tables may point at one another in circles.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from pathlib import Path, PureWindowsPath
from typing import Any

from analyzer.scan.find import FoundFile
from analyzer.text import adding_extra
from vhdx.errors import VhdxError
from vhdx.reader import Positioned
from vhdx.source import FileSource, read_at

MISSING_EXTRA = (
    "virtual machine configurations were not read, because dissect.hypervisor (AGPL-3.0) is not installed; "
    f"{adding_extra('machines')}"
)
# A configuration has some 100 KiB; the parser follows offsets in it, which may be made to go on for ever.
_MOST_BYTES, _MOST_READS, _MOST_NODES = 2 << 20, 20_000, 20_000
# global_settings/disk_merge_pending, False in three genuine files.
_PENDING = "disk_merge_pending"
_DISK_NAMES = (".vhdx", ".avhdx", ".vhds")
# What the parser raises for content that is none; it has no one error of its own.
_FAILURES = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(RecursionError, RuntimeError, TypeError, ValueError, MemoryError, struct.error),
)


class Role(Enum):
    """What a configuration describes."""

    MACHINE = "machine"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A virtual machine, or one of its checkpoints. Names and paths are untrusted."""

    path: Path
    """The configuration file."""
    role: Role
    name: str
    disks: tuple[str, ...]
    """The paths of its disks as the host had them."""
    error: str = ""
    """Why the configuration could not be read."""
    merge_pending: bool | None = None
    """Whether the host has still to merge disks of it, a deleted checkpoint's; None where it does not say."""


class _TooMuchError(ValueError):
    """The parser asks for more than any configuration needs."""


class _Budget(Positioned):
    """A file object over a source that gives so much and no more."""

    def __init__(self, source: FileSource) -> None:
        super().__init__(source.size)
        self._source, self._bytes, self._reads = source, _MOST_BYTES, _MOST_READS

    def read(self, size: int = -1) -> bytes:
        room = max(0, self._size - self._position)
        length = room if size < 0 else min(size, room)
        self._bytes, self._reads = self._bytes - length, self._reads - 1
        if self._bytes < 0 or self._reads < 0:
            raise _TooMuchError("the tables ask for more than a configuration holds")
        data = read_at(self._source, self._position, length)
        self._position += length
        return data


def can_read_machines() -> bool:
    """Whether the optional parser is installed."""
    try:
        from dissect.hypervisor.descriptor import hyperv  # noqa: F401
    except ImportError:
        return False
    return True


def read_machines(files: Sequence[FoundFile]) -> tuple[Machine, ...]:
    """The machines and checkpoints of these files, in their order; call it only where `can_read_machines`.

    A .vmrs of a machine whose .vmcx is there as well says nothing new: it is left out.
    """
    found = [_read(file.path) for file in files]
    current = {m.path: m.path.suffix.lower() == ".vmcx" for m in found}
    known = {m.path.with_suffix("") for m in found if current[m.path] and m.disks}
    return tuple(m for m in found if current[m.path] or (m.disks and m.path.with_suffix("") not in known))


def _read(path: Path) -> Machine:
    from dissect.hypervisor.descriptor.hyperv import HyperVFile
    from dissect.hypervisor.exceptions import Error

    role = Role.CHECKPOINT if any(part.lower() == "snapshots" for part in path.parent.parts) else Role.MACHINE
    try:
        with FileSource(path) as source:
            values = dict(_values(HyperVFile(_Budget(source)).root))
    except (VhdxError, Error, *_FAILURES) as error:
        reason = f"{path} is no configuration that is known: {error}"
        return Machine(path=path, role=role, name="", disks=(), error=reason)
    texts = {keys: value for keys, value in values.items() if isinstance(value, str)}
    name = next((text for keys, text in texts.items() if keys[-2:] == ("properties", "name")), "")
    paths = (text for keys, text in sorted(texts.items()) if keys[-1].lower() == "pathname")
    disks = tuple(path for path in paths if path.lower().endswith(_DISK_NAMES))
    pending = next((value for keys, value in values.items() if keys[-1].lower() == _PENDING), None)
    is_pending = pending if isinstance(pending, bool) else None
    return Machine(path=path, role=role, name=name, disks=disks, merge_pending=is_pending)


def _values(root: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str | bool]]:
    """(keys, value) of all texts and marks that matter; nodes may be children of one another: each is seen once."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((key,), entry) for key, entry in root.items()]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_NODES:
        keys, entry = waiting.pop()
        if id(entry) in seen:
            continue
        seen.add(id(entry))
        waiting += [((*keys, key), child) for key, child in entry.children.items()]
        is_wanted = keys[-1].lower() in {"name", "pathname", _PENDING} and not entry.children
        if is_wanted and isinstance(value := entry.value, str | bool):
            yield keys, value.rstrip("\0") if isinstance(value, str) else value


def match_disks(machines: Sequence[Machine], paths: Sequence[Path]) -> dict[Path, tuple[Machine, ...]]:
    """The machines that name each of these files: by the longest end of the path that host and scan have in common."""
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        by_name.setdefault(path.name.lower(), []).append(path)
    used: dict[Path, tuple[Machine, ...]] = {}
    for machine in machines:
        for disk in machine.disks:
            windows = PureWindowsPath(disk)
            candidates = by_name.get(windows.name.lower(), [])
            # How many parts both paths share, counted from the end.
            ends = [zip(reversed(windows.parts), reversed(path.parts), strict=False) for path in candidates]
            shared = [len(list(takewhile(lambda pair: pair[0].lower() == pair[1].lower(), end))) for end in ends]
            for path in (path for path, count in zip(candidates, shared, strict=True) if count == max(shared)):
                used[path] = (*used.get(path, ()), machine)
    return used
