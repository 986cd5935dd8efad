"""Noise, or zeros, in the midst of files, cut where whoever encrypts cuts, or whoever loses pages of a file.

Archives and databases have noise and zeros in their midst as well, which begin and end anywhere. An edge at a multiple
of 2^n pages of the disk has one chance in 2^n; where it is at such a multiple of the guest's file as well, or where one
of its files ends, it tells nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb, log2

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.model import Extents
from analyzer.witnesses.model import Cause, Doubted, Rate, Witness
from analyzer.witnesses.pages import PAGE, Look, look_at
from analyzer.witnesses.patterns import lone_pattern, weight_of_pattern
from analyzer.witnesses.places import places_of, ranges_shown
from analyzer.witnesses.stretches import Looks
from vhdx.plans import RunSource
from vhdx.ranges import Column, Range, Ranges, repeated
from vhdx.structures.constants import MIB

# Samples of files: one page of every 64 KiB, fewer of larger disks.
_STEP, _MOST_SAMPLES = 1 << 16, 1 << 19
# A file of which so many samples are plain is no noise; of others noise is not looked at.
_LEAST_PLAIN = 2
# MiB that are looked at, each in some hundredths of a second.
_MOST_LOOKED = 1 << 12
# Blocks of a VHDX are at multiples of 1 MiB, 2^8 pages: farther up an edge has no chances. Two such edges are enough,
# one chance in 65,536, for the one stretch of a disk; of several it is as many times as likely as there are ways to
# choose those that are cut. tests/analyzer/witnesses/test_false_alarms.py holds that.
_MOST_BITS, _LEAST_BITS = 8, 16
# Nobody encrypts less than 64 KiB, 2^4 pages, and hosts seldom lose less.
_LEAST_CUT = 4
_SPEAKERS = {Look.NOISE: (Witness.ENTROPY, Cause.ENCRYPTED), Look.ZEROS: (Witness.ZEROS, Cause.ZEROED)}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What looks alike in the midst of files: where it is on the disk, and in how many bits its edges are cut."""

    part: Range
    bits: int


def doubted_cuts(
    disk: RunSource, read: ReadableDisk, layers: int, contents: Extents, looks: Looks
) -> Iterator[tuple[list[Doubted], Rate]]:
    """The noise, and the zeros, in the midst of files that are cut as nothing in them is; and how many are not."""
    sampled = _Contents.of(contents)
    starts, owners = sampled.samples()
    seen = np.array([look_at(read, start) for start in starts.tolist()], dtype=np.int64)
    plain = np.flatnonzero(np.bincount(owners[seen == Look.OTHER]) >= _LEAST_PLAIN)
    for look, (witness, cause) in _SPEAKERS.items():
        odd = (seen == look) & ((look == Look.ZEROS) | np.isin(owners, plain))
        found = list(_stretches(disk, read, layers, sampled, looks, look, starts[odd]))
        cut = [one for one in found if one.bits]
        doubted = _doubted(disk, cut, cause, witness)
        bits = _bits_of_cuts(cut, len(found)) + _bits_of_pattern(doubted, looks)
        yield doubted if bits >= _LEAST_BITS else [], Rate(witness, len(found), len(found) - len(cut))


def _bits_of_cuts(cut: Sequence[_Stretch], count: int) -> float:
    """How unlikely it is that so many of `count` stretches are cut by chance, in bits: of archives some may be."""
    return sum(one.bits for one in cut) - log2(comb(count, len(cut)))


def _bits_of_pattern(doubted: Sequence[Doubted], looks: Looks) -> float:
    """How unlikely it is that noise is as far from other noise as that from more, in bits; zeros often are."""
    noise = (one for one in doubted if one.cause is Cause.ENCRYPTED)
    return max((weight_of_pattern(one.held, one.layer, Look.NOISE, looks) for one in noise), default=0.0) * log2(10)


