"""SFTP, by paramiko: keys, agent, `~/.ssh/config` and `~/.ssh/known_hosts` as OpenSSH's own client has them."""

import contextlib
import errno
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import Address, Data, Entry, ServerError, extra_module, login_of, silence

TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as lost."""
_ANSWER = 32768  # bytes of one answer of a server
_PASSING = {errno.EPIPE, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT}
# What is said where there is nothing to log in with, or no more than a file that is no key: no connection is lost.
_NO_KEY = ("no authentication methods", "not a valid", "not a recognised private key")


class SftpServer(Server):
    """One SSH connection with its SFTP channel."""

    login_advice = (
        "name the user in the URL, and give a key by ssh-agent, ~/.ssh/config or ~/.ssh, or VHDX_SFTP_PASSWORD in the "
        "environment"
    )

    @staticmethod
    def path_of(address: Address) -> str:
        """Absolute, or below the home folder when it begins with `/~/`."""
        if address.path.startswith("/~/"):
            return address.path[3:]
        return address.path or "/"

    def close(self) -> None:
        """See Server."""
        with contextlib.suppress(Exception):
            self._client.close()

    def _connect(self) -> None:
        self._ssh = extra_module("paramiko", "a repository on an SFTP server")
        silence("paramiko")
        self._client = self._ssh.SSHClient()
        _log_in(self._ssh, self._client, self._address)
        self._sftp = self._client.open_sftp()
        self._sftp.get_channel().settimeout(TIMEOUT)

    def _fetch(self, path: str, most: int) -> bytes:
        with self._sftp.open(path, "rb") as file:
            size = min(file.stat().st_size or 0, most + 1)
            _ask_quietly(file)
            file.prefetch(size)
            return b"".join(_pieces(file, size))

    def _store(self, path: str, data: Data) -> None:
        self._write(path, data, "wb")

    def _store_new(self, path: str, data: Data) -> None:
        try:
            self._write(path, data, "wbx")
        except OSError as error:
            # This version of the protocol has one code for every failure, "it exists" among them.
            if self.size(path) is None:
                raise
            raise FileExistsError(path) from error

    def _write(self, path: str, data: Data, mode: str) -> None:
        with self._sftp.open(path, mode) as file:
            file.set_pipelined()
            file.write(data)

    def _rename(self, old: str, new: str) -> None:
        try:
            self._sftp.posix_rename(old, new)
        except OSError as error:
            if "unsupported" not in str(error).lower():
                raise
            self.remove(new)
            self._sftp.rename(old, new)

    def _size(self, path: str) -> int:
        return int(self._sftp.stat(path).st_size)

    def _scan(self, path: str) -> list[Entry]:
        return [
            Entry(item.filename, item.st_size or 0, float(item.st_mtime or 0), stat.S_ISDIR(item.st_mode or 0))
            for item in self._sftp.listdir_attr(path)
            if not stat.S_ISLNK(item.st_mode or 0)
        ]

    def _remove(self, path: str) -> None:
        self._sftp.remove(path)

    def _is_folder(self, path: str) -> bool:
        return not path or self.size(path) is not None

    def _make_folder(self, path: str) -> None:
        self._sftp.mkdir(path)

    def _translated(self, error: Exception) -> Exception:
        ssh = self._ssh
        if isinstance(error, ssh.BadHostKeyException):
            advice = "find out why before going on; if the server was set up anew, remove its line (ssh-keygen -R)"
            return self._refusal("the server's key is not the one in ~/.ssh/known_hosts", advice)
        if isinstance(error, ssh.PasswordRequiredException):
            return self._refusal("the key is locked with a passphrase", "unlock it with ssh-add")
        without_key = any(words in str(error).lower() for words in _NO_KEY)
        if isinstance(error, ssh.AuthenticationException) or without_key:
            lost = any(word in str(error).lower() for word in ("shut down", "timeout"))  # while logging in
            return ConnectionError(str(error)) if lost else self._login_refusal()
        if "not found in known_hosts" in str(error):
            advice = "connect once with ssh or sftp, compare the key's fingerprint with the server's, and answer yes"
            return self._refusal("the server is not in ~/.ssh/known_hosts, so it could be anyone", advice)
        if isinstance(error, ssh.SSHException | ssh.SFTPError):  # the second: what came is no message of the protocol
            return ConnectionError(str(error))
        return self._of_system(error) if isinstance(error, OSError) else error

    def _of_system(self, error: OSError) -> Exception:
        # paramiko says "Socket is closed" and the like with no number; a server's refusal is an IOError with its text.
        unable = type(error).__name__ == "NoValidConnectionsError"
        if unable or error.errno in _PASSING or "closed" in str(error).lower():
            return ConnectionError(str(error))
        return self._refusal(f"the server refused ({error.strerror or error})")


def _pieces(file: Any, size: int) -> Iterator[bytes]:  # noqa: ANN401 - paramiko ships no types
    """The next `size` bytes of a file, as they come; fewer where it ends."""
    # Asked for in one piece, all that has come is copied for each piece that comes: an index of 42 MB, of a disk of
    # 1 TiB, takes 20 seconds instead of one.
    while size and (piece := file.read(min(size, _ANSWER))):
        yield piece
        size -= len(piece)


def _ask_quietly(file: Any) -> None:  # noqa: ANN401 - paramiko ships no types
    """Let the thread that asks ahead end in silence: it has no handler, and a connection cut would print a traceback.

    Whoever reads learns the same from the answer that does not come.
    """
    ask: Callable[..., None] = getattr(file, "_prefetch_thread", lambda *_: None)

    def asked(*arguments: object) -> None:
        with contextlib.suppress(Exception):
            ask(*arguments)

    file._prefetch_thread = asked  # noqa: SLF001 - there is no other way to it


def _log_in(ssh: Any, client: Any, address: Address) -> None:  # noqa: ANN401 - paramiko ships no types
    known = _settings(ssh, address)
    if "proxyjump" in known and "proxycommand" not in known:
        advice = "write it as ProxyCommand there (ssh -W %h:%p JUMPHOST)"
        raise ServerError(str(address), "~/.ssh/config says ProxyJump, which paramiko does not know", advice)
    named = str(known.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()
    for path in (Path("/etc/ssh/ssh_known_hosts"), *(Path(name).expanduser() for name in named)):
        if path.is_file():
            client.load_system_host_keys(str(path))
    client.set_missing_host_key_policy(ssh.RejectPolicy())
    login = login_of(address)
    keys = [name for name in known.get("identityfile", []) if Path(name).exists()]
    client.connect(
        known.get("hostname", address.host),
        port=address.port or int(known.get("port", 22)),
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
