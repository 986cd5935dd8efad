"""What the blocks of a disk hold against what its volumes say: which ranges are in doubt, why, and who says so."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.guest.filesystems.open import parts_of
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.model import Extents
from analyzer.text import plural, size
from analyzer.witnesses.claims import claims_of, claims_of_table
from analyzer.witnesses.cuts import doubted_cuts, doubted_patterns
from analyzer.witnesses.fronts import doubted_fronts
from analyzer.witnesses.holes import doubted_holes
from analyzer.witnesses.mixed import doubted_mixtures
from analyzer.witnesses.model import Cause, Doubted, Rate, Witness, joined
from analyzer.witnesses.pages import Look
from analyzer.witnesses.patterns import Pattern, pattern_of
from analyzer.witnesses.places import ranges_shown
from analyzer.witnesses.statements import spoken_of
from analyzer.witnesses.stretches import Looks
from analyzer.witnesses.weigh import doubted_blocks, doubted_stretches
from vhdx.disk import DiskSource
from vhdx.ranges import NO_RANGES, Ranges, union

_LOOKS = {Cause.ENCRYPTED: Look.NOISE, Cause.ZEROED: Look.ZEROS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Ranges of the disk that hold what cannot be theirs, of one layer and for one cause."""

    cause: Cause
    layer: int
    ranges: Ranges
    witnesses: tuple[Witness, ...]
    pattern: Pattern | None
    """In the layer's file."""
    files: int
    """How many files lie in them, in part at least."""

    def __str__(self) -> str:
        text = f"{size(self.ranges.size)} {_WORDS[self.cause]}"
        if self.pattern:
            length, period = size(self.pattern.length), size(self.pattern.period)
            text += f", {length} of every {period} of the file from byte {self.pattern.first} on"
        return f"{text}; {plural(self.files, 'file')} {'lies' if self.files == 1 else 'lie'} in them"


_WORDS = {
    Cause.ENCRYPTED: "look encrypted, or were overwritten with noise",
    Cause.ZEROED: "are zeros where there was something, overwritten or holes of the host",
    Cause.MISPLACED: "hold what belongs to another place, or to another time",
    Cause.MIXED: "may be of another time than the rest: folders and inodes are of two",
    Cause.HOLES: "are holes of the host in the midst of files",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What was found, and how each witness was measured before it was believed."""

    contradictions: tuple[Contradiction, ...] = ()
    rates: tuple[Rate, ...] = ()
    is_checked: bool = False
    """Whether any volume had something to hold content against."""

    def measured(self, witnesses: Collection[Witness]) -> str:
        """Who spoke, and how each was measured: `slack (wrong at 0 of 141 places that are known)`."""
        return ", ".join(
            f"{rate.witness.value} (wrong at {rate.wrong} of {plural(rate.known, 'place')} that are known)"
            for rate in self.rates
            if rate.witness in witnesses
        )

    def ranges_of(self, layer: int) -> Ranges:
        """The ranges of the disk in which a layer's content is in doubt."""
        return union(one.ranges for one in self.contradictions if one.layer == layer)


@dataclass(frozen=True, slots=True)
class State:
    """The disk as its newest file shows it, or as an older one does: what files a newer one hides speak there."""

    disk: DiskSource
    read: ReadableDisk


MOST_STATES = 8
"""Older states that are asked, of a long chain those of its lowest files: each is looked at like a disk of its own."""


@dataclass(frozen=True, slots=True)
class _Testimony:
    """What one state of the disk says: `held` of what is in doubt is of files, and the same in all states."""

    doubted: list[Doubted]
    rates: list[Rate]
    contents: Extents
    is_checked: bool

    @property
    def rates_of_speakers(self) -> Iterator[Rate]:
        """How those were measured that speak against anything."""
        speakers = {witness for one in self.doubted for witness in one.witnesses}
        return (rate for rate in self.rates if rate.witness in speakers)


def account_of(
    disk: DiskSource, read: ReadableDisk, block_sizes: Sequence[int], older: Iterable[State] = ()
) -> Account:
    """What contradicts its place on a disk, which `read` reads; `block_sizes` are those of its files, base first.

    `older` are states of the first of its files. What the disk holds never raises.
    """
    looks = Looks(disk.sources)
    now = _testimony(State(disk, read), block_sizes, looks)
    before = [_testimony(state, block_sizes[: number + 1], looks) for number, state in enumerate(older)]
    doubted = [one for said in (now, *before) for one in said.doubted]
    all_found = (_contradiction(disk, one, looks, now.contents) for one in _together(doubted))
    rates = (*now.rates, *(rate for said in before for rate in said.rates_of_speakers))
    return Account(tuple(one for one in all_found if one.ranges), rates, now.is_checked)


def _testimony(state: State, block_sizes: Sequence[int], looks: Looks) -> _Testimony:
    disk, read, layers = state.disk, state.read, len(block_sizes)
    of_volumes = claims_of(read)
    claims = joined([claims_of_table(read), of_volumes])
    spoken = spoken_of(disk, read, claims, layers)
    rates = [one.rate() for one in spoken]
    doubted = [*doubted_stretches(spoken, rates, looks, block_sizes), *doubted_blocks(spoken, rates, block_sizes)]
    doubted += doubted_mixtures(spoken, [source.size for source in disk.sources[:layers]])
    for found, rate in (
        *doubted_fronts(disk, read, parts_of(read), layers, looks),
        *doubted_cuts(disk, read, layers, claims.contents, looks),
        *doubted_patterns(disk, layers, claims.contents, looks),
        *doubted_holes(disk, layers, claims.contents, looks),
    ):
        doubted += found
        rates.append(rate)
    is_checked = of_volumes.has_any and any(rate.known for rate in rates)
    return _Testimony(doubted, rates, claims.contents, is_checked)


def _together(doubted: Iterable[Doubted]) -> Iterator[Doubted]:
    """What several witnesses say of one layer, by its cause."""
    found = dict[tuple[Cause, int], Doubted]()
    for one in doubted:
        other = found.get((one.cause, one.layer), replace(one, held=NO_RANGES))
        found[one.cause, one.layer] = replace(
            one, held=one.held | other.held, witnesses=one.witnesses | other.witnesses
        )
    for (cause, layer), one in found.items():
        # A block in the wrong place that has zeros or noise there is told of once.
        others = union(other.held for (of, at), other in found.items() if of in _LOOKS and at == layer)
        yield replace(one, held=one.held - others) if cause is Cause.MISPLACED else one


def _contradiction(disk: DiskSource, doubted: Doubted, looks: Looks, contents: Extents) -> Contradiction:
    held, pattern = doubted.held, None
    if doubted.cause in _LOOKS:
        size_of_file = disk.sources[doubted.layer].size
        pattern = pattern_of(held, doubted.layer, _LOOKS[doubted.cause], looks)
        held |= Ranges.of(pattern.places(size_of_file)) if pattern else NO_RANGES
    ranges = ranges_shown(disk, doubted.layer, held)
    return Contradiction(
        cause=doubted.cause,
        layer=doubted.layer,
        ranges=ranges,
        witnesses=tuple(one for one in Witness if one in doubted.witnesses),
        pattern=pattern,
        files=_files_in(ranges, contents),
    )


def _files_in(ranges: Ranges, contents: Extents) -> int:
    first = ranges.end.searchsorted(contents.start, "right")
    last = ranges.start.searchsorted(contents.start + contents.length)
    return len(np.unique(contents.owner[first < last]))
