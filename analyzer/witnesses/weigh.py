"""Which places are in doubt: what witnesses that are believed say against them, weighed stretch by stretch.

Noise and zeros are weighed by stretches of a file, whatever a file system knows of them: they begin and end where
somebody encrypted or overwrote the file. Other content that contradicts its place is weighed by blocks, for what put it
there are entries of a block table, or files put together from several copies.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from analyzer.witnesses.model import Cause, Doubted, Marks, Rate, Witness
from analyzer.witnesses.pages import PAGE, Look
from analyzer.witnesses.statements import Spoken
from analyzer.witnesses.stretches import Looks
from vhdx.ranges import Column, Range, Ranges
from vhdx.structures.constants import MIB

# What a stretch needs to be in doubt, and what each statement counts; less where both of its edges are those of units
# in which programs encrypt and hosts keep files: one stretch in 256 has such edges by chance. A structure is enough.
# Files that end in zeros are found on healthy disks, some of them side by side.
_WEIGHTS = {
    Look.NOISE: {Witness.METADATA: 2, Witness.SLACK: 1},
    Look.ZEROS: {Witness.METADATA: 8, Witness.LAST: 1},
}
_ENOUGH, _ENOUGH_IF_CUT = {Look.NOISE: 2, Look.ZEROS: 8}, {Look.NOISE: 1, Look.ZEROS: 3}
_UNIT = 1 << 16
_CAUSES = {Look.NOISE: Cause.ENCRYPTED, Look.ZEROS: Cause.ZEROED}
# Where most are zeros it is custom that nobody writes them; no custom makes them noise.
_MOST_FAILED = 0.6
# How often a structure fails by itself, on a disk on which none does elsewhere: two of a block are no flipped bits.
_CHECKSUM_WRONG = 1e-5
# Of a disk of a million blocks none is in doubt by chance.
_LEAST_LOG = 9.0


def doubted_stretches(
    spoken: Sequence[Spoken], rates: Sequence[Rate], looks: Looks, block_sizes: Sequence[int]
) -> Iterator[Doubted]:
    """The stretches of noise, and of zeros, that contradict their places; with their blocks where they are not cut."""
    believed = [one for one, rate in zip(spoken, rates, strict=True) if rate.is_believed]
    for look, weights in _WEIGHTS.items():
        heard = [(one, one.look == look) for one in believed if one.witness in weights]
        heard = [(one, some) for one, some in heard if look is Look.NOISE or some.sum() <= _MOST_FAILED * len(some)]
        for layer in np.unique(np.concatenate([one.layer[some] for one, some in heard] or [[]])).astype(int).tolist():
            spoke = [(one, some & (one.layer == layer)) for one, some in heard]
            yield from _of_layer(layer, look, spoke, looks, block_sizes[layer])


def _of_layer(layer: int, look: Look, heard: list[tuple[Spoken, Marks]], looks: Looks, block: int) -> Iterator[Doubted]:
    mibs = np.unique(np.concatenate([one.offset[some] // MIB for one, some in heard]))
    stretches = looks.stretches(layer, look, mibs.tolist())
    weight = np.zeros(len(stretches))
    speakers = set[Witness]()
    for one, some in heard:
        place, is_inside = stretches.places_in(one.offset[some])
        weight += np.bincount(place[is_inside], minlength=len(stretches)) * _WEIGHTS[look][one.witness]
        speakers |= {one.witness} if is_inside.any() else set()
    is_cut = (stretches.start % _UNIT == 0) & (stretches.end % _UNIT == 0)
    sure = weight >= np.where(is_cut, _ENOUGH_IF_CUT[look], _ENOUGH[look])
    if sure.any():
        yield Doubted(_CAUSES[look], layer, _select(stretches, sure), frozenset(speakers))
    # Noise and zeros that begin and end anywhere were not made where they are: they came with what is around them.
    uncut = _select(stretches, sure & ~is_cut)
    fronts = [Range(int(at - start % block), block) for one, some in heard
              for start, at in zip(one.start[some], one.offset[some], strict=True)
              if uncut.touches(Range(int(at), 1))]  # fmt: skip
    if fronts:
        yield Doubted(Cause.MISPLACED, layer, Ranges.of(fronts), frozenset(speakers))


def _select(ranges: Ranges, some: Marks) -> Ranges:
    return Ranges(ranges.start[some], ranges.length[some])


def doubted_blocks(spoken: Sequence[Spoken], rates: Sequence[Rate], block_sizes: Sequence[int]) -> Iterator[Doubted]:
    """The blocks whose content is that of another place or time, and structures that fail in others."""
    for layer, block in enumerate(block_sizes):
        heard = [(one.of_layer(layer), rate) for one, rate in zip(spoken, rates, strict=True) if rate.is_believed]
        heard = [(one, rate) for one, rate in heard if not one.holds.all()]
        if heard:
            yield from _misplaced(layer, block, heard)


def _misplaced(layer: int, block: int, heard: list[tuple[Spoken, Rate]]) -> Iterator[Doubted]:
    numbers, index = np.unique(np.concatenate([one.start // block for one, _ in heard]), return_inverse=True)
    unlikely, failed, count = (np.zeros(len(numbers)) for _ in range(3))
    parts = np.split(index, np.cumsum([len(one.start) for one, _ in heard])[:-1])
    for (one, rate), place in zip(heard, parts, strict=True):
        fails = ~one.holds & (one.look != Look.NOISE)
        asked, wrong = (np.bincount(place, weights=some, minlength=len(numbers)) for some in (one.holds | fails, fails))
        unlikely += _unlikely(wrong.astype(np.float64), asked.astype(np.float64), rate)
        failed, count = failed + wrong, count + asked
        if one.witness is Witness.METADATA:  # nothing in the block is what it must be, and something is not
            odd = np.bincount(place, weights=~one.holds & (one.look == Look.OTHER), minlength=len(numbers))
            unlikely += np.where((wrong == asked) & (odd > 0), _LEAST_LOG, 0)
    sure = (unlikely >= _LEAST_LOG) & (2 * failed > count)
    held = [Range(int(offset), block) for one, _ in heard for offset in _fronts(one, block, numbers[sure])]
    speakers = frozenset(
        one.witness for one, _ in heard if (np.isin(one.start // block, numbers[sure]) & ~one.holds).any()
    )
    structures = next((one for one, _ in heard if one.witness is Witness.METADATA), None)
    if structures is not None:
        odd = ~structures.holds & (structures.look == Look.OTHER)
        held += [Range(offset // PAGE * PAGE, PAGE) for offset in structures.offset[odd].tolist()]
        speakers |= {Witness.METADATA} if odd.any() else set()
    if held:
        yield Doubted(Cause.MISPLACED, layer, Ranges.of(held), speakers)


def _fronts(one: Spoken, block: int, numbers: Column) -> Column:
    """Where in the file the blocks of these numbers begin, as far as the statements show."""
    some = np.isin(one.start // block, numbers)
    fronts: Column = np.unique(one.offset[some] - one.start[some] % block)
    return fronts


def _unlikely(wrong: npt.NDArray[np.float64], asked: npt.NDArray[np.float64], rate: Rate) -> npt.NDArray[np.float64]:
    """How unlikely so many failures of so many statements are by chance: Chernoff's bound, as a negative log10."""
    usual = min(0.5, max(rate.wrong, 0.5) / max(1, rate.known))
    if rate.witness is Witness.METADATA and not rate.wrong:
        usual = min(usual, _CHECKSUM_WRONG)  # what a checksum is, however few were asked
    share = wrong / np.maximum(asked, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.nan_to_num(share * np.log10(share / usual)) + np.nan_to_num(
            (1 - share) * np.log10((1 - share) / (1 - usual))
        )
    found: npt.NDArray[np.float64] = np.where(share > usual, asked * bits, 0)
    return found
