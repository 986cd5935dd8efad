"""SMB 2 and 3, by smbprotocol."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from analyzer.backup.storage.errors import AddressError, ServerError, extra_module, silence, unresolved
from analyzer.backup.storage.remote_folder import Found
from analyzer.backup.storage.session import Sharing
from analyzer.backup.storage.storage import Data
from analyzer.backup.storage.url import Address, login_of

_TIMEOUT = 30
_PORT = 445
_PIECE = 1 << 20


def path_on_server(address: Address) -> str:
    """The path that a URL means, with the share in front; raises AddressError where no share is named."""
    if not address.path.strip("/"):
        raise AddressError(str(address), "the URL names no share", "write it as smb://host/share/path")
    return address.path.strip("/")


class SmbServer:
    """One SMB connection with its session."""

    sharing = Sharing.THREAD

    def __init__(self, address: Address) -> None:
        """Connect and log in; raises ServerError for what another attempt cannot mend, ConnectionError."""
        self._smb = extra_module("smbclient", "a repository on an SMB server")
        self._errors = extra_module("smbprotocol.exceptions", "a repository on an SMB server")
        silence("smbprotocol", "smbclient", "spnego")
        self._address, self._cache = address, dict[str, Any]()
        login = login_of(address)
        self._how = {"port": address.port or _PORT, "connection_cache": self._cache}
        self._how |= {"username": login.user, "password": login.password}
        with self._told():
            self._smb.register_session(address.host, connection_timeout=_TIMEOUT, **self._how)

    def fetch(self, path: str, most: int) -> bytes:
        """All bytes of a file, but no more than `most` + 1 of them."""
        with self._told(), self._open(path, "rb") as file:
            data = bytearray()
            while len(data) <= most and (piece := file.read(_PIECE)):
                data += piece
            return bytes(data)

    def store(self, path: str, data: Data) -> None:
        """Write a file, and have the server bring it to its medium."""
        with self._told():
            self._write(path, data, "wb")

    def store_new(self, path: str, data: Data) -> bool:
        """Write a file that must not be there; False when it is."""
        try:
            with self._told():
                self._write(path, data, "xb")
        except FileExistsError:
            return False
        return True

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, in place of another's."""
        with self._told():
            self._smb.replace(self._unc(old), self._unc(new), **self._how)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            with self._told():
                return int(self._smb.stat(self._unc(path), **self._how).st_size)
        except FileNotFoundError:
            return None

    def scan(self, path: str) -> list[Found]:
        """What is in a folder."""
        try:
            with self._told():
                return [_found(entry) for entry in self._smb.scandir(self._unc(path), **self._how)]
        except FileNotFoundError:
            return []

    glance = scan

    def remove(self, path: str) -> None:
        """Remove a file."""
        with contextlib.suppress(FileNotFoundError), self._told():
            self._smb.remove(self._unc(path), **self._how)

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it; the share itself must be there."""
        if "/" in path:
            with self._told():
                self._smb.makedirs(self._unc(path), exist_ok=True, **self._how)

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):
            for connection in self._cache.values():
                _forget_files(connection)
            self._smb.reset_connection_cache(fail_on_error=False, connection_cache=self._cache)

    def _open(self, path: str, mode: str) -> Any:  # noqa: ANN401 - smbprotocol ships no types
        return self._smb.open_file(self._unc(path), mode=mode, buffering=0, share_access="r", **self._how)

    def _write(self, path: str, data: Data, mode: str) -> None:
        view = memoryview(data)
        with self._open(path, mode) as file:
            while view:
                view = view[file.write(view[:_PIECE]) :]
            file.fd.flush()

    def _unc(self, path: str) -> str:
        return rf"\\{self._address.host}" + "\\" + path.replace("/", "\\")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The errors of smbprotocol as ours."""
        errors, place = self._errors, str(self._address)
        try:
            yield
        except (FileNotFoundError, ConnectionError, TimeoutError, EOFError, ServerError):
            raise
        except (errors.SMBAuthenticationError, errors.LogonFailure) as error:
            raise ServerError(place, "the server did not let us in", _LOGIN_ADVICE) from error
        except errors.SMBOSError as error:
            raise self._of_server(error) from error
        except (errors.SMBResponseException, errors.SMBUnsupportedFeature) as error:
            raise ServerError(place, f"the server refused ({error})", _ADVICE) from error
        except (errors.SMBException, OSError, ValueError) as error:  # the last: it says "Failed to connect" with it
            raise unresolved(place, error) or ConnectionError(str(error)) from error

    def _of_server(self, error: Any) -> Exception:  # noqa: ANN401 - smbprotocol ships no types
        if error.errno in {errno.ENOENT, errno.EEXIST}:
            return OSError(error.errno, error.strerror)  # Python makes its FileNotFoundError or FileExistsError of it
        if error.ntstatus in _PASSING:
            return ConnectionError(str(error.strerror))
        return ServerError(str(self._address), f"the server refused ({error.strerror})", _ADVICE)


_ADVICE = "check the share, the path, the rights of the user and the room there"
_LOGIN_ADVICE = (
    "name the user in the URL, and give the password in VHDX_SMB_PASSWORD in the environment or in ~/.netrc, or have "
    "a Kerberos ticket"
)
_PASSING = {0xC0000203, 0xC00000C9, 0xC000020C, 0xC000026E, 0xC0000043, 0xC0000054}
"""Session deleted, network name deleted, connection disconnected, volume dismounted; sharing and lock conflicts."""


def _forget_files(connection: Any) -> None:  # noqa: ANN401 - smbprotocol ships no types
    """Files that were open when the connection was lost are closed: the library would warn of each."""
    if not connection.transport.connected:
        for session in connection.session_table.values():
            for file in session.open_table.values():
                file._connected = False  # noqa: SLF001 - `close` would ask the server that is gone


def _found(entry: Any) -> Found:  # noqa: ANN401 - smbprotocol ships no types
    info = entry.smb_info
    name = "" if entry.is_symlink() else entry.name
    return Found(name, entry.is_dir(), int(info.end_of_file), info.last_write_time.timestamp())
