"""What places do wrong, as sentences; and the libraries that speak with them, imported when one is asked for."""

import importlib
import logging
import socket
from typing import Any

from analyzer.backup.errors import BackupError, PlaceError
from analyzer.text import adding_extra


class ServerError(PlaceError):
    """A server refused, or could not be reached; `url` has no credentials in it."""

    text = "{url}: {reason}; {advice}"

    def __init__(self, url: str, reason: str, advice: str) -> None:
        super().__init__(url, "use", "the server", reason)
        self.advice = advice


class AddressError(ServerError):
    """A URL that names no place, or says more than it should."""

    exit_code = 2
    __init__ = ServerError.__init__  # not one of the facts of any place's error


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
