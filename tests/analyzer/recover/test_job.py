"""Whole runs upon media that fail: the map, and what a later run asks of the medium."""

from pathlib import Path

import pytest

from analyzer.convert.model import Options, OutputFormat
from analyzer.recover.inputs.layers import PRESENT, Basis
from analyzer.recover.job import Attempt, RecoverOptions, map_identity, plan_recovery, run_recovery
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.mapfile import Status, read_mapfile
from tests.analyzer.recover.disks import NOWHERE
from tests.analyzer.recover.inputs.test_bad_sectors import SIZE, WHOLE, FailingSource, a_file, place_of
from tests.support.sources import SparseSource
from vhdx.errors import OutputError
from vhdx.image import open_image
from vhdx.ranges import Range
from vhdx.sink import Existing

pytestmark = pytest.mark.slow

MIB = 1 << 20
NAME = Path("/nowhere/disk.vhdx")


def attempt(target, source, **request):
    """One run; gives its totals and the bases of its rows."""
    wanted = RecoverOptions(inputs=(NAME,), search=NOWHERE, target=target, **request)
    with plan_recovery(wanted, lambda _path: source) as plan:
        source.planned = len(source.asked)
        outcome = run_recovery(plan, lambda _plan, _totals: ["{}"])
        return outcome.totals.bytes_of, {row.basis for row in plan.rows()}


def failing(*sectors):
    """The file upon a medium with these sectors of block 2 gone."""
    at = place_of(2)
    return FailingSource(SparseSource(a_file(), NAME), [Range(at + n * 512, 512) for n in sectors])


AGAIN = {"attempt": Attempt.RESUME, "options": Options(existing=Existing.REPLACE)}


@pytest.mark.parametrize("form", [OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED])
def test_a_later_run_copies_nothing_but_what_is_missing_and_reads_no_more_than_signs_before(tmp_path, form):
    target = tmp_path / "disk"
    totals, bases = attempt(target, failing(3, 4, 900), format=form)
    assert totals == {Status.KNOWN: SIZE - 3 * 512, Status.STALE: 0, Status.LOST: 3 * 512}
    assert Basis.UNREADABLE in bases
    better, at = failing(900), place_of(2)
    totals, bases = attempt(target, better, format=form, **AGAIN)
    assert totals[Status.LOST] == 512
    data = [[one for one in asked if at <= one[0] and one[1] <= at + MIB] for asked in better.asked_to_plan_and_copy()]
    assert sum(end - start for start, end in data[0]) <= MIB // 10  # whether blocks hold what others must
    assert sorted(set(data[1])) == [(at + 3 * 512, at + 5 * 512), (at + 900 * 512, at + 901 * 512)]
    totals, _ = attempt(target, failing(), format=form, **AGAIN)
    assert totals[Status.KNOWN] == SIZE
    content = target.read_bytes() if form is OutputFormat.RAW else read_image(target)
    assert content == WHOLE


def read_image(path):
    with open_image(path) as image:
        return image.read(0, image.size)


class PowerCut(BaseException):
    """Nothing runs after it."""


class Interruption:
    """Raises `error` before the nth of all renames and removals; after a power cut none of them happens any more."""

    def __init__(self, monkeypatch, nth, error):
        self.left, self.error = nth, error
        for name in ("replace", "unlink"):
            monkeypatch.setattr(Path, name, self.around(getattr(Path, name)))

    def around(self, step):
        def counted(path, *arguments, **more):
            self.left -= 1
            if self.left == 0 or (self.left < 0 and self.error is PowerCut):
                raise self.error
            return step(path, *arguments, **more)

        return counted


def interrupted(monkeypatch, target, nth, error, source, **request):
    """Whether the nth step was reached; the run was ended there."""
    with monkeypatch.context() as patch:
        steps = Interruption(patch, nth, error)
        try:
            attempt(target, source, **request)
        except error:
            return True
        assert steps.left > 0
    return False


FORCED = {"options": Options(existing=Existing.REPLACE)}
OLD, NEW = b"o" * SIZE, WHOLE
OLD_MAP = "an older map"
STEPS = range(1, 12)


