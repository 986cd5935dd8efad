"""Bytes laid over a source: patches, and the file as it is with them. Nothing here writes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from vhdx.errors import ShortReadError
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, Unread, extents_of, unread_of

SHOWN = 32
"""How many bytes of a patch a plan shows."""
PIECE = 1 << 20
"""The most that is read or written at once."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`length` bytes at `offset` of the file become `after`, or zeros where that is None."""

    offset: int
    length: int
    after: bytes | None
    before: bytes = b""
    """The front of what is there when the patch is to be applied: SHOWN bytes, for people."""

    @classmethod
    def between(cls, offset: int, before: bytes, after: bytes) -> "Patch":
        """The patch from the first byte that differs to the last one; `before` and `after` have one length, and do."""
        first, last = 0, len(after)
        while first < last and before[first] == after[first]:
            first += 1
        while first < last and before[last - 1] == after[last - 1]:
            last -= 1
        return cls.of(offset + first, before[first:last], after[first:last])

    @classmethod
    def of(cls, offset: int, before: bytes, after: bytes) -> "Patch":
        """The patch that makes `after` of `before`, both of one length."""
        return cls(offset, len(after), after, before[:SHOWN])

    @property
    def end(self) -> int:
        """The first byte after the patch."""
        return self.offset + self.length

    @property
    def front(self) -> bytes:
        """The front of what will be there: SHOWN bytes, for people."""
        return self.content(self.offset, min(self.end, self.offset + SHOWN))

    def content(self, start: int, end: int) -> bytes:
        """What will be from byte `start` to byte `end` of the file, both within the patch."""
        if self.after is None:
            return bytes(end - start)
        return self.after[start - self.offset : end - self.offset]

    def cut(self, start: int, end: int) -> "Patch":
        """The part of the patch from byte `start` to byte `end` of the file."""
        return Patch(start, end - start, None if self.after is None else self.content(start, end))

    def pieces(self) -> Iterator["Patch"]:
        """The patch in parts of PIECE bytes at most."""
        return (self.cut(part.start, part.end) for part in Range(self.offset, self.length).pieces(PIECE))


class Piece(NamedTuple):
    """The part of a patch, from byte `start` to byte `end` of the file, that no later patch hides."""

    start: int
    end: int
    patch: Patch


# By key, not by a list of starts beside the pieces, which each step would make anew: 2,000 steps over the pages of a
# 64 MiB log take 0.4 s of the processor, and took 1.6.
_START = itemgetter(0)


def visible(patches: Sequence[Patch]) -> Iterator[Piece]:
    """What is left of patches applied one after the other, sorted and disjoint: each byte is the last one's.

    A sweep over the starts with the patches that cover a byte on a heap: a log can have millions of descriptors that
    all overlap, and n of them take n log n steps.
    """
    # Numbers are negative on the heap, so that its first is the last patch, the one that shows.
    order = sorted(range(len(patches)), key=lambda number: patches[number].offset)
    covering: list[int] = []  # negative numbers of patches: the last one is the first of the heap
    pending: Piece | None = None
    at = taken = 0
    while taken < len(order) or covering:
        at = at if covering else max(at, patches[order[taken]].offset)
        while taken < len(order) and patches[order[taken]].offset <= at:
            heappush(covering, -order[taken])
            taken += 1
        top = patches[-covering[0]]
        if top.end <= at:
            heappop(covering)
            continue
        end = min(top.end, patches[order[taken]].offset) if taken < len(order) else top.end
        if pending and pending.patch is top and pending.end == at:
            pending = pending._replace(end=end)
        else:
            yield from (pending,) if pending else ()
            pending = Piece(at, end, top)
        at = end
    yield from (pending,) if pending else ()


class OverlaySource:
    """A source with patches laid over it: the file as a replayed log or a repair leaves it.

    Each byte is that of the last patch that has it; what is past the source's end and in no patch reads as zeros. An
    overlay over an overlay is one overlay over the same source: reading costs the same after a hundred steps as after
    one. What patches cover is not read from the source.
    """

    def __init__(self, below: ByteSource, patches: Iterable[Patch], size: int = 0) -> None:
        """Lay `patches`, in their order, over `below`: `size` bytes long, or longer where source or content is."""
        given = tuple(patches)
        # Zeros make no file longer: what a log's zero descriptor clears can be far past the end that the log names.
        ends = (patch.end for patch in given if patch.after is not None)
        self.path, self.size = below.path, max(below.size, size, max(ends, default=0))
        laid = list(visible(given))
        self.source, self.pieces = below, laid
        if isinstance(below, OverlaySource):
            self.source, self.pieces = below.source, _laid_over(below.pieces, laid)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource."""
        at, end = offset, offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        first = max(0, bisect_right(self.pieces, offset, key=_START) - 1)
        for piece in self.pieces[first : bisect_left(self.pieces, end, key=_START)]:
            start, stop = max(piece.start, offset), min(piece.end, end)
            if start < stop:
                self._read_source(at, buffer[at - offset : start - offset])
                buffer[start - offset : stop - offset] = piece.patch.content(start, stop)
                at = stop
        self._read_source(at, buffer[at - offset :])

    def _read_source(self, at: int, buffer: memoryview) -> None:
        inside = max(0, min(len(buffer), self.source.size - at))
        if inside:
            self.source.read_into(at, buffer[:inside])
        buffer[inside:] = bytes(len(buffer) - inside)

    @property
    def unread(self) -> Unread | None:
        """See `unread_of`: what is in no patch."""
        below = unread_of(self.source)
        laid = (Range.between(piece.start, piece.end) for piece in self.pieces)
        return replace(below, ranges=below.ranges - Ranges.of(laid)) if below else None

    def extents(self) -> Iterator[Range]:
        """See `extents_of`: what is past the file's end and in no patch is zeros, whatever length a log claims."""
        laid = (Range.between(piece.start, piece.end) for piece in self.pieces if piece.patch.after is not None)
        return iter(Ranges.of(chain(extents_of(self.source), laid)))


def _laid_over(below: Sequence[Piece], above: Iterable[Piece]) -> list[Piece]:
    """The pieces of two overlays as those of one; what is between two pieces of `above` is copied as a whole."""
    merged: list[Piece] = []
    at = 0
    for piece in above:
        low = bisect_left(below, piece.start, at, key=_START)
        high = bisect_left(below, piece.end, low, key=_START)
        merged += below[at:low]
        cut = merged.pop() if merged and merged[-1].end > piece.start else None
        if cut and cut.start < piece.start:
            merged.append(cut._replace(end=piece.start))
        merged.append(piece)
        last = below[high - 1] if low < high else cut
        if last and last.end > piece.end:
            merged.append(last._replace(start=piece.end))
        at = high
    return merged + list(below[at:])
