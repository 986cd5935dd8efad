"""Who holds a lock: the document of one, and whether the process that wrote it is known to have ended."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum

from analyzer.backup.processes import birth, machine
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
        boot=machine(),
        birth=birth(os.getpid()),
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
    return bool(owner.boot) and owner.boot == machine() and birth(owner.pid) != owner.birth
