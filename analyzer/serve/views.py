"""A served disk as one client reads and writes it: as it is, or with what was written laid over it."""

from collections.abc import Iterator, Sequence

from analyzer.serve.reading import CarefulReader, Missing
from analyzer.serve.scratch import Scratch
from analyzer.serve.spans import Read, Span
from vhdx.errors import LostDataError
from vhdx.plans import Plans, RunSource
from vhdx.ranges import Range
from vhdx.runs import Kind


class WritableView:
    """A disk with a scratch file over it. Not to be shared between threads, as the scratch is."""

    def __init__(self, disk: RunSource, scratch: Scratch, plans: Plans | None = None) -> None:
        """Read what `scratch` has, and `disk` where it has nothing; write to `scratch`."""
        self._size, self._sector, self._scratch = disk.size, scratch.header.sector_size, scratch
        self._below = CarefulReader(disk, self._sector, plans)

    def read_into(self, start: int, buffer: memoryview) -> Sequence[Missing]:
        """See CarefulReader; raises what reading the scratch file raises."""
        missing = list[Missing]()
        for run in self._scratch.table(start, start + len(buffer)):
            part = buffer[run.start - start : run.end - start]
            if run.kind is Kind.DATA:
                self._scratch.medium.read_into(run.file_offset, part)
            elif run.kind is Kind.ZERO:
                part[:] = bytes(len(part))
            else:
                missing += self._below.read_into(run.start, part)
        return missing

    @property
    def holes_are_zeros(self) -> bool:
        """See CarefulReader."""
        return self._below.holes_are_zeros

    def is_plain(self, start: int, end: int) -> bool:
        """See CarefulReader; raises as reading the scratch file's tables does."""
        return all(run.kind is Kind.HOLE for run in self._scratch.table(start, end))

    def spans(self, start: int, end: int, can_send: Sequence[bool]) -> Iterator[Span]:
        """See CarefulReader; what was written is read."""
        for run in self._scratch.table(start, end):
            if run.kind is Kind.HOLE:
                yield from self._below.spans(run.start, run.end, can_send)
            else:
                yield Read(run.start, run.end)

    def write(self, start: int, data: memoryview) -> None:
        """Put bytes at `start`; raises LostDataError where the rest of a sector is unknown, and what writing raises."""
        for part, is_whole in self._by_sectors(start, len(data)):
            piece = data[part.start - start : part.end - start]
            if is_whole:
                self._scratch.write(part.start, piece)
            else:
                self._change_sector(part.start, piece)

    def zero(self, start: int, length: int) -> None:
        """Make bytes zeros; raises as `write` does."""
        for part, is_whole in self._by_sectors(start, length):
            if is_whole:
                self._scratch.zero(*part)
            else:
                self._change_sector(part.start, memoryview(bytes(part.length)))

    def flush(self) -> None:
        """Make durable what was written, by whomever."""
        self._scratch.flush()

    def _by_sectors(self, start: int, length: int) -> Iterator[tuple[Range, bool]]:
        """The range in up to three parts: whole sectors, and the parts of sectors at its ends."""
        end, sector = start + length, self._sector
        first = min(end, -(-start // sector) * sector)
        last = end if end == self._size else max(first, end // sector * sector)
        for part, is_whole in (Range.between(start, first), False), (Range.between(first, last), True):
            if part.length:
                yield part, is_whole
        if last < end:
            yield Range.between(last, end), False

    def _change_sector(self, start: int, data: memoryview) -> None:
        """Change a part of one sector."""
        first = start // self._sector * self._sector
        whole = bytearray(min(self._sector, self._size - first))
        with self._scratch.edges:
            missing = self.read_into(first, memoryview(whole))
            if missing:
                raise LostDataError(self._scratch.medium.path, first, len(whole), missing[0].reason)
            whole[start - first : start - first + len(data)] = data
            self._scratch.write(first, memoryview(whole))


View = CarefulReader | WritableView
"""A disk as one client sees it."""
