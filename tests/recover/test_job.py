"""Whole runs upon media that fail: the map, and what a later run asks of the medium."""

from pathlib import Path

import pytest

from analyzer.convert import Options, OutputFormat
from analyzer.recover import Status, Wishes, plan_recovery, run_recovery
from analyzer.recover.account import Basis
from analyzer.recover.job import Attempt
from tests.recover.disks import NOWHERE
from tests.recover.test_faults import SIZE, WHOLE, FailingSource, a_file, place_of
from tests.sources import SparseSource
from vhdx.errors import OutputError
from vhdx.image import open_image
from vhdx.sink import Existing

MIB = 1 << 20
NAME = Path("/nowhere/disk.vhdx")


def attempt(target, source, **wishes):
    """One run; gives its totals and the bases of its rows."""
    wanted = Wishes(inputs=(NAME,), search=NOWHERE, target=target, **wishes)
    with plan_recovery(wanted, lambda _path: source) as plan:
        outcome = run_recovery(plan, lambda _plan, _totals: ["{}"])
        return outcome.totals.bytes_of, {row.basis for row in plan.rows()}


def failing(*sectors):
    """The file upon a medium with these sectors of block 2 gone."""
    at = place_of(2)
    return FailingSource(SparseSource(a_file(), NAME), [(at + n * 512, at + n * 512 + 512) for n in sectors])


AGAIN = {"attempt": Attempt.RESUME, "options": Options(existing=Existing.REPLACE)}


@pytest.mark.parametrize("form", [OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED])
def test_a_later_run_asks_the_medium_for_nothing_but_what_is_missing(tmp_path, form):
    target = tmp_path / "disk"
    totals, bases = attempt(target, failing(3, 4, 900), format=form)
    assert totals == {Status.KNOWN: SIZE - 3 * 512, Status.STALE: 0, Status.LOST: 3 * 512}
    assert Basis.UNREADABLE in bases
    better, at = failing(900), place_of(2)
    totals, bases = attempt(target, better, format=form, **AGAIN)
    assert totals[Status.LOST] == 512
    data = [(start, end) for start, end in better.asked if start >= at and end <= at + MIB]
    assert sorted(set(data)) == [(at + 3 * 512, at + 5 * 512), (at + 900 * 512, at + 901 * 512)]
    totals, _ = attempt(target, failing(), format=form, **AGAIN)
    assert totals[Status.KNOWN] == SIZE
    content = target.read_bytes() if form is OutputFormat.RAW else read_image(target)
    assert content == WHOLE


def read_image(path):
    with open_image(path) as image:
        return image.read(0, image.size)


def test_an_image_never_has_its_name_without_its_map(tmp_path):
    target = tmp_path / "disk.raw"
    wanted = Wishes(inputs=(NAME,), search=NOWHERE, target=target)

    def document(_plan, _totals):
        assert not target.exists()
        return ["{}"]

    with plan_recovery(wanted, lambda _path: failing()) as plan:
        run_recovery(plan, document)
    assert target.exists()


def test_an_image_of_another_size_is_not_gone_on_with(tmp_path):
    target = tmp_path / "disk.raw"
    attempt(target, failing())
    target.write_bytes(b"short")
    with pytest.raises(OutputError, match="begin anew"):
        attempt(target, failing(), **AGAIN)
