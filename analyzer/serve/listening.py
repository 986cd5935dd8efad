"""The sockets that are listened to: one in the file system, which its owner alone may use, or a port."""

import contextlib
import socket
import stat
from pathlib import Path

from analyzer.nbd.uri import NbdAddress
from vhdx.errors import OutputError, VhdxError
from vhdx.source import Closing

HAS_PATHS = hasattr(socket, "AF_UNIX")
"""Whether this system has sockets in the file system, as Windows' Python has not."""
_BACKLOG = 64
LOOPBACK = "127.0.0.1"


class ListenError(VhdxError):
    """No client can be listened for at a place."""

    exit_code = 6
    place: str
    reason: str
    text = "cannot listen at {place}: {reason}; choose another --socket, --host or --port"


class Door(Closing):
    """A socket that is listened to, and the address of its first export."""

    def __init__(self, listener: socket.socket, address: NbdAddress) -> None:
        """Both are open for clients already."""
        self.listener, self.address = listener, address

    def close(self) -> None:
        """Close the socket, and remove it from the file system."""
        self.listener.close()
        if self.address.socket is not None:
            self.address.socket.unlink(missing_ok=True)


def door_at_path(path: Path) -> Door:
    """A socket at `path`, for its owner alone; one that a killed server left there is replaced.

    Raises OutputError where something else is there, ListenError.
    """
    if not HAS_PATHS:
        raise ListenError(str(path), "this system has no sockets in the file system")
    _remove_left_over(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # before anybody is listened to
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(str(path), error.strerror or str(error)) from error
    return Door(listener, NbdAddress(socket=path.absolute()))


def door_at_port(host: str, port: int) -> Door:
    """A socket at a port, any free one for 0; raises ListenError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ListenError(f"{host}, port {port}", getattr(error, "strerror", None) or str(error)) from error
    return Door(listener, NbdAddress(host=host, port=listener.getsockname()[1]))


def _remove_left_over(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return
    if not is_socket:
        raise OutputError(path, "it exists already", "name another path for the socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
            return
        except OSError as error:
            raise ListenError(str(path), error.strerror or str(error)) from error
    raise OutputError(path, "another server listens there", "name another path for the socket")
