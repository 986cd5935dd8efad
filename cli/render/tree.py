"""A tree of files as lines: a chain goes straight down, base first; only a fork goes to the right."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_PLAIN = str.maketrans("┌├└│┬─", "++`|+-")


def draw(
    root: Path,
    children: Mapping[Path, Sequence[Path]],
    name: Callable[[Path], str],
    facts: Callable[[Path, int], list[str]],
) -> Iterator[str]:
    """The lines of one tree.

    `name` is a file's own line; `facts` are those below it, made to leave room for that many columns on their left.
    """
    waiting = [(root, "", "")]
    while waiting:  # not by recursion: a tree may be deeper than Python's stack
        top, outer, lead = waiting.pop()
        prefix = outer + {"": "", "├──": "│  ", "└──": "   "}[lead]
        stretch = _stretch(top, children)
        branches = children.get(stretch[-1], ())
        for number, path in enumerate(stretch):
            goes_on = number < len(stretch) - 1 or bool(branches)
            yield (outer + lead if number == 0 else prefix) + _knot(number, lead, goes_on=goes_on) + name(path)
            yield from (prefix + ("│  " if goes_on else "   ") + fact for fact in facts(path, len(prefix) + 3))
        leads = ["├──"] * (len(branches) - 1) + ["└──"] * bool(branches)
        waiting += reversed([(child, prefix, lead) for child, lead in zip(branches, leads, strict=True)])


def _stretch(top: Path, children: Mapping[Path, Sequence[Path]]) -> list[Path]:
    """A file and those above it, as long as each has one child."""
    found = [top]
    while len(upon := children.get(found[-1], ())) == 1:
        found.append(upon[0])
    return found


def _knot(number: int, lead: str, *, goes_on: bool) -> str:
    if number:
        return "├─ " if goes_on else "└─ "
    first = "┬─ " if lead else "┌─ "
    return first if goes_on else "── "


def in_this_encoding(lines: Iterator[str]) -> Iterator[str]:
    """The lines, drawn in ASCII where the output knows no box characters, and other letters as escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for line in lines:
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            yield line.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
        else:
            yield line
