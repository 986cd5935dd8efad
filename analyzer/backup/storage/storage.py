"""Where a repository is: objects with names, read and written whole. What every kind of place promises."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

Data = bytes | bytearray | memoryview
UNFINISHED = ".part"
"""How the name of a file ends that was not written to its end; no object is called so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing has it: its name, its bytes, and when it was written, seconds since 1970."""

    name: str
    size: int
    modified: float

    def is_before(self, limit: float) -> bool:
        """Whether it was last written until a time; False where the place tells no times."""
        return bool(self.modified) and self.modified <= limit


class Place(Protocol):
    """Objects by name; `/` stands between folders. Whatever fails raises PlaceError. All calls from any thread."""

    @property
    def url(self) -> str:
        """What to call the place in a message: no password in it."""

    def read(self, name: str) -> bytes:
        """A whole object; raises MissingObjectError."""

    def write(self, name: str, data: Data) -> None:
        """Make or replace an object, whole or not at all; durable when it returns."""

    def create(self, name: str, data: Data) -> bool:
        """Make an object unless it is there: False then. Atomic where the place can do that."""

    def size(self, name: str) -> int | None:
        """Bytes of an object; None when it is not there."""

    def list(self, folder: str) -> Iterator[Entry]:
        """All objects below a folder, in no order; none when it is not there. "" is the whole place."""

    def unfinished(self) -> Iterator[Entry]:
        """What is there of objects that were not written to their end, or are being written; `delete` takes them."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    def close(self) -> None:
        """Let go of connections; using the place again makes new ones."""
