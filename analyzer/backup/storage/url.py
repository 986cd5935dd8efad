"""The URL of a place, taken apart; and who logs in there, from the environment or the usual files."""

import netrc
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from analyzer.backup.storage.storage import AddressError


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


_ADVICE = "write it as sftp://user@host/path, ftp://host/path, smb://host/share/path or s3://bucket/path"


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
