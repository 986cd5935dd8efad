"""An export of an NBD server as a disk: its bytes by position, and what is zeros or lost by what the server says."""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from analyzer.nbd.agreement import ALLOCATION, STATUS, ServedExport
from analyzer.nbd.client import PATIENCE, NbdClient
from analyzer.nbd.errors import NbdReadError, NbdServerError
from analyzer.nbd.numbers import Allocation
from analyzer.nbd.transmission import Extent
from analyzer.nbd.uri import NbdAddress
from analyzer.text import AddressPath
from vhdx.disk import FileDisk
from vhdx.errors import LostDataError, VhdxError
from vhdx.findings import Finding
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run, RunTable, merge_neighbours, with_lost

_PLAIN, _4KN = 512, 4096
# Connections at a time, where a server takes several.
_MOST = 4
# Bytes that are asked about at once: the largest round number that a request can have.
_STEP = 1 << 31
# Answers about less than so many bytes, after so many of which the rest is taken for data: 64 TiB in single sectors
# would be asked for until nobody waits any more.
_SMALL, _PATIENCE = 1 << 20, 1 << 14
# What `vhdx:status` calls lost.
_LOST = 2
Value = TypeVar("Value")


class NbdSource:
    """The bytes of an export. From any thread: each takes a connection that is free, or makes one."""

    def __init__(self, address: NbdAddress, patience: float = PATIENCE) -> None:
        """Connect; raises NbdServerError."""
        self.address, self._patience = address, patience
        self.path = AddressPath(str(address))
        first = NbdClient(address, patience)
        self.export: ServedExport = first.export
        self.size = first.export.size
        self._free: queue.LifoQueue[NbdClient | None] = queue.LifoQueue()
        for _ in range(_MOST - 1 if first.export.takes_several_clients else 0):
            self._free.put(None)
        self._free.put(first)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource; raises NbdReadError, NbdServerError."""
        least = self.export.blocks.least
        start, end = offset // least * least, -(-(offset + len(buffer)) // least) * least
        if (start, end) == (offset, offset + len(buffer)):
            self._with_client(lambda client: client.read_into(offset, buffer))
            return
        whole = bytearray(min(end, self.size) - start)
        self._with_client(lambda client: client.read_into(start, memoryview(whole)))
        buffer[:] = whole[offset - start : offset - start + len(buffer)]

    def status(self, start: int, length: int) -> Mapping[str, Sequence[Extent]]:
        """See NbdClient."""
        return self._with_client(lambda client: client.status(start, length))

    def close(self) -> None:
        """Close all connections that are free."""
        while not self._free.empty():
            client = self._free.get()
            if client is not None:
                client.close()

    def _with_client(self, work: Callable[[NbdClient], Value]) -> Value:
        with self._client() as client:
            return work(client)

    @contextmanager
    def _client(self) -> Iterator[NbdClient]:
        client = self._free.get()
        try:
            client = client or self._another()
            yield client
        except NbdReadError:
            raise
        except BaseException:
            if client is not None:
                client.close()  # nobody knows what would be read from it next
            client = None
            raise
        finally:
            self._free.put(client)

    def _another(self) -> NbdClient:
        client = NbdClient(self.address, self._patience)
        if client.export != self.export:
            client.close()
            raise NbdServerError(self.address, "another connection to it shows another disk")
        return client


class NbdDisk(FileDisk):
    """An export, read-only."""

    source: "NbdSource"
    sector_size = _PLAIN
    findings: tuple[Finding, ...] = ()
    """None: a server says nothing of its files."""

    def __init__(self, address: NbdAddress, *, sector_size: int | None = None, patience: float = PATIENCE) -> None:
        """Connect; raises NbdServerError. `sector_size` is for a server that does not say 4096, as hardly any does."""
        self.source = NbdSource(address, patience)
        said = _4KN if self.source.export.blocks.least == _4KN else _PLAIN
        self.sector_size = sector_size or said

    @property
    def address(self) -> NbdAddress:
        """Where it is."""
        return self.source.address

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: ZERO where the server says so, LOST where a server of `vhdx` does, else DATA."""
        position, upto, small = start, self.size if end is None else min(end, self.size), 0
        contexts = set(self.source.export.contexts.values())
        while position < upto and contexts and small < _PATIENCE:
            table = self._told(position, upto)
            yield table
            small += table.end - position < min(_SMALL, upto - position)
            position = table.end
        if position < upto:
            yield RunTable.of([Run(position, upto - position, Kind.DATA, 0, position)])

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is Kind.LOST:
            return LostDataError(self.path, run.start, run.length, f"{self.address} has it as lost")
        return None

    def _told(self, start: int, end: int) -> RunTable:
        """The runs from `start` on, as far as one answer goes."""
        least = self.source.export.blocks.least
        first = start // least * least
        length = min(_STEP, -(-(end - first) // least) * least, self.size - first)
        told = self.source.status(first, length)
        upto = min(end, *(first + sum(one.length for one in extents) for extents in told.values()), first + length)
        if upto <= start:
            raise NbdServerError(self.address, f"it says nothing of what is at {start}")
        zeros = _where(told.get(ALLOCATION, ()), first, Allocation.ZERO).within(Range.between(start, upto))
        lost = _where(told.get(STATUS, ()), first, _LOST).within(Range.between(start, upto))
        marked = RunTable.marking(zeros, Range.between(start, upto), Kind.ZERO)
        is_zero = marked.kind == Kind.ZERO
        kind, offset = np.where(is_zero, marked.kind, Kind.DATA), np.where(is_zero, 0, marked.start)
        table = RunTable(marked.start, marked.length, kind, np.zeros_like(kind), offset)
        return with_lost(merge_neighbours(table), lost)


def _where(extents: Sequence[Extent], start: int, flag: int) -> Ranges:
    """The ranges, of those that follow one another from `start`, whose status has a flag."""
    told = np.array(extents, dtype=np.int64).reshape(-1, 2)
    ends = start + np.cumsum(told[:, 0])
    chosen = told[:, 1] & flag != 0
    return Ranges.of_columns((ends - told[:, 0])[chosen], told[:, 0][chosen])
