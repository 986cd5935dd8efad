"""Runs of files put on a socket by the system itself: what it sends so passes through no memory of this process."""

import os
import socket

from vhdx.kernels import DATA
from vhdx.plans import Plan, RunSource
from vhdx.source import ByteSource, FileSource
from vhdx.structures.constants import MIB
from vhdx.system.sockets import MORE_FOLLOWS, SENDS_FILES

_ZEROS = memoryview(bytes(MIB))
MOST_ZEROS = len(_ZEROS)
"""Bytes of a run of zeros that can be sent."""


class RunSender:
    """Sends what a disk is made of by one socket. Not to be shared between threads."""

    def __init__(self, disk: RunSource, connection: socket.socket) -> None:
        """Send by `connection`, which blocks; the files of `disk` stay open."""
        self._connection = connection
        self.descriptors = [_descriptor(source) for source in disk.sources]
        """Of each layer, that of its file; -1 where its bytes have to be read."""
        self.can_send = [descriptor >= 0 for descriptor in self.descriptors]
        """Of each layer, whether its bytes can be sent without being read."""

    def send(self, head: bytes, plan: Plan, start: int, stop: int) -> int:
        """Send `head`, and a range of the disk: data of layers that can be sent, and at most MOST_ZEROS in each run.

        Returns up to where the range was sent. What is at that place has to be read, which says what is wrong with it,
        or with the connection. Raises OSError where that is known to be the connection.
        """
        self._connection.sendall(head, MORE_FOLLOWS)
        starts, ends, kinds, layers, offsets = plan.views
        connection = self._connection.fileno()
        for run in range(*plan.between(start, stop)):
            end = min(ends[run], stop)
            if kinds[run] != DATA:
                self._connection.sendall(_ZEROS[: end - start], MORE_FOLLOWS)
                start = end
                continue
            source, shift = self.descriptors[layers[run]], offsets[run] - starts[run]
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
