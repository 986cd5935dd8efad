"""Text for people, as commands print it."""

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import click

from analyzer.text import exact_size, plural, safe, size, wrapped
from cli.loudness import QUIET, Collector, is_set, keep
from vhdx.system.console import columns, has_colours, has_links

__all__ = ["Told", "exact_size", "facts", "fitted", "line_width", "linked", "moment", "painted", "plural", "safe",
           "say", "say_always", "size", "told_later", "wrapped"]  # fmt: skip

_BELOW = "    "
_SEVERITY = re.compile(r"(\s*)((error|warning|note)(?: [A-Z]{3}-\d+)?)(?=[ :])", re.IGNORECASE)
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def facts(pairs: list[tuple[str, str]], width: int | None = None) -> str:
    """Names and values in two columns; a value's further lines, and what `width` has no room for, are below it."""
    column = max(len(name) for name, _ in pairs) + 2
    return "\n".join(line for name, value in pairs for line in _fact(f"  {name:<{column}}", value, width))


def _fact(name: str, value: str, width: int | None) -> list[str]:
    """A name and its value; a value with a word that is too long for its column has all of the width."""
    lines, room = value.splitlines() or [""], None if width is None else width - len(name)
    indents = [name, *[" " * len(name)] * (len(lines) - 1)]
    if width is None or room is None or all(len(line) <= room for line in lines):
        return [f"{indent}{line}" for indent, line in zip(indents, lines, strict=True)]
    if max(map(len, value.split()), default=0) > room:  # a path stays whole, to be copied
        return [name.rstrip(), *(part for line in lines for part in wrapped(line, width, _BELOW, f"{_BELOW}  "))]
    rest = " " * (len(name) + 2)
    return [part for indent, line in zip(indents, lines, strict=True) for part in wrapped(line, width, indent, rest)]


def moment(when: datetime) -> str:
    """A time, which is UTC, to the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}Z"


def line_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere, and lines are left whole."""
    return columns(sys.stdout)


class Told(NamedTuple):
    """A sentence for stderr, and whether it is an error, which is said whatever the command is told to leave out."""

    sentence: str
    is_error: bool

    def say(self) -> None:
        """Say it."""
        (say_always if self.is_error else say)(self.sentence)


told_later = Collector[Told]("sentences that wait to be said")
"""What would be said meanwhile, to be said later, and perhaps by another process."""


def say(sentence: str) -> None:
    """Say a sentence on stderr, unless the command is to be quiet; on a terminal it is broken as `fitted` does it."""
    if (waiting := told_later.kept) is not None:
        waiting.append(Told(sentence, is_error=False))
    elif is_set(QUIET):
        keep(sentence)
    else:
        say_always(sentence)


def say_always(sentence: str) -> None:
    """Say an error, as `say` says other things."""
    if (waiting := told_later.kept) is not None:
        waiting.append(Told(sentence, is_error=True))
        return
    keep(sentence)
    lines = fitted([sentence], columns(sys.stderr))  # stdout may go elsewhere
    click.echo("\n".join(painted(lines, sys.stderr)), err=True)


def painted(lines: Iterable[str], stream: TextIO | None) -> Iterator[str]:
    """Lines whose first word says how bad something is, with that in colour where the stream has colours."""
    if not has_colours(stream):
        yield from lines
        return
    for line in lines:
        found = _SEVERITY.match(line)
        colour = click.style(found[2], fg=_COLOURS[found[3].lower()], bold=True) if found else ""
        yield f"{found[1]}{colour}{line[found.end() :]}" if found else line


def linked(path: Path, stream: TextIO | None) -> str:
    """A path for people, which a terminal that has links opens."""
    if not has_links(stream):
        return safe(path)
    # With the machine's name, so that a terminal does not look on its own machine for a file of another.
    uri = path.absolute().as_uri().replace("file://", f"file://{platform.node()}", 1)
    return f"\033]8;;{uri}\033\\{safe(path)}\033]8;;\033\\"


def fitted(lines: Iterable[str], width: int | None) -> Iterator[str]:
    """Lines, those that are too wide broken at spaces, what follows indented; paths stay whole, to be copied."""
    for line in lines:
        if width is None or len(line) <= width:
            yield line
            continue
        indent = " " * (len(line) - len(line.lstrip()))
        yield from wrapped(line, width, "", f"{indent}  ")
