"""Where a repository is: objects with names, read and written whole. What every kind of place promises and refuses."""

import importlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from analyzer.backup.errors import BackupError, PlaceError
from analyzer.text import adding_extra

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
        """Whether it was last written until a time; False where the place gives no times."""
        return bool(self.modified) and self.modified <= limit


class Place(Protocol):
    """Objects by name; `/` is between folders. Whatever fails raises PlaceError. All calls from any thread."""

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


class ServerError(PlaceError):
    """A server refused, or could not be reached; `url` has no credentials in it."""


class AddressError(ServerError):
    """A URL that names no place, or says more than it should."""

    exit_code = 2


def unresolved(url: str, error: BaseException) -> ServerError | None:
    """What to say where a host name is behind an error, one that nobody knows; None for any other."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, socket.gaierror):
        found = found.__cause__ or found.__context__
    if found is None or found.errno == socket.EAI_AGAIN:  # another attempt may mend that
        return None
    return ServerError(url, "the host name cannot be resolved", "check how it is written, and the network's DNS")


class MissingExtraError(BackupError):
    """A library is not installed that this kind of place, or an encrypted repository, needs."""

    exit_code = 2
    what: str
    library: str
    name: str

    def __str__(self) -> str:
        return f"{self.what} needs {self.library}, which is not installed; {adding_extra(self.name)}"


def extra_module(module: str, what: str, extra: str = "places") -> Any:  # noqa: ANN401 - none of them ships types
    """A module of an optional library; raises MissingExtraError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, module.partition(".")[0], extra) from error


def silence(*loggers: str) -> None:
    """Keep a library from writing to stderr where nobody has configured logging: what it has to say, we say."""
    for name in loggers:
        if not logging.getLogger(name).handlers:
            logging.getLogger(name).addHandler(logging.NullHandler())
