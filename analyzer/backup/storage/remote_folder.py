"""A repository on a server: SFTP, FTP, SMB, object stores; over a connection that is made anew when it is lost."""

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, TypeVar

from analyzer.backup.errors import MissingObjectError
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.server import Server
from analyzer.backup.storage.storage import UNFINISHED, Data, Entry, ServerError

Result = TypeVar("Result")
UPLOADS = "tmp"
"""Where objects are while they come in. What an interrupted upload leaves there is nobody's, and `prune` removes it."""
MOST = 4 << 30
"""Bytes: no object of a repository is larger, so a server that says so is not believed."""
# A repository is two folders deep. Further down only links that lead in circles go on.
_DEEPEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and the seconds between: `first`, twice that, and so on, but never over `longest`."""

    # Six attempts with doubled pauses span about half a minute: a server that restarts is back by then.
    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0

    def wait(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (0 is the first), up to half of it by chance."""
        # Many clients that lost the same server should not come back at the same moment.
        return min(self.first * 2.0**attempt, self.longest) * (0.5 + random.random() / 2)  # noqa: S311 - no secret


class WorkerThread:
    """A thread that makes one call after another, which no signal reaches: signals come to the main thread.

    It ends with the process, whatever it is waiting for.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="vhdx place", daemon=True)
        self.thread.start()

    def run(self, action: Callable[[], Result]) -> Result:
        """What `action` returns or raises. An interruption leaves it running: use another WorkerThread then."""
        call = Future[Result]()
        self._calls.put((action, call))
        while not call.done():
            # Never without an end: on Windows a wait without one is deaf to Ctrl-C.
            wait([call], timeout=1.0)
        return call.result()

    def end(self) -> None:
        """Let the thread end after its current call."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            action, result = call
            try:
                result.set_result(action())
            # SystemExit too: a library that raises it in this thread must not leave the main thread waiting for ever.
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was asked for
                result.set_exception(error)


class Session:
    """The connections to one place: one for each thread, or a pool that all share."""

    def __init__(self, place: str, connect: Callable[[], Server], policy: RetryPolicy) -> None:
        """`connect` makes a connection; nothing is connected yet."""
        self.place, self._connect, self._policy = place, connect, policy
        self._all, self._lock = dict[threading.Thread, Server](), threading.Lock()
        self._worker: WorkerThread | None = None

    def call(self, action: Callable[[Server], Result]) -> Result:
        """What `action` returns, on a new connection when one is lost; it may so run more than once.

        Raises ServerError when the place cannot be reached, and whatever else `action` raises.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._call(action)
        # A library that a signal interrupts in the middle of a message is of no more use, not even to say goodbye: it
        # waits for answers that were read half, and for its own locks. So the thread is forgotten with its connection:
        # test_an_interruption_leaves_the_call_alone_and_the_next_one_has_a_connection_of_its_own.
        worker = self._worker = self._worker or WorkerThread()
        try:
            return worker.run(lambda: self._call(action))
        except (KeyboardInterrupt, SystemExit):
            worker.end()
            self._worker = None
            with self._lock:
                self._all.pop(worker.thread, None)
            raise

    def _call(self, action: Callable[[Server], Result]) -> Result:
        for attempt in range(self._policy.attempts):
            try:
                return action(self._connection())
            # Only what a new connection can change. A wrong password or a missing bucket is raised at once.
            except (ConnectionError, EOFError, TimeoutError) as error:
                lost = error
                self._drop()
            if attempt + 1 < self._policy.attempts:
                time.sleep(self._policy.wait(attempt))
        reason = f"the connection failed {self._policy.attempts} times, at last with: {str(lost) or 'it was closed'}"
        raise ServerError(self.place, reason, "check the network and the server, and run again") from lost

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._all = self._all, {}
        for connection in connections.values():
            connection.close()
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _connection(self) -> Server:
        with self._lock:
            pool = next((connection for connection in self._all.values() if connection.is_pool), None)
            known = self._all.get(threading.current_thread(), pool)
        if known is None:
            known = self._connect()
            with self._lock:
                self._all[threading.current_thread()] = known
        return known

    def _drop(self) -> None:
        with self._lock:
            known = self._all.get(threading.current_thread())
            if known is None or known.is_pool:
                return
            del self._all[threading.current_thread()]
        known.close()


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
            self._make_folder(server, name)
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

    def list(self, folder: str, depth: int = _DEEPEST) -> Iterator[Entry]:
        """The objects below a folder; what has a name that no object could have is passed over."""
        yield from self._objects(folder, self._session.call(lambda server: server.scan(self._path(folder))), depth)

    def unfinished(self) -> Iterator[Entry]:
        """Uploads that did not end, or have not yet."""
        for found in self._session.call(lambda server: server.scan(self._path(UPLOADS))):
            if is_plain(found.name) and not found.is_folder:
                yield replace(found, name=f"{UPLOADS}/{found.name}")

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

    def _objects(self, folder: str, listed: Sequence[Entry], depth: int) -> Iterator[Entry]:
        for found in listed:
            if not all(is_plain(part) for part in found.name.split("/")) or found.name.endswith(UNFINISHED):
                continue
            name = f"{folder}/{found.name}" if folder else found.name
            if not found.is_folder:
                yield replace(found, name=name)
            elif depth:
                yield from self.list(name, depth - 1)

    def _put(self, server: Server, name: str, data: Data) -> None:
        if server.is_atomic:
            server.store(self._path(name), data)
            return
        upload = f"{UPLOADS}/{secrets.token_hex(8)}{UNFINISHED}"
        self._make_folder(server, upload)
        self._make_folder(server, name)
        server.store(self._path(upload), data)
        if server.size(self._path(upload)) != len(data):
            raise ConnectionError("the server kept fewer bytes than it was sent")
        server.rename(self._path(upload), self._path(name))

    def _make_folder(self, server: Server, name: str) -> None:
        """Make the folder that an object is in, and those above it, unless this was done."""
        path = self._path(name.rpartition("/")[0])
        if path not in self._folders:
            server.make_folder(path)
            self._folders.add(path)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name and self._root else name or self._root


def is_plain(name: str) -> bool:
    """Whether a name out of a listing is one step down and nothing else: no server leads out of the repository."""
    return name not in {"", ".", ".."} and name.isascii() and name.isprintable() and not set(name) & set("/\\:")


Place = LocalPlace | FolderPlace
"""Where a repository is: objects by name, `/` between folders. What fails raises PlaceError. Calls from any thread."""
