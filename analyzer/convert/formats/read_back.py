"""Reading an image back, unit by unit (cluster, grain, block, frame), as a disk that verification can take."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from vhdx.errors import ShortReadError, VerificationError, VhdxError
from vhdx.ranges import Range
from vhdx.runs import Kind, Run, RunTable
from vhdx.source import ByteSource, FileSource, read_at


class DecodedImage(ABC):
    """An image whose bytes are decoded as they are asked for: a disk, and the one source that it is made of."""

    def __init__(self, path: Path, size: int, unit: int) -> None:
        """Open the file for a disk of `size` bytes in units of `unit`; raises InputOutputError."""
        self.path, self.size, self.unit = path, size, unit
        self.file = FileSource(path)

    @abstractmethod
    def read_unit(self, number: int) -> bytes | None:
        """The content of a unit, all of it; None for zeros. Raises VerificationError for what cannot be decoded."""

    @abstractmethod
    def extents(self) -> Iterator[Range]:
        """See WrittenImage."""

    @property
    def sources(self) -> Sequence[ByteSource]:
        """The image itself: places in it are places on the disk."""
        return (self,)

    def windows(self, start: int, end: int) -> Iterator[RunTable]:
        """One run: all of it is data."""
        yield RunTable.of([(start, end - start, Kind.DATA, 0, start)] if end > start else [])

    def error_for(self, _run: Run) -> VhdxError | None:
        """Everything can be read."""
        return None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        end = offset + len(buffer)
        for number in range(offset // self.unit, -(-end // self.unit)):
            first = number * self.unit
            lower, upper = max(first, offset), min(first + self.unit, end)
            content = self.read_unit(number) or bytes(self.unit)
            if len(content) < upper - first:
                raise self.failure(number)
            buffer[lower - offset : upper - offset] = content[lower - first : upper - first]

    def take(self, offset: int, length: int) -> bytes:
        """Bytes of the file; raises VerificationError where it has none, for a table that is wrong points there."""
        try:
            return read_at(self.file, offset, length)
        except ShortReadError as error:
            raise VerificationError(self.path, 0, self.size) from error

    def failure(self, number: int) -> VerificationError:
        """The error for a unit that does not read back."""
        return VerificationError(self.path, number * self.unit, self.unit)

    def require(self, *, structure: object, expected: object) -> None:
        """Raise VerificationError when a structure, which holds for the whole disk, is not as it was written."""
        if structure != expected:
            raise VerificationError(self.path, 0, self.size)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