def doubted_patterns(
    disk: RunSource, layers: int, contents: Extents, looks: Looks
) -> Iterator[tuple[list[Doubted], Rate]]:
    """By layer, places of noise that make a pattern, and how many of them a file explains: it ends where they do."""
    sampled = _Contents.of(contents)
    for layer in range(layers):
        places = lone_pattern(layer, looks)
        parts = [part for place in places for part in ranges_shown(disk, layer, Ranges.of([place]))]
        explained = sum(sampled.at(part.start)[0] >= 0 and not _bits(part, sampled) for part in parts)
        rate = Rate(Witness.PATTERN, len(parts), explained)
        found = [Doubted(Cause.ENCRYPTED, layer, Ranges.of(places), frozenset({Witness.PATTERN}))]
        if places:
            yield found if rate.is_believed else [], rate


def _doubted(disk: RunSource, cut: list[_Stretch], cause: Cause, witness: Witness) -> list[Doubted]:
    places = places_of(disk, np.array([one.part.start for one in cut], dtype=np.int64))
    held = [Range(offset, one.part.length) for offset, one in zip(places.offset.tolist(), cut, strict=True)]
    layers = places.layer.tolist()
    return [
        Doubted(cause, layer, Ranges.of(part for part, of in zip(held, layers, strict=True) if of == layer),
                frozenset({witness}))
        for layer in sorted(set(layers))
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Contents:
    """Where files are, sorted; `owner` counts files from 0, `offset` is how far into its file a piece begins."""

    start: Column
    end: Column
    owner: Column
    offset: Column

    @classmethod
    def of(cls, contents: Extents) -> "_Contents":
        """Files have their pieces in order; holes in them are not known, and shift what follows."""
        order = contents.owner.argsort(kind="stable")
        _, first, owner = np.unique(contents.owner[order], return_index=True, return_inverse=True)
        length = contents.length[order]
        before = np.cumsum(length) - length
        columns = contents.start[order], contents.start[order] + length, owner, before - before[first][owner]
        by_place = columns[0].argsort(kind="stable")
        return cls(*(column[by_place] for column in columns))

    def samples(self) -> tuple[Column, Column]:
        """Places of pages of files, and whose each is."""
        step = max(_STEP, int((self.end - self.start).sum()) // _MOST_SAMPLES // PAGE * PAGE)
        first, last = -(-self.start // step), (self.end - PAGE) // step
        number, steps = repeated(np.maximum(last - first + 1, 0))
        return (first[number] + steps) * step, self.owner[number]

    def at(self, place: int) -> tuple[int, int]:
        """Whose a byte of the disk is, -1 for nobody's, and where in that file it is."""
        index = int(self.start.searchsorted(place, "right")) - 1
        if index < 0 or place >= self.end[index]:
            return -1, 0
        return int(self.owner[index]), int(self.offset[index]) + place - int(self.start[index])


def _stretches(
    disk: RunSource, read: ReadableDisk, layers: int, contents: _Contents, looks: Looks, look: Look, odd: Column
) -> Iterator[_Stretch]:
    """The stretches of one look around places, between what is plain and of files."""
    places = places_of(disk, odd)
    for layer in range(layers):
        mibs = np.unique(places.offset[places.layer == layer] // MIB)[:_MOST_LOOKED].tolist()
        for part in ranges_shown(disk, layer, looks.stretches(layer, look, mibs)):
            sides = part.start - PAGE, part.end
            if all(contents.at(side)[0] >= 0 and look_at(read, side) == Look.OTHER for side in sides):
                bits = _bits(part, contents)
                if bits is not None:
                    yield _Stretch(part, bits)


def _bits(part: Range, contents: _Contents) -> int | None:
    """In how many bits the edges are cut; 0 where one is not, None where neither tells anything."""
    bits = [found for edge in (part.start, part.end) if (found := _bits_of(edge, contents)) is not None]
    return (sum(bits) if min(bits) >= _LEAST_CUT else 0) if bits else None


def _bits_of(edge: int, contents: _Contents) -> int | None:
    """The largest power of two, in pages, of which a place is a multiple; None where the guest's file is cut there."""
    (before, _), (owner, offset) = contents.at(edge - PAGE), contents.at(edge)
    bits = min(_trailing_zeros(edge // PAGE), _MOST_BITS)
    is_cut_by_file = owner != before or (bits >= _LEAST_CUT and _trailing_zeros(offset // PAGE) >= bits)
    return None if is_cut_by_file else bits


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else _MOST_BITS
