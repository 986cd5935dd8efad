"""What a session changes: a file, or in tests something that records what was asked of it."""

from typing import Protocol

from vhdx.ranges import Range
from vhdx.source import ByteSource


class Medium(ByteSource, Protocol):
    """Bytes that are read and changed by position. Nothing is durable, and nothing in any order, before `flush`."""

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of `data` at `offset`; raises FileSystemFullError, InputOutputError."""
        ...

    def set_size(self, size: int) -> None:
        """Make the file `size` bytes long, what is new as zeros; raises as `write_at` does."""
        ...

    def zero(self, part: Range) -> None:
        """Make a range zeros, and give its room back to the host where that can be; raises as `write_at` does."""
        ...

    def release(self, part: Range) -> None:
        """Give the room of a range back to the host where that can be; nobody reads it again. Raises nothing."""
        ...

    def flush(self) -> None:
        """Make everything that was done so far durable; raises InputOutputError."""
        ...
