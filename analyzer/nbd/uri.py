"""Addresses of exports, as the NBD URI specification has them: `nbd://HOST/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

PORT = 10809
"""The port of NBD where none is named."""
_SCHEME = re.compile(r"nbd(\+unix)?://", re.IGNORECASE)
# Commas are options to QEMU, whatever quotes are around them.
_SAFE = "/@:=._-~+"


class NotAnAddressError(ValueError):
    """A text names no export; a clause behind the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdAddress:
    """Where an export is served: at a socket in the file system, or at a port of a host."""

    export: str = ""
    socket: Path | None = None
    host: str = ""
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address in a URI; raises NotAnAddressError."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise NotAnAddressError(f"is no NBD address: {error}") from error
        sockets = parse_qs(parts.query).get("socket", [])
        export, scheme = unquote(parts.path.removeprefix("/")), parts.scheme.lower()
        if scheme == "nbd+unix" and len(sockets) == 1 and not parts.netloc:
            return cls(export=export, socket=Path(sockets[0]))
        if scheme == "nbd" and parts.hostname and not sockets:
            return cls(export=export, host=parts.hostname, port=PORT if port is None else port)
        raise NotAnAddressError("is no NBD address; write nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH")

    def with_export(self, name: str) -> Self:
        """The address of another export of the same server."""
        return replace(self, export=name)

    def __str__(self) -> str:
        """The URI; what shells and QEMU would obey is escaped in it."""
        export = quote(self.export, safe=_SAFE)
        if self.socket is not None:
            return f"nbd+unix:///{export}?socket={quote(str(self.socket), safe=_SAFE)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"nbd://{host}{'' if self.port == PORT else f':{self.port}'}/{export}"


def is_nbd(text: str) -> bool:
    """Whether a text is meant to be the address of an export."""
    return _SCHEME.match(text) is not None
