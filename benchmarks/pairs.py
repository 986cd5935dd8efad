"""Measuring in pairs: peer, ours, peer, ours ... so that a machine whose speed drifts bends both sides alike."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: medians in `unit`, the median of the pairs' ratios, and what that may be at most."""

    what: str
    yardstick: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    bar: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.bar

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return (
            f"| {self.what} | {self.yardstick} | {self.ours:.3g} {self.unit} | {self.theirs:.3g} {self.unit} "
            f"| {self.ratio:.2f} | {self.bar:.2f} | {verdict} |"
        )


HEADING = "| what | yardstick | ours | theirs | ratio | at most | |\n|---|---|---|---|---|---|---|"


def table(figures: list[Figure]) -> str:
    return "\n".join([HEADING, *map(str, figures)])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Takes figures with pytest-benchmark, which keeps the times of our side."""

    benchmark: Any
    figures: list[Figure]
    measuring: bool

    def compare(
        self, names: tuple[str, str], ours: Work, theirs: Work, *, bar: float, rounds: int, between: Work = bool
    ) -> None:
        """Run both in turn, the first pair uncounted; asserts that ours takes at most `bar` times as long.

        `names` say what is measured and against what. `between` cleans up before each side, outside the times.
        """
        our_times: list[float] = []
        their_times: list[float] = []

        def peer_first() -> None:
            between()
            their_times.append(_seconds(theirs))
            between()

        def then_ours() -> None:
            our_times.append(_seconds(ours))

        self.benchmark.pedantic(then_ours, setup=peer_first, rounds=rounds, warmup_rounds=1)
        if self.measuring:
            ratios = [mine / other for mine, other in zip(our_times[1:], their_times[1:], strict=True)]
            self.note(names, median(our_times[1:]), median(their_times[1:]), "s", median(ratios), bar)

    def note(self, names: tuple[str, str], ours: float, theirs: float, unit: str, ratio: float, bar: float) -> None:
        """Put a figure into the table; asserts that its bar is met."""
        figure = Figure(*names, ours, theirs, unit, ratio, bar)
        self.benchmark.extra_info.update(figure.as_dict())
        self.figures.append(figure)
        assert figure.met, f"\n{HEADING}\n{figure}"


def _seconds(work: Work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
