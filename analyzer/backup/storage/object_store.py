"""S3, and other stores that fsspec knows, where an object comes in whole."""

import contextlib
import posixpath
import sys
from datetime import datetime
from typing import Any

from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import Address, AddressError, Data, Entry, ServerError, extra_module, silence

_TIMEOUT = 30
# Enough to know that a bucket is not empty, without listing millions of objects for it.
_A_FEW = 8
SCHEMES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Kinds of store where an object is there with all its bytes or not at all. Others that fsspec knows only read."""
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
# Errors of botocore and aiohttp, which are loaded for S3 alone, by name; another attempt may mend these.
_LOST = ("HTTPClientError", "ConnectionError", "IncompleteReadError", "ReadTimeoutError", "ClientError")


class FsspecServer(Server):
    """One file system of fsspec, with none of its caches."""

    is_pool = is_atomic = True
    advice = "check that the bucket or folder is there, and the rights of the user"
    login_advice = (
        "give credentials as for the provider's own tools: for S3 in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "in ~/.aws/credentials and AWS_PROFILE"
    )

    @staticmethod
    def path_of(address: Address) -> str:
        """With the bucket in front."""
        return f"{address.host}{address.path}"

    def close(self) -> None:
        """See Server."""
        with contextlib.suppress(Exception):  # a file system with no session of its own has no client either
            self._system.close_session(self._system.loop, self._system._s3)  # noqa: SLF001 - what s3fs itself closes

    def _connect(self) -> None:
        """Make the file system; raises AddressError where fsspec knows no such kind."""
        url, scheme = str(self._address), self._address.scheme
        fsspec = extra_module("fsspec", f"a repository at {scheme}://")
        silence("fsspec", "s3fs", "botocore", "aiobotocore", "asyncio")
        try:
            kind = fsspec.get_filesystem_class(scheme)
        except ValueError as error:
            raise AddressError(url, f"this fsspec knows no {scheme}://", "install another version of it") from error
        except ImportError as error:
            raise AddressError(url, f"a library is missing ({error})", "install it") from error
        options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
        if scheme in {"s3", "s3a"}:
            config = {"connect_timeout": _TIMEOUT, "read_timeout": _TIMEOUT, "retries": {"max_attempts": 0}}
            options |= {"anon": False, "config_kwargs": config}
        self._system = kind(**options)
        if scheme in {"s3", "s3a"}:
            self._system.retries = 1  # its own are without end where a server is gone; ours are bounded

    def _fetch(self, path: str, most: int) -> bytes:
        return bytes(self._system.cat_file(path)[: most + 1])

    def _store(self, path: str, data: Data) -> None:
        self._system.pipe_file(path, data)

    def _store_new(self, path: str, data: Data) -> None:
        if self._system.exists(path):  # not every store can look and write in one step
            raise FileExistsError(path)
        self._system.pipe_file(path, data, mode="create")

    def _rename(self, old: str, new: str) -> None:
        self._system.mv(old, new)

    def _size(self, path: str) -> int | None:
        found = self._system.info(path)
        return int(found["size"] or 0) if found.get("type") == "file" else None

    def _scan(self, path: str) -> list[Entry]:
        """All objects below a folder, at any depth, by their paths within it: stores list so, and quicker."""
        below = self._system.find(path, detail=True)
        root = self._system._strip_protocol(path)  # noqa: SLF001 - how fsspec writes the paths that it gives
        return [_found(posixpath.relpath(name, root), facts) for name, facts in below.items()]

    def glance(self, path: str) -> list[Entry]:
        """The first objects below a folder, where the store is S3: a bucket may hold millions."""
        if not hasattr(self._system, "call_s3"):
            return self.scan(path)
        bucket, key, _ = self._system.split_path(path)
        below = f"{key}/" if key else ""
        try:
            with self._errors():
                page = self._system.call_s3("list_objects_v2", Bucket=bucket, Prefix=below, MaxKeys=_A_FEW)
        except FileNotFoundError:
            return []
        objects = [(facts["Key"].removeprefix(below), facts) for facts in page.get("Contents", ())]
        return [_found(name, facts | {"size": facts["Size"]}) for name, facts in objects if name]  # "": a folder's mark

    def _remove(self, path: str) -> None:
        self._system.rm_file(path)

    def _is_folder(self, path: str) -> bool:  # noqa: ARG002 - see Server
        return True  # stores have none, so that none has to be made

    def _make_folder(self, path: str) -> None:
        """Nothing is made: see `_is_folder`."""

    def _not_taken(self, error: FileNotFoundError) -> ServerError:  # noqa: ARG002 - see Server
        """What is absent for an object that is written is the bucket."""
        advice = "make it, or check its name and the provider's URL"
        return self._refusal(f"there is no bucket {self._address.host}", advice)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, PermissionError):
            return self._refusal(f"the server did not let us ({error})", self.login_advice)
        if isinstance(error, _classes("botocore.exceptions", "NoCredentialsError", "PartialCredentialsError")):
            return self._refusal("no credentials were found", self.login_advice)
        lost = (*_classes("botocore.exceptions", *_LOST), *_classes("aiohttp", *_LOST))
        if isinstance(error, lost) or (isinstance(error, OSError) and error.errno is not None):
            return ConnectionError(str(error))
        if isinstance(error, (OSError, *_classes("botocore.exceptions", "BotoCoreError"))):
            return self._refusal(f"the server refused ({error})")
        return error


def _classes(module: str, *names: str) -> tuple[type[Exception], ...]:
    """Errors of a library that may not be loaded: where it is not, it raised none."""
    loaded = sys.modules.get(module)
    return tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))


def _found(name: str, facts: dict[str, Any]) -> Entry:
    times = (facts.get(key) for key in _TIMES)
    seconds = (time.timestamp() if isinstance(time, datetime) else time for time in times)
    modified = next((float(each) for each in seconds if isinstance(each, int | float)), 0.0)
    return Entry(name, int(facts.get("size") or 0), modified)
