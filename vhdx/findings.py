"""What is wrong, or worth knowing, in a file: the words that every check speaks."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Severity(IntEnum):
    """How much a finding matters; greater is worse."""

    NOTE = 1
    """A fact worth knowing; genuine files produce them."""
    WARNING = 2
    """Readable, but someone should act."""
    ERROR = 3
    """The file, or a range of the disk, cannot be trusted."""


def counted(count: int, what: str) -> str:
    """A number of things, as messages have it: `1 byte`, `3 bytes`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found.

    `offset` and `length` are bytes in the file; None where the finding has no single place. `section` is that of
    [MS-VHDX]. `advice` says what to do next. `path` is the file, once one is known. `disk_start` and `disk_length` are
    the bytes of the disk that it concerns. `expected` and `found` are what should be there and what does, as text.
    A code is stable for ever; the catalogue says what it means.
    """

    code: str
    severity: Severity
    message: str
    offset: int | None = None
    length: int | None = None
    section: str = ""
    advice: str = ""
    path: Path | None = None
    disk_start: int | None = None
    disk_length: int | None = None
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        return f"{self.message} ({self.where})"

    @property
    def where(self) -> str:
        """The place in the file, the code and the section, as a person reads them."""
        place = [] if self.offset is None else [f"at byte {self.offset}"]
        section = [f"[MS-VHDX] {self.section}"] if self.section else []
        return ", ".join([*place, self.code, *section])
