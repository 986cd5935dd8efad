"""How much a command says beside its answer, and where that is kept: `-q`, `-v`, `--progress`, `--log FILE`.

All commands have these options, before or after the command's name.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Generic, TypeVar

import click

QUIET, VERBOSE, BARE, PROGRESS = "-q", "-v", "--no-progress", "--progress"
_LOG = logging.getLogger("cli")
# What the file begins with; no other file is written to: a slip of the pen must not put lines into a disk.
_FIRST_LINE = b"# vhdx log\n"

Said = TypeVar("Said")


class Collector(Generic[Said]):
    """What would be said, for somebody who says it later, or as a part of something greater."""

    def __init__(self, name: str) -> None:
        """Nobody collects yet."""
        self._kept: ContextVar[list[Said] | None] = ContextVar(name, default=None)

    @contextmanager
    def __call__(self) -> Iterator[list[Said]]:
        """What is said meanwhile."""
        kept = list[Said]()
        token = self._kept.set(kept)
        try:
            yield kept
        finally:
            self._kept.reset(token)

    @property
    def kept(self) -> list[Said] | None:
        """What was said so far, to be added to; None where nobody collects."""
        return self._kept.get()


def is_set(name: str) -> bool:
    """Whether one of QUIET, VERBOSE, BARE is given to the command that runs."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(name))


def progress_kind() -> str:
    """How the command that runs is to show its progress: auto, bar, json or none."""
    context = click.get_current_context(silent=True)
    if context is None:
        return "none"
    return "none" if is_set(QUIET) or is_set(BARE) else str(context.meta.get(PROGRESS) or "auto")


def keep(sentence: str) -> None:
    """Write a sentence into the log, if there is one."""
    if _LOG.handlers:
        _LOG.info(sentence)


def close_log() -> None:
    """Close the log, if there is one."""
    for handler in tuple(_LOG.handlers):
        _LOG.removeHandler(handler)
        handler.close()


def _open_log(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        with path.open("ab+") as file:
            file.seek(0)
            if (start := file.read(len(_FIRST_LINE))) != _FIRST_LINE:
                if start:
                    raise click.BadParameter(f"{str(path)!r} is there and is no log of vhdx; name another file")
                file.write(_FIRST_LINE)
    except OSError as error:
        raise click.BadParameter(f"cannot write {str(path)!r}: {error.strerror}") from error
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep_flag(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:  # what was given before the command's name holds where it is not given again
            context.meta[name] = True

    return keep_flag


def _set_kind(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[PROGRESS] = value


def options(*, hidden: bool = False) -> list[click.Option]:
    """The options, for a group, or for a command, whose help does not show them."""
    flags = {
        (QUIET, "--quiet"): "Say nothing but answers and errors.",
        (VERBOSE, "--verbose"): "Say notes too, not warnings alone.",
        (BARE,): "Show no progress.",
    }
    made = [
        click.Option([*names, f"_{names[-1].strip('-').replace('-', '_')}"], is_flag=True, expose_value=False,
                     callback=_set(names[0]), help=text, hidden=hidden)
        for names, text in flags.items()
    ]  # fmt: skip
    kinds = click.Choice(["auto", "bar", "json", "none"])
    kind = click.Option([PROGRESS, "_progress"], type=kinds, expose_value=False, callback=_set_kind, hidden=hidden,
                        help="Show progress as a bar, as lines of JSON on stderr, or not at all. Default: a bar on a "
                        "terminal.")  # fmt: skip
    path = click.Path(path_type=Path, dir_okay=False)
    text = "Append warnings, errors and the exit code to FILE, with times."
    log = click.Option(["--log", "_log"], type=path, metavar="FILE", expose_value=False, callback=_open_log, help=text,
                       is_eager=True, hidden=hidden)  # fmt: skip
    return [*made, kind, log]
