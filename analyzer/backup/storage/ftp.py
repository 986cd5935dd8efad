"""FTP and FTP over TLS, by the standard library."""

import calendar
import contextlib
import ftplib
import io
import re
import ssl
import time
from collections.abc import Iterator

from analyzer.backup.storage.errors import ServerError, unresolved
from analyzer.backup.storage.remote_folder import Found
from analyzer.backup.storage.session import Sharing
from analyzer.backup.storage.storage import Data
from analyzer.backup.storage.url import Address, login_of

_TIMEOUT = 30.0
_PORT = 21
_UNKNOWN_COMMAND = ("500", "502", "504")
_NOT_THERE = "550"
_WRONG_LOGIN = "530"
_UNIX_LINE = re.compile(r"([-dl])\S{9,}\s+\d+\s+\S+\s+\S+\s+(\d+)\s+\S+\s+\S+\s+\S+\s(.+)")


def path_on_server(address: Address) -> str:
    """The path that a URL means: below the folder where the login leads, or absolute after two slashes."""
    return address.path.removeprefix("/")


class FtpServer:
    """One FTP connection."""

    sharing = Sharing.THREAD

    def __init__(self, address: Address) -> None:
        """Connect and log in; raises ServerError for what another attempt cannot mend, ConnectionError."""
        self._address = address
        # FTP in the clear is what was asked for; docs/backup-places.md says what that means.
        self._ftp = _over_tls() if address.scheme == "ftps" else ftplib.FTP(timeout=_TIMEOUT)  # noqa: S321
        self._ftp.encoding = "utf-8"
        try:
            with self._told():
                self._log_in(address)
        except BaseException:
            self._ftp.close()
            raise

    def _log_in(self, address: Address) -> None:
        login = login_of(address)
        self._ftp.connect(address.host, address.port or _PORT)
        self._ftp.login(login.user or "anonymous", login.password or "")
        if isinstance(self._ftp, ftplib.FTP_TLS):
            self._ftp.prot_p()
        self._ftp.voidcmd("TYPE I")

    def fetch(self, path: str, most: int) -> bytes:
        """All bytes of a file, but no more than `most` + 1 of them."""
        pieces, got = list[bytes](), 0

        def take(piece: bytes) -> None:
            nonlocal got
            got += len(piece)
            if got > most:
                reason = f"the server gives over {most} bytes for {path}, which no object of a repository has"
                raise ServerError(str(self._address), reason, "look whether this is the right server")
            pieces.append(piece)

        with self._told():
            self._ftp.retrbinary(f"RETR {path}", take, 1 << 16)
        return b"".join(pieces)

    def store(self, path: str, data: Data) -> None:
        """Write a file."""
        with self._told():
            try:
                self._ftp.storbinary(f"STOR {path}", io.BytesIO(data), 1 << 16)
            except FileNotFoundError as error:
                raise ServerError(str(self._address), f"the server did not take a file ({error})", _ADVICE) from error

    def store_new(self, path: str, data: Data) -> bool:
        """Write a file that must not be there; False when it is. FTP cannot do both in one step."""
        if self.size(path) is not None:
            return False
        self.store(path, data)
        return True

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, in place of another's."""
        with self._told():
            try:
                self._ftp.rename(old, new)
            except ftplib.error_perm:
                # Some servers do not replace. For the moment between the two steps the object is absent.
                if self.size(new) is None or self.size(old) is None:
                    raise
                self._ftp.delete(new)
                self._ftp.rename(old, new)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            with self._told():
                return self._ftp.size(path)
        except FileNotFoundError:
            return None

    def scan(self, path: str) -> list[Found]:
        """What is in a folder."""
        with self._told():
            try:
                return self._scan(path)
            finally:
                self._ftp.voidcmd("TYPE I")  # a listing left us in ASCII mode, where servers refuse SIZE

    glance = scan

    def remove(self, path: str) -> None:
        """Remove a file."""
        with contextlib.suppress(FileNotFoundError), self._told():
            self._ftp.delete(path)
        if self.size(path) is not None:  # 550 is said of what is absent and of what may not be removed
            raise ServerError(str(self._address), f"the server keeps {path}", _ADVICE)

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        if not path or path == "/":
            return
        above = path.rpartition("/")[0]
        if above and not self._is_folder(above):
            self.make_folder(above)
        try:
            with self._told():
                self._ftp.mkd(path)
        except (FileNotFoundError, ServerError):
            if not self._is_folder(path):
                raise ServerError(str(self._address), f"the server makes no folder {path}", _ADVICE) from None

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(OSError):
            self._ftp.close()

    def _is_folder(self, path: str) -> bool:
        if not path:
            return True
        with self._told():
            here = self._ftp.pwd()
            try:
                self._ftp.cwd(path)
            except ftplib.error_perm:
                return False
            self._ftp.cwd(here)
            return True

    def _scan(self, path: str) -> list[Found]:
        try:
            return [_of_facts(name, facts) for name, facts in self._ftp.mlsd(path or ".")]
        except ftplib.error_perm as error:
            if not self._is_folder(path):  # servers say 501, 550 and other numbers
                return []
            if not str(error).startswith(_UNKNOWN_COMMAND):
                raise
        return self._scan_lines(path)

    def _scan_lines(self, path: str) -> list[Found]:
        """A folder as servers without MLSD tell it, in the lines of `ls -l`; times are asked for one by one."""
        lines: list[str] = []
        self._ftp.dir(*([path] if path else []), lines.append)
        found = []
        for line in lines:
            if match := _UNIX_LINE.fullmatch(line.rstrip("\r\n")):
                kind, size, name = match.groups()
                seconds = self._modified(f"{path}/{name}" if path else name) if kind == "-" else 0.0
                found.append(Found(name if kind != "l" else "", kind == "d", int(size), seconds))
        return found

    def _modified(self, path: str) -> float:
        try:
            return _seconds(self._ftp.voidcmd(f"MDTM {path}").partition(" ")[2])
        except ftplib.error_perm:
            return 0.0

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The errors of ftplib as ours."""
        try:
            yield
        except ftplib.error_temp as error:  # 4xx: "try again", 421 "closing", 426 "transfer aborted"
            raise ConnectionError(str(error)) from error
        except ftplib.error_perm as error:
            if str(error).startswith(_NOT_THERE):
                raise FileNotFoundError(str(error)) from error
            raise self._refused(error) from error
        except (ftplib.error_proto, ftplib.error_reply) as error:
            raise ConnectionError(f"an answer out of turn: {error}") from error
        except ssl.SSLCertVerificationError as error:
            advice = "have the system trust the certificate, or name its authority's file in SSL_CERT_FILE"
            raise ServerError(str(self._address), f"its certificate is not trusted ({error.reason})", advice) from error
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise unresolved(str(self._address), error) or ConnectionError(str(error)) from error

    def _refused(self, error: Exception) -> ServerError:
        if str(error).startswith(_WRONG_LOGIN):
            advice = "name the user in the URL, and the password in ~/.netrc or VHDX_FTP_PASSWORD in the environment"
            return ServerError(str(self._address), "the server did not let us in", advice)
        return ServerError(str(self._address), f"the server refused ({error})", _ADVICE)


def _over_tls() -> ftplib.FTP_TLS:
    """Explicit TLS, for a server whose certificate the system trusts (SSL_CERT_FILE can say which)."""
    return ftplib.FTP_TLS(timeout=_TIMEOUT, context=ssl.create_default_context())  # noqa: S321 - FTP over TLS


_ADVICE = "check the path, the rights of the user and the room there"


def _of_facts(name: str, facts: dict[str, str]) -> Found:
    kind, size = facts.get("type", "").lower(), facts.get("size", "0")
    plain = name if kind in {"file", "dir"} else ""  # "cdir", "pdir", links and devices are none of ours
    seconds = _seconds(facts.get("modify", ""))
    return Found(plain, kind == "dir", int(size) if size.isdecimal() else 0, seconds)


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time as FTP tells it (YYYYMMDDHHMMSS, UTC); 0 when it is none."""
    try:
        return float(calendar.timegm(time.strptime(text.strip()[:14], "%Y%m%d%H%M%S")))
    except ValueError:
        return 0.0
