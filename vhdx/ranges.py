"""Ranges as (start, end), in whatever unit."""

from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""(start, end): the end is not part of it."""


def united(ranges: Iterable[Span]) -> Iterator[Span]:
    """The ranges, rising; those that overlap or touch are one, and empty ones are left out."""
    pending: Span | None = None
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if pending and start <= pending[1]:
            pending = pending[0], max(end, pending[1])
        else:
            if pending:
                yield pending
            pending = start, end
    if pending:
        yield pending
