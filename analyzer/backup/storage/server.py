"""One connection to a server: what each kind of server must do, and what is the same for all of them."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from analyzer.backup.errors import BackupError
from analyzer.backup.storage.storage import Address, Data, Entry, ServerError, unresolved

_UNDERSTOOD = (FileNotFoundError, FileExistsError, ConnectionError, TimeoutError, EOFError, BackupError)


class Server(ABC):
    """One connection. Paths are those of the server.

    Every call raises FileNotFoundError where nothing is, ConnectionError, EOFError or TimeoutError where another
    attempt may succeed, and ServerError for the rest.
    """

    is_pool = False
    """All threads may use it, and after a loss too. Any other is of the thread that made it, until it is lost."""
    is_atomic = False
    """A file is there with all its bytes or not at all. Any other server shows files that are half written."""
    advice = "check the path, the rights of the user and the room there"
    login_advice: str

    def __init__(self, address: Address) -> None:
        """Connect and log in; raises AddressError and MissingExtraError too."""
        self._address = address
        try:
            with self._errors():
                self._connect()
        except BaseException:
            self.close()
            raise

    @staticmethod
    @abstractmethod
    def path_of(address: Address) -> str:
        """The path on the server that a URL means."""

    @abstractmethod
    def close(self) -> None:
        """Leave, without complaint where the server has gone."""

    def fetch(self, path: str, most: int) -> bytes:
        """All bytes of a file; raises ServerError where they are more than `most`."""
        with self._errors():
            data = self._fetch(path, most)
        if len(data) > most:
            raise self._too_long(path, most)
        return data

    def store(self, path: str, data: Data) -> None:
        """Write a file; it may be left half written."""
        try:
            with self._errors():
                self._store(path, data)
        except FileNotFoundError as error:
            raise self._not_taken(error) from error

    def store_new(self, path: str, data: Data) -> bool:
        """Write a file that must not be there; False when it is. It may be left half written."""
        try:
            with self._errors():
                self._store_new(path, data)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise self._not_taken(error) from error
        return True

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, in place of another's."""
        with self._errors():
            self._rename(old, new)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            with self._errors():
                return self._size(path)
        except FileNotFoundError:
            return None

    def scan(self, path: str) -> list[Entry]:
        """What is in a folder, or all that is below it, by path; nothing where there is none."""
        try:
            with self._errors():
                return self._scan(path)
        except FileNotFoundError:
            return []

    def glance(self, path: str) -> list[Entry]:
        """A few of what `scan` gives, at least one where there is anything; all where that is as quick."""
        return self.scan(path)

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError), self._errors():
            self._remove(path)

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it; nothing happens where it is already."""
        with self._errors():
            if self._is_folder(path):
                return
            self.make_folder(path.rpartition("/")[0])
            try:
                self._make_folder(path)
            except Exception as error:
                if not self._is_folder(path):  # else another run made it a moment ago
                    raise self._refusal(f"the server makes no folder {path} ({error})") from error

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """The errors of the library below as ours."""
        try:
            yield
        except _UNDERSTOOD:
            raise
        except Exception as error:
            ours = unresolved(str(self._address), error) or self._translated(error)
            if ours is error:
                raise
            raise ours from error

    def _refusal(self, reason: str, advice: str | None = None) -> ServerError:
        return ServerError(str(self._address), reason, advice or self.advice)

    def _login_refusal(self) -> ServerError:
        return self._refusal("the server did not let us in", self.login_advice)

    def _not_taken(self, error: FileNotFoundError) -> ServerError:
        """Why a file could not be written where something above it is absent."""
        return self._refusal(f"the server did not take a file ({error})")

    def _too_long(self, path: str, most: int) -> ServerError:
        reason = f"the server gives over {most} bytes for {path}, which no object of a repository has"
        return self._refusal(reason, "look at what is there, and whether this is the right server")

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _translated(self, error: Exception) -> Exception:
        """The error of ours for one of the library's; the error itself where it is not the library's."""

    @abstractmethod
    def _fetch(self, path: str, most: int) -> bytes:
        """All bytes of a file, but no more than `most` + 1 of them."""

    @abstractmethod
    def _store(self, path: str, data: Data) -> None: ...

    @abstractmethod
    def _store_new(self, path: str, data: Data) -> None:
        """Write a file; raises FileExistsError where there is one."""

    @abstractmethod
    def _rename(self, old: str, new: str) -> None: ...

    @abstractmethod
    def _size(self, path: str) -> int | None: ...

    @abstractmethod
    def _scan(self, path: str) -> list[Entry]: ...

    @abstractmethod
    def _remove(self, path: str) -> None: ...

    @abstractmethod
    def _is_folder(self, path: str) -> bool: ...

    @abstractmethod
    def _make_folder(self, path: str) -> None: ...
