"""S3, and other stores that fsspec knows, where an object comes in whole."""

import contextlib
import posixpath
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from analyzer.backup.storage.errors import AddressError, ServerError, extra_module, silence, unresolved
from analyzer.backup.storage.remote_folder import Found
from analyzer.backup.storage.session import Sharing
from analyzer.backup.storage.storage import Data
from analyzer.backup.storage.url import Address

_TIMEOUT = 30
_A_FEW = 8
SCHEMES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Kinds of store where an object is there with all its bytes or not at all. Others that fsspec knows only read."""
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


def path_on_server(address: Address) -> str:
    """The path that a URL means, with the bucket in front."""
    return f"{address.host}{address.path}"


class FsspecServer:
    """One file system of fsspec, with none of its caches."""

    sharing = Sharing.ALL

    def __init__(self, address: Address) -> None:
        """Make the file system; raises AddressError where fsspec knows no such kind, MissingExtraError, ServerError."""
        fsspec = extra_module("fsspec", f"a repository at {address.scheme}://")
        silence("fsspec", "s3fs", "botocore", "aiobotocore", "asyncio")
        self._address = address
        self._system = _system(fsspec, address)

    def fetch(self, path: str, most: int) -> bytes:
        """All bytes of an object, but no more than `most` + 1 of them."""
        with self._told():
            return bytes(self._system.cat_file(path)[: most + 1])

    def store(self, path: str, data: Data) -> None:
        """Write an object."""
        with self._told(), self._bucket_told():
            self._system.pipe_file(path, data)

    def store_new(self, path: str, data: Data) -> bool:
        """Write an object that must not be there; False when it is. Not every store can do both in one step."""
        with self._told(), self._bucket_told():
            if self._system.exists(path):
                return False
            try:
                self._system.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            return True

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, in place of another's."""
        with self._told():
            self._system.mv(old, new)

    def size(self, path: str) -> int | None:
        """Bytes of an object; None where there is none."""
        with self._told():
            try:
                found = self._system.info(path)
            except FileNotFoundError:
                return None
        return int(found["size"] or 0) if found.get("type") == "file" else None

    def scan(self, path: str) -> list[Found]:
        """All objects below a folder, at any depth, by their paths within it: stores list so, and quicker."""
        with self._told():
            try:
                below = self._system.find(path, detail=True)
            except FileNotFoundError:
                return []
        root = self._system._strip_protocol(path)  # noqa: SLF001 - how fsspec writes the paths that it gives
        return [_found(posixpath.relpath(name, root), facts) for name, facts in below.items()]

    def glance(self, path: str) -> list[Found]:
        """The first objects below a folder, where the store is S3: a bucket may hold millions."""
        if not hasattr(self._system, "call_s3"):
            return self.scan(path)
        bucket, key, _ = self._system.split_path(path)
        below = f"{key}/" if key else ""
        with self._told():
            try:
                page = self._system.call_s3("list_objects_v2", Bucket=bucket, Prefix=below, MaxKeys=_A_FEW)
            except FileNotFoundError:
                return []
        objects = [(facts["Key"].removeprefix(below), facts) for facts in page.get("Contents", ())]
        return [_found(name, facts | {"size": facts["Size"]}) for name, facts in objects if name]  # "": a folder's mark

    def remove(self, path: str) -> None:
        """Remove an object."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(path)

    def make_folder(self, path: str) -> None:
        """Stores have no folders."""

    def close(self) -> None:
        """Leave."""
        close = getattr(self._system, "close_session", None)
        client = getattr(self._system, "_s3", None)
        if close is not None and client is not None:
            with contextlib.suppress(Exception):
                close(self._system.loop, client)

    @contextlib.contextmanager
    def _bucket_told(self) -> Iterator[None]:
        """What is absent for an object that is written is the bucket."""
        try:
            yield
        except FileNotFoundError as error:
            told = f"there is no bucket {self._address.host}"
            raise ServerError(str(self._address), told, "make it, or check its name and the provider's URL") from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The errors of the libraries below as ours."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, ConnectionError, TimeoutError, EOFError, ServerError):
            raise
        except PermissionError as error:
            raise ServerError(str(self._address), f"the server did not let us ({error})", _LOGIN_ADVICE) from error
        except Exception as error:
            if not isinstance(error, (OSError, *_classes("botocore.exceptions", *_ALL), *_classes("aiohttp", *_LOST))):
                raise
            raise self._of_library(error) from error

    def _of_library(self, error: Exception) -> Exception:
        if isinstance(error, _classes("botocore.exceptions", "NoCredentialsError", "PartialCredentialsError")):
            return ServerError(str(self._address), "no credentials were found", _LOGIN_ADVICE)
        if (unknown := unresolved(str(self._address), error)) is not None:
            return unknown
        lost = (*_classes("botocore.exceptions", *_LOST), *_classes("aiohttp", *_LOST))
        if isinstance(error, lost) or getattr(error, "errno", None) is not None:
            return ConnectionError(str(error))
        return ServerError(str(self._address), f"the server refused ({error})", _ADVICE)


_ALL = ("BotoCoreError",)
_LOST = ("HTTPClientError", "ConnectionError", "IncompleteReadError", "ReadTimeoutError", "ClientError")
"""Errors of botocore and aiohttp, which are loaded for S3 alone, by name; another attempt may mend these."""
_ADVICE = "check that the bucket or folder is there, and the rights of the user"
_LOGIN_ADVICE = (
    "give credentials as for the provider's own tools: for S3 in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in "
    "~/.aws/credentials and AWS_PROFILE"
)


def _system(fsspec: Any, address: Address) -> Any:  # noqa: ANN401 - fsspec ships no types
    try:
        kind = fsspec.get_filesystem_class(address.scheme)
    except ValueError as error:
        raise AddressError(
            str(address), f"this fsspec knows no {address.scheme}://", "install another version of it"
        ) from error
    except ImportError as error:
        raise AddressError(str(address), f"a library is missing ({error})", "install it") from error
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if address.scheme in {"s3", "s3a"}:
        config = {"connect_timeout": _TIMEOUT, "read_timeout": _TIMEOUT, "retries": {"max_attempts": 0}}
        system = kind(anon=False, config_kwargs=config, **options)
        system.retries = 1  # its own are without end where a server is gone; ours are bounded
        return system
    return kind(**options)


def _classes(module: str, *names: str) -> tuple[type[Exception], ...]:
    """Errors of a library that may not be loaded: where it is not, it raised none."""
    loaded = sys.modules.get(module)
    return tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))


def _found(name: str, facts: dict[str, Any]) -> Found:
    return Found(name, is_folder=False, size=int(facts.get("size") or 0), modified=_modified(facts))


def _modified(facts: dict[str, Any]) -> float:
    for key in _TIMES:
        value = facts.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
