"""From what somebody wrote to a place."""

import re
from functools import partial
from pathlib import Path

from analyzer.backup.storage.ftp import FtpServer
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.object_store import SCHEMES, FsspecServer
from analyzer.backup.storage.remote_folder import FolderPlace, Place, RetryPolicy, Session
from analyzer.backup.storage.server import Server
from analyzer.backup.storage.sftp import SftpServer
from analyzer.backup.storage.smb import SmbServer
from analyzer.backup.storage.storage import AddressError, parse_address
from vhdx.system import files

_KINDS: dict[str, type[Server]] = {"sftp": SftpServer, "ssh": SftpServer, "ftp": FtpServer, "ftps": FtpServer}
_KINDS |= {"smb": SmbServer} | dict.fromkeys(SCHEMES, FsspecServer)
# What was meant as a URL, or as `scp` has it; a drive of Windows has one letter.
_LIKE_URL = re.compile(rf"[^/\\]{{2,}}:/.*|(?:{'|'.join((*_KINDS, 'file'))}):.*", re.IGNORECASE | re.DOTALL)
_WHERE = f"repositories are in folders, or at {', '.join(f'{scheme}://' for scheme in _KINDS)}"


def place_of(text: str, policy: RetryPolicy | None = None) -> Place:
    """The place that a folder or URL names; a server is called when it is first used.

    Raises AddressError for a URL that names none, or has a password in it, and for what only looks like a URL.
    """
    if not text:
        raise AddressError("REPOSITORY", "the name is empty", _WHERE)
    if "://" not in text:  # a folder on a drive of Windows too
        if _LIKE_URL.fullmatch(text):
            advice = f"a URL has two slashes behind its colon; for a folder of this name write ./{text}"
            raise AddressError(text, "this looks like a URL, and is none", advice)
        return LocalPlace(Path(text))
    address = parse_address(text)
    if address.scheme == "file":
        return LocalPlace(files.path_of_url(address.path))
    kind = _KINDS.get(address.scheme)
    if kind is None:
        raise AddressError(str(address), f"no repository can be at {address.scheme}://", _WHERE)
    if not address.host:
        advice = "write it as scheme://host/path or s3://bucket/path"
        raise AddressError(str(address), "the URL names no host, or no bucket", advice)
    session = Session(str(address), partial(kind, address), policy or RetryPolicy())
    return FolderPlace(str(address), kind.path_of(address), session)
