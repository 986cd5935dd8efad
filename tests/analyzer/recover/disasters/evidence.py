"""What tells of a disaster: ranges of the disk in which a witness has something to say against what was done there.

Counted by the healthy disk and by what was done, never by what the program found: what it ought to have noticed.
"""

import functools
from itertools import pairwise

import numpy as np

from analyzer.guest.usage.volumes import usages_of
from analyzer.witnesses.claims import claims_of, claims_of_table
from analyzer.witnesses.model import joined
from analyzer.witnesses.pages import PAGE, Look, looks_of
from vhdx.ranges import Range, Ranges, union

# As many files have to end in a stretch of zeros that is cut as units are; of noise one is enough.
_ENDS = {Look.ZEROS: 3, Look.NOISE: 1}
# Places of noise that are as far apart as one another, and the least of them that are in the midst of plain files.
_PATTERN, _IN_FILES = 3, 2


class Flat:
    """A healthy disk, all of whose bytes are at hand."""

    sector_size = 512

    def __init__(self, flat):
        self.flat, self.size = flat, len(flat)

    def read_best_effort(self, start, length):
        return self.flat[start : start + length], []


@functools.lru_cache(maxsize=8)
def claims_in(flat):
    """What the volumes of a healthy disk say of it."""
    return joined([claims_of(Flat(flat)), claims_of_table(Flat(flat))])


@functools.lru_cache(maxsize=8)
def free_in(flat):
    """The ranges of a healthy disk that its volumes call free: what was left there nobody misses."""
    usages = usages_of(Flat(flat))
    return union(usage.told for usage in usages) - union(usage.used for usage in usages)


def structures_in(flat):
    """The ranges that have a checksum, or name their place."""
    found = claims_in(flat).metadata
    return Ranges.of_columns(found.start, found.length)


def shown(made, part):
    """The ranges of the disk that a range of a layer's file holds."""
    front, block = len(made.front), made.block_size
    for number in range(max(0, part.start - front) // block, min(len(made.held), -(-(part.end - front) // block))):
        start = front + number * block
        low, high = max(part.start, start), min(part.end, start + block)
        if low < high:
            yield Range(made.held[number] * block + low - start, high - low)


def told_places(made, patches):
    """The ranges of the disk that were written over, each place of which something tells; in a pattern all of it."""
    places = [list(shown(made, Range(at, len(data)))) for at, data in patches]
    told = [_is_told(made.flat, parts, data) for parts, (_, data) in zip(places, patches, strict=True)]
    starts = [at for at, _ in patches]
    is_pattern = len(places) >= _PATTERN and len({after - before for before, after in pairwise(starts)}) == 1
    midst = sum(_is_in_midst(made.flat, parts) for parts in places)
    # Three are few: beside noise of the guest's own nothing shows where one of them ends.
    is_pattern &= len(places) > _PATTERN or all(_is_clear(made, at, len(data)) for at, data in patches)
    if is_pattern and (any(told) or midst >= _IN_FILES):
        told = [True] * len(told)
    return Ranges.of(part for parts, is_told in zip(places, told, strict=True) if is_told for part in parts)


def holes_told(made, holes):
    """The ranges of the disk that are holes of the host in the midst of files, where the other zeros are stored."""
    contents = claims_in(made.flat).contents
    used = Ranges.of_columns(contents.start, contents.length)
    return Ranges.of(part for hole in holes for one in shown(made, hole) for part in used.within(one))


def told_blocks(made, moved):
    """The ranges of two blocks that changed places, of each where a structure of it is another one then."""
    block, structures = made.block_size, structures_in(made.flat)
    pairs = [(Range(one * block, block), other * block) for one, other in ((moved, moved[::-1]) if moved else ())]
    return Ranges.of(
        own for own, other in pairs
        if any(made.flat[part.start : part.end] != made.flat[other + part.start - own.start :][: part.length]
               for part in structures.within(own))
    )  # fmt: skip


def _is_told(flat, parts, data):
    look = Look(int(looks_of(data[:PAGE])[0]))
    structures, ends = structures_in(flat), claims_in(flat).ends
    if any(_is_changed(flat, one, look) for part in parts for one in structures.within(part)):
        return True
    slack = ends.length > 1 if look is Look.NOISE else np.ones(len(ends.start), dtype=bool)
    inside = sum(int((slack & (ends.start >= part.start) & (ends.start + ends.length <= part.end)).sum())
                 for part in parts)  # fmt: skip
    return inside >= _ENDS[look]


def _is_changed(flat, part, look):
    """Whether a structure is another one then: zeros over zeros change nothing."""
    return look is Look.NOISE or any(flat[part.start : part.end])


def _is_clear(made, at, length):
    """Whether a healthy file has no noise in a place, nor beside it."""
    source, first = made.without(set()), at - PAGE
    around = bytearray(min(at + length + PAGE, source.size) - first)
    source.read_into(first, memoryview(around))
    return Look.NOISE not in looks_of(bytes(around))


def _is_in_midst(flat, parts):
    """Whether a place was in the midst of one file, plain before and behind it."""
    contents = claims_in(flat).contents
    return len(parts) == 1 and any(
        start < parts[0].start and parts[0].end + PAGE <= start + length
        and all(looks_of(flat[at : at + PAGE])[0] == Look.OTHER for at in (parts[0].start - PAGE, parts[0].end))
        for start, length in zip(contents.start.tolist(), contents.length.tolist(), strict=True)
    )  # fmt: skip
