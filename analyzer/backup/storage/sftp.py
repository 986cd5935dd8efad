"""SFTP, by paramiko: keys, agent, `~/.ssh/config` and `~/.ssh/known_hosts` as OpenSSH's own client has them."""

import contextlib
import errno
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analyzer.backup.storage.errors import ServerError, extra_module, silence, unresolved
from analyzer.backup.storage.remote_folder import Found
from analyzer.backup.storage.session import Sharing
from analyzer.backup.storage.storage import Data
from analyzer.backup.storage.url import Address, Login, login_of

TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as lost."""
_PORT = 22


def path_on_server(address: Address) -> str:
    """The path that a URL means: absolute, or below the home folder when it begins with `/~/`."""
    if address.path.startswith("/~/"):
        return address.path[3:]
    return address.path or "/"


class SftpServer:
    """One SSH connection with its SFTP channel."""

    sharing = Sharing.THREAD

    def __init__(self, address: Address) -> None:
        """Connect and log in; raises ServerError for what another attempt cannot mend, ConnectionError."""
        self._ssh = extra_module("paramiko", "a repository on an SFTP server")
        silence("paramiko")
        self._address, self._client = address, self._ssh.SSHClient()
        try:
            with self._told():
                _log_in(self._ssh, self._client, address)
                self._sftp = self._client.open_sftp()
                self._sftp.get_channel().settimeout(TIMEOUT)
        except BaseException:
            self._client.close()
            raise

    def fetch(self, path: str, most: int) -> bytes:
        """All bytes of a file, but no more than `most` + 1 of them."""
        with self._told(), self._sftp.open(path, "rb") as file:
            size = min(file.stat().st_size or 0, most + 1)
            _ask_quietly(file)
            file.prefetch(size)
            return bytes(file.read(size))

    def store(self, path: str, data: Data) -> None:
        """Write a file."""
        with self._told():
            self._write(path, data, "wb")

    def store_new(self, path: str, data: Data) -> bool:
        """Write a file that must not be there; False when it is."""
        with self._told():
            try:
                self._write(path, data, "wbx")
            except OSError:
                # This version of the protocol has one code for every failure, "it exists" among them.
                if self._stat(path) is None:
                    raise
                return False
            return True

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, in place of another's."""
        with self._told():
            try:
                self._sftp.posix_rename(old, new)
            except OSError as error:
                if "unsupported" not in str(error).lower():
                    raise
                self._replace(old, new)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none."""
        with self._told():
            found = self._stat(path)
            return None if found is None else int(found.st_size)

    def scan(self, path: str) -> list[Found]:
        """What is in a folder."""
        with self._told():
            try:
                listed = self._sftp.listdir_attr(path)
            except FileNotFoundError:
                return []
        return [_found(item) for item in listed if not stat.S_ISLNK(item.st_mode or 0)]

    glance = scan

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            self._sftp.remove(path)

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        with self._told():
            if not path or self._stat(path) is not None:
                return
            above = path.rpartition("/")[0]
            if above:
                self.make_folder(above)
            try:
                self._sftp.mkdir(path)
            except OSError:
                if self._stat(path) is None:  # else another run made it a moment ago
                    raise

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):
            self._client.close()

    def _write(self, path: str, data: Data, mode: str) -> None:
        with self._sftp.open(path, mode) as file:
            file.set_pipelined()
            file.write(data)

    def _replace(self, old: str, new: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._sftp.remove(new)
        self._sftp.rename(old, new)

    def _stat(self, path: str) -> Any:  # noqa: ANN401 - paramiko ships no types
        try:
            return self._sftp.stat(path)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Paramiko's errors as ours: what is lost is a ConnectionError, what is refused a ServerError."""
        ssh, place = self._ssh, str(self._address)
        try:
            yield
        except (FileNotFoundError, ConnectionError, TimeoutError, EOFError, ServerError):
            raise
        except ssh.BadHostKeyException as error:
            advice = "find out why before going on; if the server was set up anew, remove its line (ssh-keygen -R)"
            raise ServerError(place, "the server's key is not the one in ~/.ssh/known_hosts", advice) from error
        except ssh.PasswordRequiredException as error:
            raise ServerError(place, "the key is locked with a passphrase", "unlock it with ssh-add") from error
        except ssh.AuthenticationException as error:
            if any(word in str(error).lower() for word in ("shut down", "timeout")):  # lost while logging in
                raise ConnectionError(str(error)) from error
            raise ServerError(place, "the server did not let us in", _LOGIN_ADVICE) from error
        except (ssh.SSHException, ssh.SFTPError) as error:  # the second: what came is no message of the protocol
            raise _of_ssh(place, error) from error
        except OSError as error:
            raise _of_system(place, error) from error


