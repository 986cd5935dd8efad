"""From what somebody wrote to a place."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from analyzer.backup.place import LocalPlace, Place
from analyzer.backup.places import cloud, ftp, sftp, smb
from analyzer.backup.places.address import Address, is_url, parse_address
from analyzer.backup.places.failures import AddressError
from analyzer.backup.places.folders import FolderPlace, FolderServer, Upload
from analyzer.backup.places.session import Patience, Session

_KINDS: dict[str, tuple[Callable[[Address], FolderServer], Callable[[Address], str]]] = {
    "sftp": (sftp.SftpServer, sftp.path_on_server),
    "ssh": (sftp.SftpServer, sftp.path_on_server),
    "ftp": (ftp.FtpServer, ftp.path_on_server),
    "ftps": (ftp.FtpServer, ftp.path_on_server),
    "smb": (smb.SmbServer, smb.path_on_server),
}


def place_of(text: str, patience: Patience | None = None) -> Place:
    """The place that a folder or URL names; a server is called when it is first used.

    Raises AddressError for a URL that names none, or has a password in it.
    """
    if not is_url(text):
        return LocalPlace(Path(text))
    address = parse_address(text)
    if address.scheme == "file":
        return LocalPlace(Path(address.path))
    connect, path_of = _KINDS.get(address.scheme, (cloud.FsspecServer, cloud.path_on_server))
    if not address.host:
        raise AddressError(str(address), "the URL names no host", "write it as scheme://host/path")
    upload = Upload.RENAMED if address.scheme in _KINDS else cloud.upload_of(address)
    session = Session(str(address), partial(connect, address), patience or Patience())
    return FolderPlace(str(address), path_of(address), session, upload)
