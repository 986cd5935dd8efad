"""Progress, as a job tells it: whoever calls hands in something that takes a number of bytes done."""

from collections.abc import Callable

Progress = Callable[[int], None]


def no_progress(_done: int) -> None:
    """Tell nobody."""
