"""Runs that end anywhere, and runs that have less than the one before: a map never says more than its image holds."""

import itertools
from pathlib import Path

import pytest

from analyzer.convert.model import Options
from analyzer.recover.disk.filled import Fill
from analyzer.recover.inputs.layers import Basis
from analyzer.recovery_map.beside import account_of, map_of
from analyzer.recovery_map.mapfile import Status
from tests.analyzer.recover.inputs.test_bad_sectors import SIZE, WHOLE
from tests.analyzer.recover.test_job import AGAIN, attempt, failing
from vhdx.errors import OutputError
from vhdx.sink import Existing, part_of
from vhdx.source_map import rows_of

FORCED = {"options": Options(existing=Existing.REPLACE)}


def assert_map_is_of_its_image(target):
    """What the map calls known is right in the image beside it, if both are there."""
    if not (target.exists() and map_of(target).exists()):
        return
    content = target.read_bytes()
    for part, sign in rows_of(map_of(target).read_text()):
        if sign == "+":
            assert content[part.start : part.end] == WHOLE[part.start : part.end]


class Ending:
    """Renaming and removing end by a signal at the call of this number."""

    def __init__(self, monkeypatch, at):
        self.left = at
        for name in ("replace", "unlink"):
            monkeypatch.setattr(Path, name, self._ending(getattr(Path, name)))

    def _ending(self, call):
        def counted(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return call(*arguments, **options)

        return counted


def states_of_ending(monkeypatch, run):
    """Run again and again, each time ended at a later call, until one is not."""
    for at in itertools.count(1):
        with monkeypatch.context() as patched:
            ending = Ending(patched, at)
            try:
                run()
            except KeyboardInterrupt:
                yield at
                continue
            assert ending.left > 0
            return


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [FORCED, AGAIN])
def test_a_run_over_a_worse_image_may_end_anywhere(tmp_path, monkeypatch, earlier):
    target, ends = tmp_path / "disk.raw", 0

    def run():
        if not target.exists():
            attempt(target, failing(*range(900)), **FORCED)
        attempt(target, failing(), **earlier)

    attempt(target, failing(*range(900)))
    for _ in states_of_ending(monkeypatch, run):
        ends += 1
        assert_map_is_of_its_image(target)
        attempt(target, failing(*range(900)), **FORCED)
    assert ends >= 3
    assert target.read_bytes() == WHOLE


def test_a_first_run_that_ends_anywhere_leaves_no_paper_that_stands_in_the_next_ones_way(tmp_path, monkeypatch):
    target = tmp_path / "disk.raw"

    def run():
        attempt(target, failing(3))

    for _ in states_of_ending(monkeypatch, run):
        assert_map_is_of_its_image(target)
        part_of(target).unlink(missing_ok=True)  # whole, and told
        if target.exists():  # all was in place when the signal came
            for path in (target, map_of(target), account_of(target)):
                path.unlink(missing_ok=True)
    assert target.exists()
    assert map_of(target).exists()


def test_papers_of_somebody_else_are_not_replaced_although_there_is_no_image(tmp_path):
    target = tmp_path / "disk.raw"
    map_of(target).write_text("a map of the treasure")
    with pytest.raises(OutputError, match="exists already"):
        attempt(target, failing())
    assert map_of(target).read_text() == "a map of the treasure"


def test_a_resumed_run_that_has_less_keeps_what_was_stale(tmp_path, monkeypatch):
    """The earlier map has a range as stale; the medium has lost it since."""
    target = tmp_path / "disk.raw"
    attempt(target, failing())
    start, end = 2 << 20, (2 << 20) + 512 * 8
    lines = map_of(target).read_text().splitlines(keepends=True)[:6]
    spans = [(0, start, "+"), (start, end, "/"), (end, SIZE, "+")]
    map_of(target).write_text("".join(lines) + "".join(f"0x{a:08X}  0x{b - a:08X}  {sign}\n" for a, b, sign in spans))
    totals, bases = attempt(target, failing(*range(8)), fill=Fill.PATTERN, **AGAIN)
    assert totals == {Status.KNOWN: SIZE - 4096, Status.STALE: 4096, Status.LOST: 0}
    assert bases == {Basis.EARLIER}
    assert target.read_bytes() == WHOLE
