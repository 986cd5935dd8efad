"""The server: clients are greeted by asyncio, whoever reads gets a thread, and all of it ends together."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import MOST_OPTION, Answer, Handshake
from analyzer.nbd.options import OPTION_SIZE, build_answer, parse_option_head
from analyzer.serve.client import Client
from analyzer.serve.export import Export
from analyzer.serve.handshake import HELLO, OFFERED, Negotiation, Session, Then
from analyzer.serve.line import Line
from vhdx.errors import VhdxError

# Bytes that were sent and not taken yet. With less, a copy by nbdcopy changes between the two sides four times as
# often; with 2 MiB the client finds less of them in the processor's caches.
_MOST_UNDER_WAY = 512 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server takes on at a time; with the largest tables a client takes 100 MiB, with usual ones 3."""

    clients: int = 32
    """Clients that read. nbdcopy opens four connections, QEMU one for each disk."""
    greeted: int = 128
    """Clients in their handshake; whoever came first has to go when there are more."""
    patience: float = 10.0
    """Seconds for a handshake."""


class Until(Enum):
    """When a server ends by itself."""

    STOPPED = "never"
    LAST_LEFT = "when the last client has left"


Say = Callable[[str], None]
Started = Callable[[Callable[[], object]], None]


class Server:
    """Serves exports to all who connect to a listening socket, which it closes."""

    def __init__(
        self, listener: socket.socket, exports: Mapping[str, Export], *, say: Say, limits: Limits | None = None
    ) -> None:
        """`say` hears, in sentences, what whoever started the server should know."""
        self._listener, self._exports, self._say, self._limits = listener, exports, say, limits or Limits()
        self._greetings = dict[asyncio.Task[None], None]()
        self._reading = set[socket.socket]()
        self._until = Until.STOPPED

    def run(self, until: Until = Until.STOPPED, started: Started | None = None) -> None:
        """Serve until `stop`, which `started` is given to call from any thread, or as `until` says."""
        asyncio.run(self._run(until, started))

    async def _run(self, until: Until, started: Started | None) -> None:
        loop, self._until = asyncio.get_running_loop(), until
        self._stopped = asyncio.Event()
        self._threads = ThreadPoolExecutor(self._limits.clients, thread_name_prefix="nbd client")
        if started:
            started(lambda: loop.call_soon_threadsafe(self._stopped.set))
        tasks = [loop.create_task(self._accept()), loop.create_task(self._watch())]
        try:
            await self._stopped.wait()
        finally:
            await self._end(tasks)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in (*tasks, *self._greetings):
            task.cancel()
        self._listener.close()
        for connection in tuple(self._reading):
            _shut(connection)  # whoever waits in it is woken
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener.settimeout(0)
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:  # no descriptor is left, or the client has gone already
                await asyncio.sleep(0.1)
                continue
            if len(self._greetings) >= self._limits.greeted:
                next(iter(self._greetings)).cancel()
            self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._welcome(connection))

        # Not at the end of the task: one that is cancelled before it began has none.
        def let_go(task: "asyncio.Task[None]") -> None:
            del self._greetings[task]
            if connection not in self._reading:
                connection.close()

        self._greetings[task] = None
        task.add_done_callback(let_go)

    async def _watch(self) -> None:
        """Every second: see that disks are as they were, and make durable what was written; say what goes wrong."""
        told, loop = set[str](), asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            for export in self._exports.values():
                try:
                    export.guard.require_unchanged()
                    if export.scratch is not None:
                        await loop.run_in_executor(None, export.scratch.flush)
                except VhdxError as error:
                    if str(error) not in told:
                        told.add(str(error))
                        self._say(str(error))

    async def _welcome(self, connection: socket.socket) -> None:
        session = await self._agreed(connection)
        if session is None:
            return
        _prepare(connection)
        self._reading.add(connection)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._serve, connection, session)
        work.add_done_callback(lambda done: self._left(connection, done.exception()))

    async def _agreed(self, connection: socket.socket) -> Session | None:
        """What a client agrees on in good time; None where it does not."""
        try:
            async with asyncio.timeout(self._limits.patience):
                return await self._negotiate(connection)
        except (ProtocolError, OSError, TimeoutError):
            return None

    async def _negotiate(self, connection: socket.socket) -> Session | None:
        loop = asyncio.get_running_loop()
        connection.settimeout(0)
        await loop.sock_sendall(connection, HELLO)
        flags = int.from_bytes(await _exactly(connection, 4), "big")
        if flags & ~int(OFFERED):
            raise ProtocolError(f"a client has the flags {flags:#x}")
        negotiation = Negotiation(self._exports, Handshake(flags), lambda: len(self._reading) < self._limits.clients)
        then = Then.ASK
        while then is Then.ASK:
            answers, then = await _option(connection, negotiation)
            await loop.sock_sendall(connection, answers)
        return negotiation.session

    def _serve(self, connection: socket.socket, session: Session) -> None:
        try:
            Client(Line(connection), session).serve()
        except (ProtocolError, OSError):
            pass  # whoever breaks the protocol, or leaves in the middle, is not served on
        finally:
            _shut(connection)

    def _left(self, connection: socket.socket, error: BaseException | None) -> None:
        self._reading.discard(connection)
        connection.close()
        if error is not None:  # a fault of this program: others are served on, and whoever runs it hears of it
            self._say(f"a client was let go by an internal error ({type(error).__name__}: {error}); report it")
        if not self._reading and self._until is Until.LAST_LEFT:
            self._stopped.set()


async def _option(connection: socket.socket, negotiation: Negotiation) -> tuple[bytes, Then]:
    """The answers to a client's next option, and what follows."""
    head = parse_option_head(await _exactly(connection, OPTION_SIZE))
    if head.length > MOST_OPTION:
        await _skipped(connection, head.length)
        why = f"no option of this server takes more than {MOST_OPTION} bytes"
        return build_answer(head.option, Answer.TOO_BIG, why.encode()), Then.ASK
    return negotiation.answer(head.option, await _exactly(connection, head.length))


async def _exactly(connection: socket.socket, length: int) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < length:
        received = await loop.sock_recv(connection, length - len(data))
        if not received:
            raise ConnectionResetError
        data += received
    return bytes(data)


async def _skipped(connection: socket.socket, length: int) -> None:
    while length:
        length -= len(await _exactly(connection, min(length, MOST_OPTION)))


def _prepare(connection: socket.socket) -> None:
    """Have a socket wait for what it is asked for, send at once, and notice a client whose machine is gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Two replies of the length that programs ask for find room while the client is busy with the one before.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_UNDER_WAY)
    if connection.family != getattr(socket, "AF_UNIX", None):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)
