"""Where a repository is: objects with names, read and written whole; the URL of a place, and who logs in there."""

import importlib
import logging
import netrc
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from analyzer.backup.errors import BackupError, PlaceError
from analyzer.text import adding_extra

Data = bytes | bytearray | memoryview
Stored = bytes | bytearray
"""What a place gives: a folder what can be changed in memory."""
_ADVICE = "write it as sftp://user@host/path, ftp://host/path, smb://host/share/path or s3://bucket/path"
UNFINISHED = ".part"
"""How the name of a file ends that was not written to its end; no object is called so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a listing has it: its name, its bytes, and when it was written, seconds since 1970."""

    name: str
    size: int
    modified: float
    is_folder: bool = False
    """Of what a server lists: no object of a repository is one."""

    def is_before(self, limit: float) -> bool:
        """Whether it was last written until a time; False where the place gives no times."""
        return bool(self.modified) and self.modified <= limit


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A place; `user` and `port` are None where the URL says nothing, `path` has no slash at its end."""

    scheme: str
    host: str
    port: int | None
    user: str | None
    path: str

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{host}{port}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who logs in; None where nothing is known. The password shows in no text that is made of this."""

    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


def parse_address(url: str) -> Address:
    """Take a URL apart; raises AddressError for what names no place, and for a password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressError(_without_login(url), f"this is no URL ({error})", _ADVICE) from error
    if parts.password is not None:
        advice = (
            "leave it out of the URL, where other users and the shell's history see it; `vhdx backup --help` says "
            "where each kind of place finds its password"
        )
        raise AddressError(_without_login(url), "the URL has a password in it", advice)
    if parts.query or parts.fragment:
        raise AddressError(_without_login(url), "the URL has a '?' or '#' in it", "write them as %3F and %23")
    path = unquote(parts.path).rstrip("/")
    if any(character < " " for character in path):
        raise AddressError(_without_login(url), "the path has control characters in it", _ADVICE)
    return Address(
        scheme=parts.scheme.lower(),
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username) if parts.username else None,
        path=path,
    )


def _without_login(url: str) -> str:
    """The URL up to where a secret could be, for a message about one that is not understood."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0]


def login_of(address: Address) -> Login:
    """Who logs in: the URL's user, `VHDX_<KIND>_USER` and `VHDX_<KIND>_PASSWORD`, then `~/.netrc`.

    Raises AddressError when `~/.netrc` cannot be read.
    """
    kind = address.scheme.upper().removesuffix("S") if address.scheme == "ftps" else address.scheme.upper()
    user = address.user or os.environ.get(f"VHDX_{kind}_USER")
    password = os.environ.get(f"VHDX_{kind}_PASSWORD")
    if password is not None:
        return Login(user=user, password=password)
    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    try:
        known = netrc.netrc(path).authenticators(address.host)
    except FileNotFoundError:
        known = None
    except (OSError, netrc.NetrcParseError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.msg  # neither has a password in it
        raise AddressError(str(address), f"{path} cannot be used ({reason})", "mend that file or its rights") from error
    if known is None or user not in {None, known[0]}:
        return Login(user=user, password=None)
    return Login(user=known[0], password=known[2])
