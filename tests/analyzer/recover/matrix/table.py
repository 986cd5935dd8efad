"""What comes back, as tables in Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence

from tests.analyzer.recover.matrix.trial import Damage, Filler, Result

Outcomes = Sequence[tuple[Damage, Result]]
_ROWS = re.compile(r"BAT sector \d+")


def cell(result: Result) -> str:
    """Percent of what the guest had written that is back, `~` where it is likely, not known, as a whole or in part."""
    back = result.data_known + result.data_likely
    percent = 100 * back // result.data if result.data else 100
    return f"{percent}{'~' if result.data_likely else ''}"


def singles_table(found: dict[str, Outcomes]) -> Iterator[str]:
    """A row for each damage, a column for each specimen; `a / b` where zeros and noise differ."""
    yield "| lost | " + " | ".join(found) + " |"
    yield "|---|" + "---|" * len(found)
    for name in _names(found):
        yield f"| {name} | " + " | ".join(_both(outcomes, name) for outcomes in found.values()) + " |"


def _names(found: dict[str, Outcomes]) -> list[str]:
    names = dict.fromkeys(_plain(damage.name) for outcomes in found.values() for damage, _ in outcomes)
    return list(names)


def _plain(name: str) -> str:
    return _ROWS.sub("a sector of the BAT", name)


def _both(outcomes: Outcomes, name: str) -> str:
    """The worst of the results of this name, for zeros and for noise."""
    cells = []
    for filler in Filler:
        results = [result for damage, result in outcomes if _plain(damage.name) == name and damage.filler is filler]
        if results:
            cells.append(cell(min(results, key=lambda result: (result.data_known + result.data_likely, -result.lost))))
    return " / ".join(dict.fromkeys(cells)) or "-"


def summary_table(found: dict[str, Outcomes]) -> Iterator[str]:
    """For each specimen, how many damages left how much."""
    yield "| file | damages | all known | all back, likely in part | a part back | nothing back | known and wrong |"
    yield "|---|---|---|---|---|---|---|"
    for name, outcomes in found.items():
        yield f"| {name} | {len(outcomes)} | " + " | ".join(map(str, _counts(result for _, result in outcomes))) + " |"


def _counts(results: Iterable[Result]) -> list[int]:
    counts = [0, 0, 0, 0, 0]
    for result in results:
        back = result.data_known + result.data_likely
        place = 3 if not back else 2 if back < result.data else 1 if result.data_likely else 0
        counts[place] += 1
        counts[4] += bool(result.wrong)
    return counts


def truncations_table(found: dict[str, Outcomes]) -> Iterator[str]:
    """For each specimen what is back when the file was cut to a part of its length."""
    parts = (10, 25, 50, 75, 90)
    yield "| file | cuts | " + " | ".join(f"at {part} %" for part in parts) + " | known and wrong |"
    yield "|---|---|" + "---|" * len(parts) + "---|"
    for name, outcomes in found.items():
        at = [cell(outcomes[len(outcomes) * part // 100][1]) for part in parts]
        wrong = sum(bool(result.wrong) for _, result in outcomes)
        yield f"| {name} | {len(outcomes)} | " + " | ".join(at) + f" | {wrong} |"