_LOGIN_ADVICE = (
    "name the user in the URL, and give a key by ssh-agent, ~/.ssh/config or ~/.ssh, or VHDX_SFTP_PASSWORD in the "
    "environment"
)
_PASSING = {errno.EPIPE, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT}


def _ask_quietly(file: Any) -> None:  # noqa: ANN401 - paramiko ships no types
    """Let the thread that asks ahead end in silence: it has no handler, and a connection cut would print a traceback.

    Whoever reads is told of the same by the answer that does not come.
    """
    ask: Callable[..., None] = getattr(file, "_prefetch_thread", lambda *_: None)

    def asked(*arguments: object) -> None:
        with contextlib.suppress(Exception):
            ask(*arguments)

    file._prefetch_thread = asked  # noqa: SLF001 - there is no other way to it


def _of_ssh(place: str, error: Exception) -> Exception:
    if "not found in known_hosts" in str(error):
        advice = "connect once with ssh or sftp, compare the key's fingerprint with the server's, and answer yes"
        return ServerError(place, "the server is not in ~/.ssh/known_hosts, so it could be anyone", advice)
    return ConnectionError(str(error))


def _of_system(place: str, error: OSError) -> Exception:
    # paramiko says "Socket is closed" and the like with no number; a server's refusal is an IOError with its text.
    if (unknown := unresolved(place, error)) is not None:
        return unknown
    unable = type(error).__name__ == "NoValidConnectionsError"
    if unable or error.errno in _PASSING or "closed" in str(error).lower():
        return ConnectionError(str(error))
    reason = f"the server refused ({error.strerror or error})"
    return ServerError(place, reason, "check the path, the rights of the user and the room there")


def _log_in(ssh: Any, client: Any, address: Address) -> None:  # noqa: ANN401 - paramiko ships no types
    known = _settings(ssh, address)
    if "proxyjump" in known and "proxycommand" not in known:
        advice = "write it as ProxyCommand there (ssh -W %h:%p JUMPHOST)"
        raise ServerError(str(address), "~/.ssh/config says ProxyJump, which paramiko does not know", advice)
    for path in _known_hosts(known):
        client.load_system_host_keys(str(path))
    client.set_missing_host_key_policy(ssh.RejectPolicy())
    login: Login = login_of(address)
    keys = [name for name in known.get("identityfile", []) if Path(name).exists()]
    client.connect(
        known.get("hostname", address.host),
        port=address.port or int(known.get("port", _PORT)),
        username=login.user or known.get("user"),
        password=login.password,
        key_filename=keys or None,
        sock=ssh.ProxyCommand(known["proxycommand"]) if "proxycommand" in known else None,
        timeout=TIMEOUT,
        banner_timeout=TIMEOUT,
        auth_timeout=TIMEOUT,
    )


def _settings(ssh: Any, address: Address) -> dict[str, Any]:  # noqa: ANN401 - paramiko ships no types
    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    try:
        return dict(ssh.SSHConfig.from_path(str(path)).lookup(address.host))
    except ssh.ConfigParseError as error:
        raise ServerError(str(address), f"{path} cannot be read ({error})", "mend it") from error


def _known_hosts(known: dict[str, Any]) -> list[Path]:
    named = str(known.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()
    paths = [Path("/etc/ssh/ssh_known_hosts"), *(Path(name).expanduser() for name in named)]
    return [path for path in paths if path.is_file()]


def _found(item: Any) -> Found:  # noqa: ANN401 - paramiko ships no types
    return Found(item.filename, stat.S_ISDIR(item.st_mode or 0), item.st_size or 0, float(item.st_mtime or 0))
