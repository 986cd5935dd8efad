"""Who holds a lock: the document of one, and whether the process that wrote it is known to have ended."""

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from analyzer.backup.storage.storage import Stored


class Hold(Enum):
    """What an owner does to the repository."""

    SHARED = "shared"
    """Adds to it: any number at a time."""
    EXCLUSIVE = "exclusive"
    """Takes from it: alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock; `boot` names one start of one machine, `birth` one process of many with the same number."""

    hold: Hold
    command: str
    host: str
    pid: int
    boot: str
    birth: str
    since: str
    points: tuple[str, ...] = ()
    """The restore points that it is about to make."""

    def __str__(self) -> str:
        return f"`vhdx backup {self.command}` on {self.host} (process {self.pid}, since {self.since})"


def ourselves(hold: Hold, command: str) -> Owner:
    """This process."""
    return Owner(
        hold=hold,
        command=command,
        host=socket.gethostname(),
        pid=os.getpid(),
        boot=_boot(),
        birth=_birth(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def build_owner(owner: Owner) -> bytes:
    """The document of a lock."""
    return json.dumps(asdict(owner) | {"hold": owner.hold.value}, indent=1).encode()


def parse_owner(stored: Stored) -> Owner:
    """Who holds a lock; one that cannot be read excludes everybody."""
    try:
        plain = json.loads(stored)
        texts = {key: str(plain[key])[:200] for key in ("command", "host", "boot", "birth", "since")}
        points = tuple(str(name)[:200] for name in plain.get("points", ()))
        return Owner(hold=Hold(plain["hold"]), pid=int(plain["pid"]), points=points, **texts)
    except (ValueError, KeyError, TypeError):
        unknown = "(unreadable)"
        return Owner(hold=Hold.EXCLUSIVE, command=unknown, host=unknown, pid=0, boot="", birth="", since=unknown)


def has_ended(owner: Owner) -> bool:
    """Whether a process of this very machine, since it started and in this namespace, is known to have ended."""
    return bool(owner.boot) and owner.boot == _boot() and _birth(owner.pid) != owner.birth


def _boot() -> str:
    """One start of one machine and one namespace of processes; empty where the system does not say.

    A host name is not enough: containers share it, and see processes of their own.
    """
    if sys.platform != "linux":
        return ""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When a process was started, in the system's own count; empty when there is none."""
    try:
        # The name of the program is in brackets and may hold anything, brackets too.
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
