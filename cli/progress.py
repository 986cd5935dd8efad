"""A progress bar on stderr, for what takes over a second, when stderr is a terminal."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import click

from analyzer.progress import Progress, no_progress
from cli.loudness import progress_kind
from vhdx.system.console import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Most commands are done sooner, and then rich need not be loaded.
_PATIENCE = 1.0
_FILES = "files"


def progress(what: str, total: int | None) -> AbstractContextManager[Progress]:
    """A callback for bytes done out of `total`, or of nobody knows how many; it shows itself after a second."""
    return _shown_late(what, total)


def counter(what: str, total: int | None = None) -> AbstractContextManager[Progress]:
    """A callback for files done, of `total`, or of nobody knows how many; it shows itself after a second."""
    return _shown_late(what, total, _FILES)


@contextmanager
def _shown_late(what: str, total: int | None, unit: str = "") -> Iterator[Progress]:
    kind = progress_kind()
    if kind == "json":
        with _told_as_json(what, total, unit or "bytes") as update:
            yield update
        return
    if kind == "none" or (kind == "auto" and not is_terminal(sys.stderr)):  # a log of a scheduled run wants no bars
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


@contextmanager
def _told_as_json(what: str, total: int | None, unit: str) -> Iterator[Progress]:
    """A line of JSON on stderr when work begins, each second, and when it has ended well."""
    started = told = time.monotonic()
    done = 0

    def tell(*, finished: bool) -> None:
        # The total is an upper bound of what is known beforehand, or a little less.
        counts = {"done": done if total is None else min(done, total), "total": total, "unit": unit}
        seconds = round(time.monotonic() - started, 3)
        line = json.dumps({"progress": what, **counts, "seconds": seconds, "finished": finished})
        with suppress(OSError):  # whoever read it has left: the work goes on
            click.echo(line, err=True)

    def update(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told >= _PATIENCE:
            told = time.monotonic()
            tell(finished=False)

    tell(finished=False)
    yield update
    tell(finished=True)


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
