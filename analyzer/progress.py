"""Progress, as a job tells it: whoever calls hands in something that takes a number of bytes done."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[int], None]
Stage = Callable[[str, int | None], AbstractContextManager[Progress]]
"""Hears that a step of a job begins, what it does, and how many bytes it has to go through, as far as that is known."""


def no_progress(_done: int) -> None:
    """Tell nobody."""


@contextmanager
def no_stage(_what: str, _total: int | None) -> Iterator[Progress]:
    """Tell nobody."""
    yield no_progress