def state_of(target):
    """(image, map): 'old', 'new' or None."""
    image = target.read_bytes() if target.exists() else None
    text = map_of(target).read_text() if map_of(target).exists() else None
    return (
        None if image is None else "old" if image == OLD else "new",
        None if text is None else "old" if text == OLD_MAP else "new",
    )


def with_older(folder):
    folder.mkdir()
    target = folder / "disk.raw"
    target.write_bytes(OLD)
    map_of(target).write_text(OLD_MAP)
    target.with_name("disk.raw.json").write_text("{}")
    return target


@pytest.mark.parametrize("error", [PowerCut, KeyboardInterrupt])
def test_whenever_a_forced_run_ends_no_map_stands_beside_an_image_that_is_not_its_own(tmp_path, monkeypatch, error):
    seen = []
    for nth in STEPS:
        target = with_older(tmp_path / str(nth))
        if not interrupted(monkeypatch, target, nth, error, failing(), **FORCED):
            assert state_of(target) == ("new", "new")
            break
        seen.append(state_of(target))
        assert seen[-1] in {("old", "old"), (None, "old"), (None, "new"), ("new", "new")}
        if error is KeyboardInterrupt:  # that one can be answered: nothing is lost on the way
            assert None not in seen[-1]
        elif seen[-1][0] is None:
            assert target.with_name("disk.raw.part").read_bytes() == NEW
    assert len(seen) >= 4


@pytest.mark.parametrize("error", [PowerCut, KeyboardInterrupt])
def test_whenever_a_first_run_ends_an_image_has_its_map(tmp_path, monkeypatch, error):
    for nth in STEPS:
        target = tmp_path / str(nth) / "disk.raw"
        target.parent.mkdir()
        if not interrupted(monkeypatch, target, nth, error, failing()):
            break
        assert state_of(target) in {(None, None), (None, "new"), ("new", "new")}
        if error is KeyboardInterrupt:
            assert state_of(target) != (None, "new")
    assert nth > 3


def test_a_first_run_that_is_interrupted_while_the_account_is_written_leaves_nothing(tmp_path):
    wanted = RecoverOptions(inputs=(NAME,), search=NOWHERE, target=tmp_path / "disk.raw")

    def document(_plan, _totals):
        raise KeyboardInterrupt

    with plan_recovery(wanted, lambda _path: failing()) as plan, pytest.raises(KeyboardInterrupt):
        run_recovery(plan, document)
    assert not list(tmp_path.iterdir())


def test_a_later_run_that_is_cut_off_leaves_a_map_that_says_no_more_than_the_image_holds(tmp_path, monkeypatch):
    for nth in STEPS:
        target = tmp_path / str(nth) / "disk.raw"
        target.parent.mkdir()
        attempt(target, failing(3, 4, 900))
        reached = interrupted(monkeypatch, target, nth, PowerCut, failing(900), **AGAIN)
        image = target.read_bytes()
        with plan_recovery(RecoverOptions(inputs=(NAME,), search=NOWHERE), lambda _path: failing()) as plan:
            size, identity = plan.disk.size, map_identity(plan.disk, PRESENT)
        for known in read_mapfile(map_of(target), size, identity)[Status.KNOWN]:
            assert image[known.start : known.end] == WHOLE[known.start : known.end]
        if not reached:
            break
    assert nth > 3


def test_an_image_of_another_size_is_not_gone_on_with(tmp_path):
    target = tmp_path / "disk.raw"
    attempt(target, failing())
    target.write_bytes(b"short")
    with pytest.raises(OutputError, match="begin anew"):
        attempt(target, failing(), **AGAIN)


def test_a_sector_that_fails_now_stays_what_the_earlier_run_had_as_stale(tmp_path):
    target = tmp_path / "disk.raw"
    attempt(target, failing())
    map_of(target).write_text(map_of(target).read_text().replace("  +\n", "  /\n"))
    totals, bases = attempt(target, failing(3), **AGAIN)
    assert totals == {Status.KNOWN: SIZE - 512, Status.STALE: 512, Status.LOST: 0}
    assert bases == {Basis.HELD, Basis.EARLIER}
    assert target.read_bytes() == WHOLE
