"""Which restore points stay."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from analyzer.backup.forget import Every, RestorePoint, emptied, judge, named


def point(name, *when, disk="a", zone=UTC, above=()):
    return RestorePoint(name=name, disk=disk, created=datetime(*when, tzinfo=zone), checkpoints=tuple(above))


def kept(points, **rules):
    verdicts = judge(points, {Every(every): count for every, count in rules.items()})
    return {verdict.point.name: verdict.reasons for verdict in verdicts if verdict.reasons}


def test_the_last_points_stay():
    points = [point(str(day), 2026, 3, day) for day in range(1, 10)]
    assert sorted(kept(points, last=3)) == ["7", "8", "9"]


def test_of_each_day_the_newest_stays_and_days_without_a_point_do_not_count():
    points = [point("1am", 2026, 3, 1, 8), point("1pm", 2026, 3, 1, 20), point("2", 2026, 3, 2), point("9", 2026, 3, 9)]
    assert kept(points, daily=2) == {"9": ("daily 2026-03-09",), "2": ("daily 2026-03-02",)}
    assert sorted(kept(points, daily=3)) == ["1pm", "2", "9"]


def test_a_week_may_belong_to_another_year_than_its_days():
    points = [point("monday", 2025, 12, 29), point("thursday", 2026, 1, 1)]
    assert kept(points, weekly=5) == {"thursday": ("weekly 2026-W01",)}
    assert sorted(kept(points, yearly=5)) == ["monday", "thursday"]


def test_a_point_has_every_reason_that_keeps_it():
    assert kept([point("only", 2026, 3, 1)], last=1, monthly=2, yearly=1) == {
        "only": ("last", "monthly 2026-03", "yearly 2026")
    }


def test_days_are_those_of_the_point_and_order_is_by_true_time():
    east = timezone(timedelta(hours=10))
    points = [point("late", 2026, 3, 1, 23, 0), point("next", 2026, 3, 2, 5, 0, zone=east)]
    # 05:00 at +10:00 is 19:00 UTC the day before: earlier than "late", and yet of the next day
    assert kept(points, last=1) == {"late": ("last",)}
    assert sorted(kept(points, daily=2)) == ["late", "next"]


def test_each_disk_is_judged_by_itself():
    points = [point("a1", 2026, 3, 1), point("b1", 2020, 3, 1, disk="b"), point("a2", 2026, 3, 2)]
    assert sorted(kept(points, last=1)) == ["a2", "b1"]


def test_the_checkpoints_of_a_point_stay_as_long_as_it_does_and_count_for_nothing():
    first = [point("base", 2026, 3, 1), point("middle", 2026, 3, 1, above=["base"])]
    first += [point("leaf", 2026, 3, 1, above=["base", "middle"])]
    later = point("leaf-2", 2026, 3, 2, above=["base", "middle"])
    alone = point("other", 2026, 2, 1)
    assert kept([*first, alone], last=1) == {
        "leaf": ("last",), "base": ("checkpoint of leaf",), "middle": ("checkpoint of leaf",)
    }  # fmt: skip
    assert sorted(kept([*first, alone], last=2)) == ["base", "leaf", "middle", "other"]
    assert sorted(kept([*first, later, alone], daily=1)) == ["base", "leaf-2", "middle"]
    assert sorted(kept([*first, later, alone, point("new", 2026, 3, 3)], daily=1)) == ["new"]


def test_a_number_below_zero_keeps_all():
    points = [point(str(year), year, 1, 1) for year in range(2001, 2026)]
    assert len(kept(points, yearly=-1)) == 25


def test_a_disk_that_would_lose_its_last_point_is_named():
    points = [point("a1", 2026, 3, 1), point("b1", 2026, 3, 1, disk="b"), point("a2", 2026, 3, 2)]
    assert emptied(named(points, ["a1"])) == []
    assert emptied(named(points, ["a1", "a2", "b1"])) == ["a", "b"]


moments = st.datetimes(datetime(2019, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
rules = st.dictionaries(st.sampled_from(Every), st.integers(1, 6), min_size=1)


@given(st.lists(moments, min_size=1, max_size=40, unique=True), rules)
def test_the_newest_point_always_stays_and_forgetting_again_changes_nothing(times, wanted):
    points = [RestorePoint(name=str(number), disk="a", created=when) for number, when in enumerate(times)]
    stay = [verdict.point for verdict in judge(points, wanted) if verdict.reasons]
    assert max(points, key=lambda point: point.created) in stay
    assert [verdict.point for verdict in judge(stay, wanted) if verdict.reasons] == stay


@given(st.lists(moments, min_size=1, max_size=40, unique=True), st.integers(1, 6))
def test_daily_keeps_what_a_plain_count_of_days_keeps(times, count):
    points = [RestorePoint(name=str(number), disk="a", created=when) for number, when in enumerate(times)]
    days = sorted({when.date() for when in times})[-count:]
    expected = {max(when for when in times if when.date() == day) for day in days}
    assert {v.point.created for v in judge(points, {Every.DAILY: count}) if v.reasons} == expected
