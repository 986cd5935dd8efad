"""What is really written: every byte once, with what it ends up as, in the order of the last mending that wants it."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from analyzer.repair.model import Mending, Patch

Span = tuple[int, int]


def final_writes(mendings: Sequence[Mending]) -> list[list[Patch]]:
    """For each mending, what is left to write of it once the later ones have taken what they write over.

    So a file that was cut off in the middle holds, byte by byte, either what was or what will be, never a third thing:
    that is what an undo file is checked against.
    """
    taken: list[Span] = []
    stages = []
    for mending in reversed(mendings):
        stage: list[Patch] = []
        for patch in reversed(mending.patches):
            free = list(_free(taken, patch.offset, patch.end))
            stage[:0] = [patch.cut(start, end) for start, end in free]
            for span in free:
                insort(taken, span)
        stages.append(stage)
    return stages[::-1]


def _free(taken: Sequence[Span], start: int, end: int) -> Iterator[Span]:
    """The parts from `start` to `end` that no span has."""
    at = max(0, bisect_left(taken, (start, start)) - 1)
    while start < end:
        low, high = taken[at] if at < len(taken) else (end, end)
        if start < min(low, end):
            yield start, min(low, end)
        start = max(start, high) if low < end else end
        at += 1
