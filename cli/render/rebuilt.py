"""What `vhdx recover` made anew of a file, for people: of many parts of one kind the first ones and their number."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from analyzer.recover.rebuild import Rebuilt
from cli.text import safe

_FIRST = 3
_NUMBER = re.compile(r"\d+")


def rebuilt_lines(parts: Iterable[Rebuilt], account: Path | None) -> Iterator[str]:
    """The parts, a line each; where they differ in numbers alone, a few of them and where all of them are."""
    kinds = defaultdict[tuple[str, str], list[Rebuilt]](list)
    for part in parts:
        kinds[_head(part), _NUMBER.sub("0", part.how)].append(part)
    for alike in kinds.values():
        yield from _some(alike, safe(account) if account else "--json")


def _some(alike: Sequence[Rebuilt], where: str) -> Iterator[str]:
    shown = alike if len(alike) <= _FIRST + 1 else alike[:_FIRST]  # one alone is worth its line
    yield from (f"{_head(part)}: {safe(part.how)}" for part in shown)
    if more := len(alike) - len(shown):
        yield f"{_head(alike[0])}: {more} more like these, {len(alike)} in all: {where} lists them"


def _head(part: Rebuilt) -> str:
    return f"rebuilt, {part.certainty.value}: {part.structure}"
