"""What pages look like, and the patterns of what looks alike."""

import random
from pathlib import Path

import pytest

from analyzer.witnesses.model import Rate, Witness
from analyzer.witnesses.pages import PAGE, Look, looks_of
from analyzer.witnesses.patterns import Pattern, pattern_of
from analyzer.witnesses.stretches import Looks
from tests.support.sources import MIB
from vhdx.errors import ShortReadError
from vhdx.ranges import Range, Ranges
from vhdx.source import MemorySource

TEXT = b"a line of a log\n" * (MIB // 16)


def file_with(places, length, fill, size=32 * MIB):
    data = bytearray(TEXT * (size // MIB))
    for at in places:
        data[at : at + length] = fill(length)
    return Looks([MemorySource(bytes(data))])


def test_pages_are_zeros_noise_or_neither():
    chance = random.Random(1)
    data = bytes(PAGE) + chance.randbytes(PAGE) + TEXT[:PAGE] + bytes(PAGE - 1) + b"\1"
    assert looks_of(data).tolist() == [Look.ZEROS, Look.NOISE, Look.OTHER, Look.OTHER]


def test_of_many_pages_of_noise_none_is_taken_for_another():
    assert set(looks_of(random.Random(2).randbytes(2000 * PAGE)).tolist()) == {Look.NOISE}


@pytest.mark.parametrize(("period", "first"), [(4, 0), (8, 5), (16, 3)])
def test_one_place_that_is_proved_and_others_like_it_make_a_pattern(period, first):
    places = range(first * MIB, 64 * MIB, period * MIB)
    looks = file_with(places, MIB, random.Random(3).randbytes, 64 * MIB)
    proven = Ranges.of([Range(places[1], MIB)])
    assert pattern_of(proven, 0, Look.NOISE, looks) == Pattern(places[0], MIB, period * MIB)


def test_noise_anywhere_makes_no_pattern():
    chance = random.Random(4)
    places = [chance.randrange(480) << 16 for _ in range(6)]
    looks = file_with(places, 1 << 16, chance.randbytes)
    assert pattern_of(Ranges.of([Range(places[0], 1 << 16)]), 0, Look.NOISE, looks) is None


def test_noise_beside_a_place_that_is_proved_does_not_hide_the_pattern():
    places, chance = [5 * MIB, 13 * MIB, 21 * MIB, 29 * MIB], random.Random(6)
    data = bytearray(TEXT * 32)
    for at in places:
        data[at : at + MIB] = chance.randbytes(MIB)
    data[6 * MIB : 6 * MIB + 300_000] = chance.randbytes(300_000)
    found = pattern_of(Ranges.of([Range(5 * MIB, MIB + 294_912)]), 0, Look.NOISE, Looks([MemorySource(bytes(data))]))
    assert found == Pattern(5 * MIB, MIB, 8 * MIB)


def test_three_pages_that_are_proved_foretell_all_that_are_as_far_apart():
    places = range(MIB, 8 * MIB, 1 << 16)
    looks = file_with(places, PAGE, random.Random(9).randbytes, 8 * MIB)
    proven = Ranges.of(Range(at, PAGE) for at in (places[3], places[4], places[9]))
    found = pattern_of(proven, 0, Look.NOISE, looks)
    assert (found.length, found.period, found.first % (1 << 16)) == (PAGE, 1 << 16, 0)
    assert pattern_of(proven, 0, Look.NOISE, file_with([one.start for one in proven], PAGE, bytes, 8 * MIB)) is None


def test_two_places_of_noise_make_no_pattern():
    looks = file_with([5 * MIB, 21 * MIB], MIB, random.Random(7).randbytes)
    assert pattern_of(Ranges.of([Range(5 * MIB, MIB)]), 0, Look.NOISE, looks) is None


def test_a_bad_sector_hides_no_noise_around_it():
    class Unread(MemorySource):
        def read_into(self, offset, buffer):
            if offset <= 2 * MIB + 512 < offset + len(buffer):
                raise ShortReadError(Path("disk.vhdx"), offset, len(buffer), 0)
            super().read_into(offset, buffer)

    data = TEXT * 2 + random.Random(8).randbytes(MIB) + TEXT
    found = Looks([Unread(data)]).of_mib(0, 2).tolist()
    assert found == [Look.UNKNOWN, *[Look.NOISE] * 255]


def test_a_file_that_is_mostly_zeros_has_no_pattern_of_zeros():
    looks = Looks([MemorySource(TEXT + bytes(31 * MIB))])
    assert pattern_of(Ranges.of([Range(8 * MIB, MIB)]), 0, Look.ZEROS, looks) is None


def test_a_stretch_goes_on_over_every_mib_that_it_is_in():
    looks = file_with([MIB + 8192], 3 * MIB, random.Random(5).randbytes)
    assert looks.stretches(0, Look.NOISE, [2]) == Ranges.of([Range(MIB + 8192, 3 * MIB)])


@pytest.mark.parametrize(("known", "wrong", "is_believed"), [(100, 3, True), (100, 4, False), (9, 0, False)])
def test_a_witness_that_was_asked_too_little_or_is_often_wrong_is_not_believed(known, wrong, is_believed):
    assert Rate(Witness.SLACK, known, wrong).is_believed is is_believed


@pytest.mark.parametrize(("known", "wrong", "holds"), [(3, 0, True), (9, 1, False), (14, 7, True), (14, 8, False)])
def test_holes_are_believed_where_most_zeros_of_a_file_are_stored(known, wrong, holds):
    assert Rate(Witness.HOLES, known, wrong).is_believed is holds
