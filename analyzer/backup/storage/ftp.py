"""FTP and FTP over TLS, by the standard library."""

import calendar
import contextlib
import ftplib
import io
import re
import ssl
import time

from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import Address, Data, Entry, login_of

_TIMEOUT = 30.0
# What servers answer that have no MLSD: RFC 959 leaves the choice, and LIST is read instead.
_UNKNOWN_COMMAND = ("500", "502", "504")
_NOT_THERE = "550"
_WRONG_LOGIN = "530"
# The form of `ls -l`, which RFC 959 does not promise and nearly all servers print.
_UNIX_LINE = re.compile(r"([-dl])\S{9,}\s+\d+\s+\S+\s+\S+\s+(\d+)\s+\S+\s+\S+\s+\S+\s(.+)")


class FtpServer(Server):
    """One FTP connection."""

    login_advice = "name the user in the URL, and the password in ~/.netrc or VHDX_FTP_PASSWORD in the environment"

    @staticmethod
    def path_of(address: Address) -> str:
        """Below the folder where the login leads, or absolute after two slashes."""
        return address.path.removeprefix("/")

    def close(self) -> None:
        """See Server."""
        with contextlib.suppress(OSError):
            self._ftp.close()

    def _connect(self) -> None:
        address = self._address
        # FTP in the clear is what was asked for; docs/backup-places.md says what that means. With TLS, the server's
        # certificate must be one that the system trusts (SSL_CERT_FILE can say which).
        self._ftp = ftplib.FTP(timeout=_TIMEOUT)  # noqa: S321
        if address.scheme == "ftps":
            self._ftp = ftplib.FTP_TLS(timeout=_TIMEOUT, context=ssl.create_default_context())  # noqa: S321
        self._ftp.encoding = "utf-8"
        login = login_of(address)
        self._ftp.connect(address.host, address.port or 21)
        self._ftp.login(login.user or "anonymous", login.password or "")
        if isinstance(self._ftp, ftplib.FTP_TLS):
            self._ftp.prot_p()
        self._ftp.voidcmd("TYPE I")

    def _fetch(self, path: str, most: int) -> bytes:
        data = bytearray()

        def take(piece: bytes) -> None:
            data.extend(piece)
            if len(data) > most:
                raise self._too_long(path, most)

        self._ftp.retrbinary(f"RETR {path}", take, 1 << 16)
        return bytes(data)

    def _store(self, path: str, data: Data) -> None:
        self._ftp.storbinary(f"STOR {path}", io.BytesIO(data), 1 << 16)

    def _store_new(self, path: str, data: Data) -> None:
        if self.size(path) is not None:  # FTP cannot look and write in one step
            raise FileExistsError(path)
        self._store(path, data)

    def _rename(self, old: str, new: str) -> None:
        try:
            self._ftp.rename(old, new)
        except ftplib.error_perm:
            # Some servers do not replace. For the moment between the two steps the object is absent.
            if self.size(new) is None or self.size(old) is None:
                raise
            self._ftp.delete(new)
            self._ftp.rename(old, new)

    def _size(self, path: str) -> int | None:
        return self._ftp.size(path)

    def _scan(self, path: str) -> list[Entry]:
        try:
            return self._listed(path)
        finally:
            self._ftp.voidcmd("TYPE I")  # a listing left us in ASCII mode, where servers refuse SIZE

    def _listed(self, path: str) -> list[Entry]:
        try:
            return [_of_facts(name, facts) for name, facts in self._ftp.mlsd(path or ".")]
        except ftplib.error_perm as error:
            if not self._is_folder(path):  # servers say 501, 550 and other numbers
                return []
            if not str(error).startswith(_UNKNOWN_COMMAND):
                raise
        return self._listed_by_lines(path)

    def _listed_by_lines(self, path: str) -> list[Entry]:
        """A folder as servers without MLSD list it, in the lines of `ls -l`; times are asked for one by one."""
        lines: list[str] = []
        self._ftp.dir(*([path] if path else []), lines.append)
        found = []
        for line in lines:
            if match := _UNIX_LINE.fullmatch(line.rstrip("\r\n")):
                kind, size, name = match.groups()
                seconds = self._modified(f"{path}/{name}" if path else name) if kind == "-" else 0.0
                found.append(Entry(name if kind != "l" else "", int(size), seconds, kind == "d"))
        return found

    def _modified(self, path: str) -> float:
        try:
            return _seconds(self._ftp.voidcmd(f"MDTM {path}").partition(" ")[2])
        except ftplib.error_perm:
            return 0.0

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._errors():
            self._ftp.delete(path)
        if self.size(path) is not None:  # 550 is said of what is absent and of what may not be removed
            raise self._refusal(f"the server keeps {path}")

    def _is_folder(self, path: str) -> bool:
        if not path:
            return True
        here = self._ftp.pwd()
        try:
            self._ftp.cwd(path)
        except ftplib.error_perm:
            return False
        self._ftp.cwd(here)
        return True

    def _make_folder(self, path: str) -> None:
        self._ftp.mkd(path)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, ftplib.error_perm):
            if str(error).startswith(_NOT_THERE):
                return FileNotFoundError(str(error))
            wrong_login = str(error).startswith(_WRONG_LOGIN)
            return self._login_refusal() if wrong_login else self._refusal(f"the server refused ({error})")
        if isinstance(error, ftplib.error_proto | ftplib.error_reply):
            return ConnectionError(f"an answer out of turn: {error}")
        if isinstance(error, ssl.SSLCertVerificationError):
            advice = "have the system trust the certificate, or name its authority's file in SSL_CERT_FILE"
            return self._refusal(f"its certificate is not trusted ({error.reason})", advice)
        # 4xx is "try again": 421 "closing", 426 "transfer aborted".
        return ConnectionError(str(error)) if isinstance(error, ftplib.error_temp | OSError) else error


def _of_facts(name: str, facts: dict[str, str]) -> Entry:
    kind, size = facts.get("type", "").lower(), facts.get("size", "0")
    plain = name if kind in {"file", "dir"} else ""  # "cdir", "pdir", links and devices are none of ours
    seconds = _seconds(facts.get("modify", ""))
    return Entry(plain, int(size) if size.isdecimal() else 0, seconds, kind == "dir")


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time as FTP gives it (YYYYMMDDHHMMSS, UTC); 0 when it is none."""
    try:
        return float(calendar.timegm(time.strptime(text.strip()[:14], "%Y%m%d%H%M%S")))
    except ValueError:
        return 0.0
