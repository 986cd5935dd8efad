"""A progress bar on stderr, for what takes over a second, when stderr is a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from analyzer.progress import Progress, no_progress
from cli.loudness import BARE, QUIET, is_set
from vhdx.system.console import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Most commands are done sooner, and then rich need not be loaded.
_PATIENCE = 1.0
_FILES = "files"


def progress(what: str, total: int) -> AbstractContextManager[Progress]:
    """A callback for bytes done out of `total`; it shows itself after a second."""
    return _shown_late(what, total)


def counter(what: str, total: int | None = None) -> AbstractContextManager[Progress]:
    """A callback for files done, of `total`, or of nobody knows how many; it shows itself after a second."""
    return _shown_late(what, total, _FILES)


@contextmanager
def _shown_late(what: str, total: int | None, unit: str = "") -> Iterator[Progress]:
    if not is_terminal(sys.stderr) or is_set(QUIET) or is_set(BARE):  # a log of a scheduled run wants no bars
        yield no_progress
        return
    started, done = time.monotonic(), 0
    bar: Bar | None = None
    with ExitStack() as shown:

        def update(count: int) -> None:
            nonlocal bar, done
            done += count
            if bar is None and time.monotonic() - started > _PATIENCE:
                bar = shown.enter_context(_bar(unit, has_end=total is not None))
                bar.add_task(what, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)

        yield update


def _bar(unit: str, *, has_end: bool) -> "Bar":
    from rich import progress as rich
    from rich.console import Console

    name, console = rich.TextColumn("{task.description}"), Console(stderr=True)
    ahead = (rich.BarColumn(), rich.TimeRemainingColumn()) if has_end else (rich.SpinnerColumn(),)
    columns: tuple[rich.ProgressColumn, ...] = (rich.DownloadColumn(binary_units=True), rich.TransferSpeedColumn())
    if unit:
        count = "{task.completed} of {task.total} " if has_end else "{task.completed} "
        columns = (rich.TextColumn(count + unit),)
    return rich.Progress(name, *ahead[:1], *columns, *ahead[1:], console=console, transient=True)
