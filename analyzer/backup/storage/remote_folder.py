"""A repository on a server: SFTP, FTP, SMB, object stores."""

import secrets
from collections.abc import Iterator, Sequence

from analyzer.backup.errors import MissingObjectError
from analyzer.backup.storage.server import Found, Server
from analyzer.backup.storage.session import Session
from analyzer.backup.storage.storage import UNFINISHED, Data, Entry

UPLOADS = "tmp"
"""Where objects are while they come in. What an interrupted upload leaves there is nobody's, and `prune` removes it."""
MOST = 4 << 30
"""Bytes: no object of a repository is larger, so a server that says so is not believed."""
# A repository is two folders deep. Further down only links that lead in circles go on.
_DEEPEST = 4


class FolderPlace:
    """A folder on a server: an object comes in under a name of its own and is renamed when it is whole."""

    def __init__(self, url: str, root: str, session: Session) -> None:
        """`root` is the repository's path on the server."""
        self.url, self._root, self._session = url, root, session
        self._folders: set[str] = set()

    def read(self, name: str) -> bytes:
        """All bytes of an object; raises MissingObjectError, ServerError."""
        try:
            return self._session.call(lambda server: server.fetch(self._path(name), MOST))
        except FileNotFoundError:
            raise MissingObjectError(self.url, name) from None

    def write(self, name: str, data: Data) -> None:
        """Put an object in its place, whole or not at all; raises ServerError."""
        self._session.call(lambda server: self._put(server, name, data))

    def create(self, name: str, data: Data) -> bool:
        """Put an object where none is; False when there is one. Raises ServerError."""

        def put_new(server: Server) -> bool:
            self._make_folders(server, name)
            return server.store_new(self._path(name), data)

        if self._session.call(put_new):
            return True
        # An answer that was lost leaves open who made it: the object itself says, for its bytes are like no other's.
        try:
            return self.read(name) == data
        except MissingObjectError:
            return False

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where it is absent."""
        return self._session.call(lambda server: server.size(self._path(name)))

    def list(self, folder: str) -> Iterator[Entry]:
        """The objects below a folder; what has a name that no object could have is passed over."""
        yield from self._walk(folder, _DEEPEST)

    def unfinished(self) -> Iterator[Entry]:
        """Uploads that did not end, or have not yet."""
        for found in self._session.call(lambda server: server.scan(self._path(UPLOADS))):
            if is_plain(found.name) and not found.is_folder:
                yield Entry(f"{UPLOADS}/{found.name}", found.size, found.modified)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where it is absent."""
        self._session.call(lambda server: server.remove(self._path(name)))

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def glance(self) -> Entry | None:
        """One of the objects, for whoever asks whether there are any; raises ServerError."""
        some = self._session.call(lambda server: server.glance(self._path("")))
        known = next(self._objects("", some, _DEEPEST), None)
        return next(self.list(""), None) if some and known is None else known  # all of these may be passed over

    def _walk(self, folder: str, depth: int) -> Iterator[Entry]:
        yield from self._objects(folder, self._session.call(lambda server: server.scan(self._path(folder))), depth)

    def _objects(self, folder: str, listed: Sequence[Found], depth: int) -> Iterator[Entry]:
        for found in listed:
            if not all(is_plain(part) for part in found.name.split("/")) or found.name.endswith(UNFINISHED):
                continue
            name = f"{folder}/{found.name}" if folder else found.name
            if not found.is_folder:
                yield Entry(name, found.size, found.modified)
            elif depth:
                yield from self._walk(name, depth - 1)

    def _put(self, server: Server, name: str, data: Data) -> None:
        if server.is_atomic:
            server.store(self._path(name), data)
            return
        upload = f"{UPLOADS}/{secrets.token_hex(8)}{UNFINISHED}"
        self._make_folders(server, upload)
        self._make_folders(server, name)
        server.store(self._path(upload), data)
        if server.size(self._path(upload)) != len(data):
            raise ConnectionError("the server kept fewer bytes than it was sent")
        server.rename(self._path(upload), self._path(name))

    def _make_folders(self, server: Server, name: str) -> None:
        folders = name.split("/")[:-1]
        paths = [self._path("/".join(folders[:count])) for count in range(len(folders) + 1)]
        for path in paths:
            if path not in self._folders:
                server.make_folder(path)
                self._folders.add(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name and self._root else name or self._root


def is_plain(name: str) -> bool:
    """Whether a name out of a listing is one step down and nothing else: no server leads out of the repository."""
    return name not in {"", ".", ".."} and name.isascii() and name.isprintable() and not set(name) & set("/\\:")
