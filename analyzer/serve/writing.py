"""What a client writes: kept in the scratch file, and durable when it asks for that."""

from collections.abc import Iterator

from analyzer.nbd.numbers import Command, Flag
from analyzer.nbd.transmission import Request
from analyzer.serve.views import WritableView

FLAGS = {
    Command.WRITE: Flag.FUA,
    Command.FLUSH: Flag(0),
    Command.TRIM: Flag.FUA,
    Command.WRITE_ZEROES: Flag.FUA | Flag.NO_HOLE,
}
"""The commands that change a disk, and the flags that each may have."""


class Writes:
    """The changes of one client. All raise what writing raises."""

    def __init__(self, view: WritableView) -> None:
        """Write by `view`."""
        self._view = view

    def write(self, request: Request, payload: Iterator[memoryview]) -> None:
        """Put what the request brings along at its place."""
        position = request.start
        for part in payload:
            self._view.write(position, part)
            position += len(part)
        self._flush_if_asked(request)

    def zero(self, request: Request, _payload: Iterator[memoryview]) -> None:
        """Make a range zeros; what is trimmed reads as such, too."""
        self._view.zero(request.start, request.length)
        self._flush_if_asked(request)

    def flush(self, _request: Request, _payload: Iterator[memoryview]) -> None:
        """Make durable what any client has written."""
        self._view.flush()

    def _flush_if_asked(self, request: Request) -> None:
        if request.flags & Flag.FUA:
            self._view.flush()
