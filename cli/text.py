"""Text for people, as commands print it."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator

from analyzer.wording import exact_size, plural, safe, size

__all__ = ["exact_size", "facts", "fitted", "line_width", "plural", "safe", "size"]

_NARROWEST = 24


def facts(pairs: list[tuple[str, str]]) -> str:
    """Names and values in two columns; a value's further lines stand below it."""
    width = max(len(name) for name, _ in pairs) + 2
    lines = []
    for name, value in pairs:
        first, *rest = value.splitlines() or [""]
        lines.append(f"  {name:<{width}}{first}")
        lines += [f"  {'':<{width}}{line}" for line in rest]
    return "\n".join(lines)


def line_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere, and lines are left whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(lines: Iterable[str], width: int | None) -> Iterator[str]:
    """Lines, those that are too wide broken at spaces, what follows indented; paths stay whole, to be copied."""
    for line in lines:
        if width is None or len(line) <= width:
            yield line
            continue
        indent = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(line, max(_NARROWEST, width), subsequent_indent=f"{indent}  ",
                                 break_long_words=False, break_on_hyphens=False)  # fmt: skip
