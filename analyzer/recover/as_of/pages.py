"""Pages of a file's structures as they were once an entry of its log was applied, as far as the log reaches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from analyzer.recover.as_of.timeline import Stretch
from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.replay import Log, PlacedEntry
from vhdx.structures.constants import LOG_SECTOR_SIZE

PAGE = LOG_SECTOR_SIZE
# Pages that are followed, 4 GiB of them.
# A log of 1 MiB has some 250 pages; only descriptors that clear ranges can name so many.
_MOST_STEPS = 1 << 20


class TooMuchLoggedError(VhdxError):
    """The log writes so much that to follow it would take minutes."""

    path: Path
    text = f"{{path}}: the log writes more than {_MOST_STEPS} pages of its structures; leave --as-of out"


@dataclass(slots=True)
class Pages:
    """Pages by their place in the file, bytes; None for one that became zeros."""

    before: dict[int, bytes | None] = field(default_factory=dict)
    """As the newest entry up to the one that was asked for wrote them."""
    after: dict[int, bytes | None] = field(default_factory=dict)
    """As the oldest entry behind it did: not what they were, but the nearest to it."""

    def content(self) -> dict[int, bytes]:
        """Every page that is not as the file has it now, by its number, as near to what it was as the log tells."""
        known = self.after | self.before
        return {at // PAGE: bytes(PAGE) if data is None else data for at, data in known.items()}

    def is_reached(self, at: int, *, by_file: bool) -> bool:
        """Whether what a page was is certain: written before and not since, or (`by_file`) not written since at all."""
        return at in self.before or (by_file and at not in self.after)


def pages_as_of(log: Log, stretch: Stretch, number: int, ranges: Sequence[Range]) -> Pages:
    """The pages in `ranges` of the file as entry `number` of `stretch` left them; raises TooMuchLoggedError."""
    pages, steps = Pages(), 0
    for placed in map(log.entry, stretch.places):
        written = dict(_written(placed, ranges, _MOST_STEPS - steps))
        steps += len(written)
        if steps >= _MOST_STEPS:
            raise TooMuchLoggedError(log.source.path)
        if placed.header.sequence_number <= number:
            pages.before.update(written)
        else:
            # The oldest later copy wins: it is nearest to the moment that was asked for.
            pages.after = written | pages.after
    return pages


def _written(placed: PlacedEntry, ranges: Sequence[Range], most: int) -> Iterator[tuple[int, bytes | None]]:
    for write in placed.entry.writes():
        for part in ranges:
            first, last = max(part.start, write.file_offset), min(part.end, write.file_offset + write.length)
            if first >= last:
                continue
            for at in range(first // PAGE * PAGE, last, PAGE):
                if (most := most - 1) < 0:
                    return
                yield at, write.data


def later_tables(log: Log, stretch: Stretch, number: int, part: Range) -> Iterator[tuple[int, bytes]]:
    """(place, content) of each page in `part` that entries behind `number` wrote, oldest first."""
    later = (placed for placed in map(log.entry, stretch.places) if placed.header.sequence_number > number)
    for write in chain.from_iterable(placed.entry.writes() for placed in later):
        if write.data is not None and part.start <= write.file_offset < part.end:
            yield write.file_offset, write.data
