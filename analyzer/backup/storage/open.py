"""From what somebody wrote to a place."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from analyzer.backup.storage import ftp, sftp, smb
from analyzer.backup.storage import object_store as cloud
from analyzer.backup.storage.errors import AddressError
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.remote_folder import FolderPlace, FolderServer, Upload
from analyzer.backup.storage.session import Patience, Session
from analyzer.backup.storage.storage import Place
from analyzer.backup.storage.url import Address, is_url, parse_address

_KINDS: dict[str, tuple[Callable[[Address], FolderServer], Callable[[Address], str]]] = {
    "sftp": (sftp.SftpServer, sftp.path_on_server),
    "ssh": (sftp.SftpServer, sftp.path_on_server),
    "ftp": (ftp.FtpServer, ftp.path_on_server),
    "ftps": (ftp.FtpServer, ftp.path_on_server),
    "smb": (smb.SmbServer, smb.path_on_server),
}


_LIKE_URL = re.compile(r"[^/\\]{2,}:/.*|(?:sftp|ssh|ftps?|smb|s3|gs|abfs|file):.*", re.IGNORECASE | re.DOTALL)
"""What was meant as a URL, or as `scp` has it; a drive of Windows has one letter."""
_WHERE = "repositories are in folders, or at sftp://, ftp://, ftps://, smb://, s3://, gs:// or abfs://"


def place_of(text: str, patience: Patience | None = None) -> Place:
    """The place that a folder or URL names; a server is called when it is first used.

    Raises AddressError for a URL that names none, or has a password in it, and for what only looks like a URL.
    """
    if not is_url(text):
        return LocalPlace(_folder(text))
    address = parse_address(text)
    if address.scheme == "file":
        return LocalPlace(Path(address.path))
    if address.scheme not in _KINDS and address.scheme not in cloud.SCHEMES:
        raise AddressError(str(address), f"no repository can be at {address.scheme}://", _WHERE)
    connect, path_of = _KINDS.get(address.scheme, (cloud.FsspecServer, cloud.path_on_server))
    if not address.host:
        raise AddressError(
            str(address), "the URL names no host, or no bucket", "write it as scheme://host/path or s3://bucket/path"
        )
    upload = Upload.RENAMED if address.scheme in _KINDS else Upload.WHOLE
    session = Session(str(address), partial(connect, address), patience or Patience())
    return FolderPlace(str(address), path_of(address), session, upload)


def _folder(text: str) -> Path:
    if not text:
        raise AddressError("REPOSITORY", "the name is empty", _WHERE)
    if _LIKE_URL.fullmatch(text):
        advice = f"a URL has two slashes behind its colon; for a folder of this name write ./{text}"
        raise AddressError(text, "this looks like a URL, and is none", advice)
    return Path(text)
