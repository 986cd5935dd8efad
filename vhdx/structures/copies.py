"""A structure that a file has twice, headers and region tables: so one is whole while the other is written."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from vhdx.findings import Finding, Severity

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Copies(Generic[Record]):
    """Both copies, what is wrong with each, and the index of the one that serves; None when neither can."""

    copies: tuple[Record, Record]
    flaws: tuple[tuple[Finding, ...], tuple[Finding, ...]]
    current_copy: int | None

    @property
    def current(self) -> Record:
        """The copy that serves; only to be asked for once `check_copies` is without errors."""
        return self.copies[self.current_copy or 0]

    @property
    def previous(self) -> Record | None:
        """The other copy when it is valid: of headers the state before the last update, evidence of what was."""
        other = 1 - (self.current_copy or 0)
        return None if self.flaws[other] else self.copies[other]


def judge_copies(
    pages: tuple[bytes, bytes],
    parse: Callable[[bytes], Record],
    check: Callable[[Record, bytes, int], Iterable[Finding]],
    offsets: tuple[int, int],
    rank: Callable[[Record], int],
) -> Copies[Record]:
    """Both copies, parsed and checked; of the valid ones the one of greater rank serves, the first at a tie."""
    first, second = map(parse, pages)
    flaws = tuple(check(first, pages[0], offsets[0])), tuple(check(second, pages[1], offsets[1]))
    valid = [number for number in (0, 1) if not flaws[number]]
    return Copies((first, second), flaws, max(valid, key=lambda number: rank((first, second)[number]), default=None))


def check_validity(
    pair: Copies[Record], what: str, codes: tuple[str, str], offsets: tuple[int, int], size: int, section: str
) -> Iterator[Finding]:
    """Whether a copy is invalid, the second code, or both are, the first one; `size` is that of a copy, in bytes."""
    if pair.current_copy is None:
        reasons = "; ".join(f"copy {copy + 1}: {flaws[0].message}" for copy, flaws in enumerate(pair.flaws))
        yield Finding(codes[0], Severity.ERROR, f"neither {what} is valid ({reasons})", offsets[0], None, section)
        return
    for copy, flaws in enumerate(pair.flaws):
        if flaws:
            text = f"{what} copy {copy + 1} is invalid ({flaws[0].message}); copy {2 - copy} serves"
            yield Finding(codes[1], Severity.WARNING, text, offsets[copy], size, section)
