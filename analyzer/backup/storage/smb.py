"""SMB 2 and 3, by smbprotocol."""

import contextlib
import errno
from itertools import chain
from typing import Any

from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import Address, AddressError, Data, Entry, extra_module, login_of, silence

_TIMEOUT = 30
# So much at a time, so that a large object is no single request.
_PIECE = 1 << 20
# Session deleted, network name deleted, connection disconnected, volume dismounted; sharing and lock conflicts.
_PASSING = {0xC0000203, 0xC00000C9, 0xC000020C, 0xC000026E, 0xC0000043, 0xC0000054}


class SmbServer(Server):
    """One SMB connection with its session."""

    advice = "check the share, the path, the rights of the user and the room there"
    login_advice = (
        "name the user in the URL, and give the password in VHDX_SMB_PASSWORD in the environment or in ~/.netrc, or "
        "have a Kerberos ticket"
    )

    @staticmethod
    def path_of(address: Address) -> str:
        """With the share in front; raises AddressError where no share is named."""
        if not address.path.strip("/"):
            raise AddressError(str(address), "the URL names no share", "write it as smb://host/share/path")
        return address.path.strip("/")

    def close(self) -> None:
        """See Server."""
        with contextlib.suppress(Exception):
            # Files that were open when the connection was lost are closed: the library would warn of each.
            lost = (connection for connection in self._cache.values() if not connection.transport.connected)
            for session in chain.from_iterable(connection.session_table.values() for connection in lost):
                for file in session.open_table.values():
                    file._connected = False  # noqa: SLF001 - `close` would ask the server that is gone
            self._smb.reset_connection_cache(fail_on_error=False, connection_cache=self._cache)

    def _connect(self) -> None:
        self._smb = extra_module("smbclient", "a repository on an SMB server")
        self._library = extra_module("smbprotocol.exceptions", "a repository on an SMB server")
        silence("smbprotocol", "smbclient", "spnego")
        self._cache = dict[str, Any]()
        login = login_of(self._address)
        self._how = {"port": self._address.port or 445, "connection_cache": self._cache}
        self._how |= {"username": login.user, "password": login.password}
        self._smb.register_session(self._address.host, connection_timeout=_TIMEOUT, **self._how)

    def _fetch(self, path: str, most: int) -> bytes:
        with self._open(path, "rb") as file:
            data = bytearray()
            while len(data) <= most and (piece := file.read(_PIECE)):
                data += piece
            return bytes(data)

    def _store(self, path: str, data: Data) -> None:
        self._write(path, data, "wb")

    def _store_new(self, path: str, data: Data) -> None:
        self._write(path, data, "xb")

    def _write(self, path: str, data: Data, mode: str) -> None:
        view = memoryview(data)
        with self._open(path, mode) as file:
            while view:
                view = view[file.write(view[:_PIECE]) :]
            file.fd.flush()  # has the server bring it to its medium

    def _rename(self, old: str, new: str) -> None:
        self._smb.replace(self._unc(old), self._unc(new), **self._how)

    def _size(self, path: str) -> int:
        return int(self._smb.stat(self._unc(path), **self._how).st_size)

    def _scan(self, path: str) -> list[Entry]:
        return [_found(entry) for entry in self._smb.scandir(self._unc(path), **self._how)]

    def _remove(self, path: str) -> None:
        self._smb.remove(self._unc(path), **self._how)

    def _is_folder(self, path: str) -> bool:
        """Whether a folder is there; the share itself must be."""
        return "/" not in path or bool(self._smb.path.isdir(self._unc(path), **self._how))

    def _make_folder(self, path: str) -> None:
        self._smb.mkdir(self._unc(path), **self._how)

    def _open(self, path: str, mode: str) -> Any:  # noqa: ANN401 - smbprotocol ships no types
        return self._smb.open_file(self._unc(path), mode=mode, buffering=0, share_access="r", **self._how)

    def _unc(self, path: str) -> str:
        return rf"\\{self._address.host}" + "\\" + path.replace("/", "\\")

    def _translated(self, error: Exception) -> Exception:
        library = self._library
        if isinstance(error, library.SMBAuthenticationError | library.LogonFailure):
            return self._login_refusal()
        if isinstance(error, library.SMBOSError):
            if error.errno in {errno.ENOENT, errno.EEXIST}:
                return OSError(error.errno, error.strerror)  # Python makes its FileNotFoundError or the like of it
            said, lost = str(error.strerror), error.ntstatus in _PASSING
            return ConnectionError(said) if lost else self._refusal(f"the server refused ({said})")
        if isinstance(error, library.SMBResponseException | library.SMBUnsupportedFeature):
            return self._refusal(f"the server refused ({error})")
        # It says "Failed to connect" with a ValueError.
        return ConnectionError(str(error)) if isinstance(error, library.SMBException | OSError | ValueError) else error


def _found(entry: Any) -> Entry:  # noqa: ANN401 - smbprotocol ships no types
    info = entry.smb_info
    name = "" if entry.is_symlink() else entry.name
    return Entry(name, int(info.end_of_file), info.last_write_time.timestamp(), entry.is_dir())
