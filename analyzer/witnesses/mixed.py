"""Files put together from two copies of one disk: of which time a part is, only what crosses from one to another tells.

Each half is whole in itself, with right checksums. But folders of one time name other files than the inodes of another
have: that proves the mixture on a volume that was closed cleanly, and does not say where. Where the ends of files agree
with the inodes up to a place, and behind it do not, that is where the other time begins.
"""

from collections.abc import Iterator, Sequence

from analyzer.witnesses.model import Cause, Doubted, Witness
from analyzer.witnesses.statements import Spoken
from vhdx.ranges import Range, Ranges
from vhdx.structures.constants import MIB

# Inodes with more or fewer names than they say: one may be a fault of the volume's own.
_LEAST_WRONG = 2
# Places on the side of the edge that agrees: fewer show no edge.
_LEAST_HELD = 10
_TELLING = (Witness.SLACK, Witness.LAST, Witness.METADATA)


def doubted_mixtures(spoken: Sequence[Spoken], sizes: Sequence[int]) -> Iterator[Doubted]:
    """What may be of another time than the inodes: by layer, all on one side of an edge, or all of the file."""
    for layer, size in enumerate(sizes):
        heard = {one.witness: one.of_layer(layer) for one in spoken}
        if int((~heard[Witness.NAMES].holds).sum()) >= _LEAST_WRONG:
            parts = [part for witness in _TELLING if (part := _beyond_edge(heard[witness], size))]
            held = Ranges.of(parts or [Range(0, size)])
            yield Doubted(Cause.MIXED, layer, held, frozenset({Witness.NAMES}))


def _beyond_edge(one: Spoken, size: int) -> Range | None:
    """The part of a file in which all failures are, from the last place on that agrees; None where there is no edge."""
    mib = one.offset // MIB
    held, failed = mib[one.holds], mib[~one.holds]
    if not len(failed):
        return None
    before, after = held[held < failed.min()], held[held > failed.max()]
    if len(before) >= _LEAST_HELD > len(after):
        return Range.between((int(before.max()) + 1) * MIB, size)
    if len(after) >= _LEAST_HELD > len(before):
        return Range(0, int(after.min()) * MIB)
    return None
