"""A progress bar on stderr, for what takes over a second, when stderr is a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from analyzer.progress import Progress, no_progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Most commands are done sooner, and then rich need not be loaded.
_PATIENCE = 1.0


def progress(what: str, total: int) -> AbstractContextManager[Progress]:
    """A callback for bytes done out of `total`; it shows itself after a second."""
    return _shown_late(what, total, _bar)


def counter(what: str) -> AbstractContextManager[Progress]:
    """A callback for files done, where nobody knows how many there are; it shows itself after a second."""
    return _shown_late(what, None, _count)


@contextmanager
def _shown_late(what: str, total: int | None, make: Callable[[], "Bar"]) -> Iterator[Progress]:
    if not sys.stderr.isatty():  # a log of a scheduled run wants no bars
        yield no_progress
        return
    started, done = time.monotonic(), 0
    bar: Bar | None = None
    with ExitStack() as shown:

        def update(count: int) -> None:
            nonlocal bar, done
            done += count
            if bar is None and time.monotonic() - started > _PATIENCE:
                bar = shown.enter_context(make())
                bar.add_task(what, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)

        yield update


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=Console(stderr=True), transient=True)


def _count() -> "Bar":
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed} files"))
    return Bar(*columns, console=Console(stderr=True), transient=True)
