"""Runs of files put on a socket by the system itself: what it sends so passes through no memory of this process."""

import os
import socket
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vhdx import compiling
from vhdx.kernels import DATA
from vhdx.plans import Plan, RunSource
from vhdx.source import ByteSource, FileSource
from vhdx.structures.constants import MIB
from vhdx.system.sockets import MORE_FOLLOWS, SENDS_FILES

# Runs sent that repay numba's start, 0.35 s from its cache: each takes 3 microseconds less. Who copies a disk has
# several connections, each with its sender, so that it is a fourth of what repays it.
_WORTH_COMPILING = 1 << 15
_ZEROS = memoryview(bytes(MIB))
MOST_ZEROS = len(_ZEROS)
"""Bytes of a run of zeros that can be sent."""
_MOST_IN_FRONT = 4096
Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class RunSender:
    """Sends what a disk is made of by one socket. Not to be shared between threads."""

    def __init__(self, disk: RunSource, connection: socket.socket) -> None:
        """Send by `connection`, which blocks; the files of `disk` stay open."""
        self._connection, self._runs_sent = connection, 0
        self._room, self._numbers = bytearray(_MOST_IN_FRONT), np.zeros(2, dtype=np.int64)
        self._descriptors = [_descriptor(source) for source in disk.sources]
        self.can_send = [descriptor >= 0 for descriptor in self._descriptors]
        """Of each layer, whether its bytes can be sent without being read."""

    def send(self, head: bytes, plan: Plan, start: int, stop: int) -> int:
        """Send `head`, and a range of the disk: data of layers that can be sent, and at most MOST_ZEROS in each run.

        Returns up to where the range was sent. What is at that place has to be read, which says what is wrong with it,
        or with the connection. Raises OSError where that is known to be the connection.
        """
        first, last = plan.between(start, stop)
        self._runs_sent += last - first
        if self._runs_sent > _WORTH_COMPILING or compiling.is_loaded():
            quick = compiling.compiled_sender()
            if quick is not None and len(head) <= _MOST_IN_FRONT:
                self._room[: len(head)] = head
                upto = quick(plan.columns, *self._constants, len(head), self._numbers, first, last, start, stop)
                if self._numbers[0] == len(head):
                    return int(upto)
                head = head[self._numbers[0] :]
        self._connection.sendall(head, MORE_FOLLOWS)
        return self._send_runs(plan, (first, last), start, stop)

    @cached_property
    def _constants(self) -> tuple[Numbers, int, Bytes, Bytes]:
        """What the compiled sender takes that is always the same: descriptors, the socket's, zeros, room for a head."""
        descriptors = np.array(self._descriptors, dtype=np.int64)
        zeros, room = np.frombuffer(_ZEROS, np.uint8), np.frombuffer(self._room, np.uint8)
        return descriptors, self._connection.fileno(), zeros, room

    def _send_runs(self, plan: Plan, runs: tuple[int, int], start: int, stop: int) -> int:
        starts, ends, kinds, layers, offsets = plan.views
        connection = self._connection.fileno()
        for run in range(*runs):
            end = min(ends[run], stop)
            if kinds[run] != DATA:
                self._connection.sendall(_ZEROS[: end - start], MORE_FOLLOWS)
                start = end
                continue
            source, shift = self._descriptors[layers[run]], offsets[run] - starts[run]
            try:
                while start < end and (sent := os.sendfile(connection, source, start + shift, end - start)):
                    start += sent
            except OSError:
                return start
            if start < end:  # the file ends here
                return start
        return start


def _descriptor(source: ByteSource) -> int:
    """The descriptor of a source that is a file as it is; -1 of what has to be read."""
    if SENDS_FILES and isinstance(source, FileSource) and source.unread is None:
        return source.descriptor
    return -1
