"""What is really written: every byte once, with what it ends up as, in the order of the last mending that wants it."""

from collections.abc import Sequence

from analyzer.repair.model import Mending
from vhdx.patched import Patch, visible


def final_writes(mendings: Sequence[Mending]) -> list[list[Patch]]:
    """For each mending, what is left to write of it once the later ones have taken what they write over.

    So a file that was cut off in the middle holds, byte by byte, either what was or what will be, never a third thing:
    that is what an undo file is checked against.
    """
    patches = [(number, patch) for number, mending in enumerate(mendings) for patch in mending.patches]
    stage_of = {id(patch): number for number, patch in patches}
    stages: list[list[Patch]] = [[] for _ in mendings]
    for start, end, patch in visible([patch for _, patch in patches]):
        stages[stage_of[id(patch)]].append(patch.cut(start, end))
    return stages
