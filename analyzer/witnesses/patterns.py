"""Patterns of what was encrypted or overwritten: so many bytes of every so many, from a first place on.

What is proved to be in doubt tells how long a place is and where one begins; the file's samples tell whether places
that are as far apart look like it. A pattern has to be unlikely: by how often a stretch of that length looks like it
elsewhere in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import lgamma, log, log10
from typing import NamedTuple

import numpy as np

from analyzer.witnesses.model import Marks
from analyzer.witnesses.pages import Look
from analyzer.witnesses.stretches import Looks, Samples
from vhdx.ranges import Column, Range, Ranges
from vhdx.structures.constants import MIB

# Of the places that a pattern foretells so many look like it; those that were zeros may have been spared.
_LEAST_SHARE = 0.9
# A pattern by chance, of all that are tried: one in a million where nothing else speaks, and one in a hundred on a disk
# of which a place was proved already: what a guest wrote itself may be in doubt there, and healthy disks have no such.
_LEAST_LOG, _LEAST_LOG_PROVEN = 6.0, 2.0
# Short places that are proved, by whose distances others are foretold.
_LEAST_FINE = 3
# Two places are as far apart as they are.
_LEAST_PLACES = 3
# Places that show a pattern although nothing else speaks against any of them.
_LEAST_ALONE = 5
# Lengths of other stretches that a part of a longer one may have.
_MOST_LENGTHS = 4
# Stretches that patterns begin with, and other places that are as far away as a period.
_MOST_PROVEN, _MOST_PERIODS = 16, 512


@dataclass(frozen=True, slots=True)
class Pattern:
    """`length` bytes of every `period` of a file, from byte `first` on."""

    first: int
    length: int
    period: int

    def places(self, size: int) -> Iterator[Range]:
        """All of its places in a file of so many bytes."""
        return (Range(at, min(self.length, size - at)) for at in range(self.first, size, self.period))


def pattern_of(proven: Ranges, layer: int, look: Look, looks: Looks) -> Pattern | None:
    """The pattern that stretches of a file make which are in doubt, with what looks like them; None where they do not.

    The one with most places wins, and of those the one with the longest period.
    """
    found = (one for one in _patterns(proven, looks.samples(layer), look) if one.weight >= _LEAST_LOG_PROVEN)
    best = max(found, key=lambda one: (one.hits, one.pattern.period), default=None)
    return best.pattern if best else _fine_pattern(proven, layer, look, looks)


def _fine_pattern(proven: Ranges, layer: int, look: Look, looks: Looks) -> Pattern | None:
    """The pattern of places that are shorter than what a sample stands for: by pages, and those beside them."""
    unit, _ = looks.samples(layer)
    short = proven.start[proven.length == proven.length.min()] if len(proven) else proven.start
    length = int(proven.length.min()) if len(proven) else unit
    period = int(np.gcd.reduce(np.diff(short))) if len(short) >= _LEAST_FINE else 0
    if length >= unit or period < 2 * length:
        return None
    places = range(int(short[0]) % period, looks.size_of(layer) - length, period)
    some = places[:: max(1, len(places) // _MOST_PERIODS)]
    hits = [looks.look_at(layer, at) == look for at in some]
    first = hits.index(True) if any(hits) else len(hits)
    beside = sum(looks.look_at(layer, at + length) == look for at in some[first:])
    is_one = sum(hits) >= max(1.0, _LEAST_SHARE * (len(hits) - first)) and 2 * beside <= sum(hits)
    start = some[first - 1] + period if first else places[0]  # none of those before is of it
    return Pattern(start, length, period) if is_one else None


def weight_of_pattern(stretches: Ranges, layer: int, look: Look, looks: Looks) -> float:
    """How unlikely it is by chance that stretches make a pattern with what looks like them; a negative log10."""
    return max((one.weight for one in _patterns(stretches, looks.samples(layer), look)), default=0.0)


class _Found(NamedTuple):
    """A pattern, how many of its places look like it, and how unlikely that is; a negative log10."""

    hits: int
    weight: float
    pattern: Pattern


def _patterns(proven: Ranges, samples: Samples, look: Look) -> Iterator[_Found]:
    """Every pattern that stretches make with two places or more that look like them."""
    unit, alike = samples.unit, samples.looks == look
    counted = samples.looks != Look.UNKNOWN if look is Look.ZEROS else alike | (samples.looks == Look.OTHER)
    runs = Ranges.where(alike)
    begins = runs.start
    is_of_mibs = ((runs.start | runs.length) * unit) % MIB == 0
    for stretch in _parts_of(proven, np.unique(runs.length[is_of_mibs]) * unit):
        start, length = stretch.start // unit, stretch.length // unit
        if not length or stretch.start % unit:
            continue
        whole = _whole(alike, length)
        # What is cut at whole MiB, as blocks are, is expected there alone.
        step = MIB // unit if unit < MIB and not (stretch.start | stretch.length) % MIB else 1
        room, alone = -(-len(whole) // step), runs.start[(runs.length == length) & (runs.start % step == 0)]
        periods = np.unique(np.abs(begins - start))
        periods = periods[(periods >= 2 * length) & (periods % step == 0)][:_MOST_PERIODS]
        for period in periods.tolist():
            first, hits = _borne_out(whole, _whole(counted, length), start, period) or (0, 0)
            if hits >= _LEAST_PLACES:
                places = np.arange(first, len(whole), period)
                others = places[whole[places] & (places != start)]
                # Noise of the guest's own is mostly longer than what was made noise, which ends where it ends.
                pool = alone if np.isin(others, alone).all() else np.flatnonzero(whole[::step])
                weight = _weight(room, len(pool), len(others)) - log10(len(periods))
                yield _Found(hits, weight, Pattern(first * unit + stretch.start % unit, stretch.length, period * unit))


def _parts_of(proven: Ranges, lengths: Column) -> Iterator[Range]:
    """Stretches, and those parts of them that may be one place: noise of the guest's own may be beside it.

    A part is of whole MiB: all that there are, or as many at either end as other stretches have, by `lengths`.
    """
    for stretch in list(proven)[:_MOST_PROVEN]:
        yield stretch
        start, end = -(-stretch.start // MIB) * MIB, stretch.end // MIB * MIB
        if start < end and (start, end) != (stretch.start, stretch.end):
            yield Range.between(start, end)
        for length in lengths[lengths < end - start][:_MOST_LENGTHS].tolist():
            yield Range(start, length)
            yield Range(end - length, length)


def _weight(room: int, count: int, hits: int) -> float:
    """How unlikely it is that beside one place, which is given, so many are alike; `count` of all `room` places are."""
    usual = max(1, count - hits) / max(1, room - hits)
    return hits * -log10(min(1.0, usual))


def lone_pattern(layer: int, looks: Looks) -> list[Range]:
    """The places of noise that make a pattern by themselves, all of one length and cut alike; none where none do.

    Blocks of noise that a guest wrote are anywhere, but all at whole MiB: chances are counted among those.
    """
    unit, seen = looks.samples(layer)
    alike = seen == Look.NOISE
    runs = Ranges.where(alike)
    best: list[Range] = []
    for length in np.unique(runs.length).tolist():
        starts = runs.start[runs.length == length]
        step = MIB // unit if unit < MIB and not ((starts | length) % (MIB // unit)).any() else 1
        whole = _whole(alike, length)
        room = max(len(starts), len(alike) // step)
        for start, period in _tried(starts, length):
            places = np.arange(start % period, len(alike), period)
            places = places[int(whole[places].argmax()) :]
            alone = places[np.isin(places, starts)]  # others may be beside noise of the guest's own
            enough = len(alone) >= max(_LEAST_ALONE, len(best) + 1) and whole[places].mean() >= _LEAST_SHARE
            if enough and _unlikely(room, len(starts), len(alone)) >= _LEAST_LOG:
                best = [Range(at * unit, length * unit) for at in alone.tolist()]
    return best


def _unlikely(room: int, count: int, hits: int) -> float:
    """How unlikely it is that of `count` places, anywhere among `room`, so many are as far apart; a negative log10."""
    natural = _choices(room, count) - _choices(room - hits, count - hits)
    return natural / log(10) - log10(room * room / hits)


def _choices(room: int, count: int) -> float:
    """The logarithm of how many ways there are to choose."""
    return lgamma(room + 1) - lgamma(count + 1) - lgamma(room - count + 1)


def _tried(starts: Column, length: int) -> Iterator[tuple[int, int]]:
    """First places and periods that two of the first starts make."""
    for start, other in combinations(starts[:_MOST_PROVEN].tolist(), 2):
        if other - start >= 2 * length:
            yield start, other - start


def _whole(marks: Marks, length: int) -> Marks:
    """Of each place, in units, whether all of a stretch of that length from it on is marked, up to the file's end."""
    sums = np.concatenate([[0], np.cumsum(~marks)])
    ends = np.minimum(np.arange(len(marks)) + length, len(marks))
    found: Marks = sums[ends] == sums[:-1]
    return found


def _borne_out(whole: Marks, counted: Marks, start: int, period: int) -> tuple[int, int] | None:
    """Where a pattern begins, and how many of its places look like it; None where too few do from there on."""
    places = np.arange(start % period, len(whole), period)
    alike = whole[places]
    first = int(alike.argmax())
    asked = counted[places[first:]].sum()
    hits = int(alike.sum())
    return (int(places[first]), hits) if hits >= _LEAST_SHARE * asked else None
