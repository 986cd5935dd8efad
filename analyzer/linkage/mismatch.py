"""Evidence on a parent whose identity is not the one that its child names: whether the two may be read as one disk.

"The parent was changed" is not yet "the chain is lost". What the files tell is gathered as facts, each for or against;
the verdict is in words, with the bytes of the disk that are in doubt. Nothing here raises for what a file holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import NamedTuple

from analyzer.linkage.own_sectors import Effort, Merge, OwnSectors, compare_own_sectors
from analyzer.linkage.record import Bearing, Trace
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.runs import Kind, concatenate, cut_alike
from vhdx.structures.constants import NIL

MOST_RANGES = 64
"""Ranges in doubt that are listed; their bytes are counted all the same."""
MOST_ABOVE = 8
"""Files made upon a child that are compared with its parent: a merge in the wrong order is one of the next."""

# Creators, as files name them, that give every child a virtual disk id of its own; OpenVMM does not sign its files.
_OWN_ID_WRITERS = ("", ".NET DiscUtils")


class Verdict(Enum):
    """What the evidence amounts to."""

    SAFE = "safe"
    """The child may be read on this parent: it is the one, or nothing of it shows."""
    MERGED = "fully merged"
    """The parent has every sector that the child holds: the child adds nothing to it."""
    MERGE_INTERRUPTED = "merge interrupted"
    """It has the first of them alone, and nothing else shows a change: both together are what the merge was to give."""
    DOUBTFUL = "doubtful"
    """It is that disk, and was or may have been written to since: what the child leaves to it may be too new."""
    WRONG_PARENT = "wrong parent"
    """It is another disk, or one of another size or history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The facts and the verdict."""

    verdict: Verdict
    facts: tuple[Trace, ...]
    doubtful: tuple[Range, ...]
    """Where the child leaves the disk to data of the parent, at most MOST_RANGES of them; () when it is safe."""
    doubtful_bytes: int
    """Bytes of all such ranges."""
    left_bytes: int | None
    """Bytes that the child leaves to its parent, empty ones included; None when the tables cannot be read."""
    sector_size: int
    own: OwnSectors | None = None
    """How much of what the child holds the parent holds too; None where the identity fits, or that cannot be read."""

    @property
    def doubtful_sectors(self) -> int:
        """Sectors in doubt."""
        return self.doubtful_bytes // self.sector_size

    def __str__(self) -> str:
        facts = "; ".join(str(fact) for fact in self.facts)
        is_in_doubt = self.doubtful_bytes and self.verdict is not Verdict.MERGE_INTERRUPTED
        doubt = f"; {plural(self.doubtful_sectors, 'sector', 'is', 'are')} in doubt" if is_in_doubt else ""
        return f"{self.verdict.value}: {facts}{doubt}"


class _Left(NamedTuple):
    """What the child leaves to its parent, and where the parent has data there."""

    total: int
    shown: int
    ranges: tuple[Range, ...]


def gather_evidence(
    child: Image,
    parent: Image,
    *,
    above: Iterable[Image] = (),
    effort: Effort = Effort.SAMPLE,
    pending: str = "",
) -> Evidence:
    """What speaks for and against reading `child` on `parent`; neither is changed, and bad content never raises.

    `above` are the files made upon the child, the nearest first: one of them may have been merged past it. `pending` is
    the machine of whose configuration the host has noted that disks are still to be merged, "" for none. Reads
    tables, a few hundred sectors of structures that the child has rewritten, and where the identity does not fit what
    `effort` allows of the sectors that the child holds.
    """
    # The layouts of file systems: most chains fit, and need none.
    from analyzer.linkage.guest_evidence import traces_of

    left = None
    with suppress(VhdxError):
        left = _left(child, parent)
    own = None if _fits(child, parent) else _own_sectors(child, parent, effort)
    traces = [*traces_of(child, parent), *_merged_past(child, parent, own, above, effort)]
    leaves = "what the child leaves to its parent cannot be counted: a table cannot be read"
    if left is not None:
        total, shown = plural(left.total // child.sector_size, "sector"), left.shown // child.sector_size
        leaves = f"the child leaves {total} to its parent, which has something in {shown}"
    left_fact = Trace(leaves, Bearing.NEUTRAL)
    own_facts = [Trace(str(own), Bearing.NEUTRAL)] if own else []
    if pending and own:  # a host's note on the machine, not on these two files: it decides nothing alone
        text = f"the configuration of {pending} says that disks of it are still to be merged"
        own_facts.append(Trace(text, Bearing.NEUTRAL))
    facts = [_identity_fact(child, parent), *_disk_facts(child, parent), left_fact, *own_facts, *traces]
    verdict = _verdict(child, parent, left, facts, traces, own.merge if own else None)
    doubt = _Left(0, 0, ()) if left is None or verdict in {Verdict.SAFE, Verdict.MERGED} else left
    return Evidence(
        verdict=verdict, facts=tuple(facts), doubtful=doubt.ranges, doubtful_bytes=doubt.shown,
        left_bytes=left.total if left else None, sector_size=child.sector_size, own=own,
    )  # fmt: skip


def _fits(child: Image, parent: Image) -> bool:
    return child.locator is not None and parent.data_write_guid in child.locator.linkages


def _own_sectors(child: Image, parent: Image, effort: Effort) -> OwnSectors | None:
    with suppress(VhdxError):
        return compare_own_sectors(child, parent, effort)
    return None


def _merged_past(
    child: Image, parent: Image, own: OwnSectors | None, above: Iterable[Image], effort: Effort
) -> Iterator[Trace]:
    """A file made upon the child that is in the parent whole, while the child is not: it left the child out."""
    if own is None or own.merge is Merge.COMPLETE:
        return
    for image in islice(above, MOST_ABOVE):
        found = _own_sectors(image, parent, effort)
        if found and found.merge is Merge.COMPLETE:
            text = f"the parent already holds all {found.held} sectors that {image.path.name} holds"
            yield Trace(f"{text}: it was merged in the wrong order, without {child.path.name}", Bearing.CHANGED)


def _left(child: Image, parent: Image) -> _Left:
    """Window by window; only so much of the parent is looked at as the child leaves to it."""
    total = shown = 0
    ranges: list[Range] = []
    for upper in child.windows():
        start, end = int(upper.start[0]), upper.end
        lower = concatenate([*parent.layer_windows(0, parent.size, start, end)])
        above, below = cut_alike(upper, lower)
        holes = above.kind == Kind.HOLE
        seen = holes & (below.kind != Kind.HOLE) & (below.start < parent.size)
        total += int(above.length[holes].sum())
        shown += int(above.length[seen].sum())
        ranges += islice(above.select(seen).ranges, MOST_RANGES - len(ranges))
    return _Left(total, shown, tuple(ranges))


def _identity_fact(child: Image, parent: Image) -> Trace:
    wanted = child.locator.linkages if child.locator else ()
    previous = parent.headers.previous
    if _fits(child, parent):
        return Trace("the parent's identity is the one that the child was made from", Bearing.SAME_DISK)
    if previous is not None and previous.data_write_guid in wanted:
        steps = parent.header.sequence_number - previous.sequence_number
        text = f"the parent's previous header, {steps} header updates ago, is the one that the child was made from"
        return Trace(text, Bearing.SAME_DISK)
    return Trace("neither header of the parent has the identity that the child names", Bearing.NEUTRAL)


def keeps_disk_id(creator: str) -> bool:
    """Whether the program that made a file keeps the virtual disk id along a chain, as Hyper-V does."""
    return creator not in _OWN_ID_WRITERS


def _disk_facts(child: Image, parent: Image) -> Iterator[Trace]:
    mine, other = child.parameters.disk_id, parent.parameters.disk_id
    if mine == other:
        bearing = Bearing.NEUTRAL if mine == NIL else Bearing.SAME_DISK
        yield Trace("the virtual disk id is the same", bearing)
    elif keeps_disk_id(child.identifier.creator):
        yield Trace(f"the virtual disk id is {mine} in the child and {other} in the parent", Bearing.OTHER_DISK)
    else:
        yield Trace("the virtual disk id differs, as its writer gives every child its own", Bearing.NEUTRAL)
    same = child.size == parent.size
    text = "the disk size is the same" if same else f"the disk size is {child.size} bytes, the parent's {parent.size}"
    yield Trace(text, Bearing.NEUTRAL)
    if child.sector_size != parent.sector_size:
        text = f"logical sectors have {child.sector_size} bytes, the parent's {parent.sector_size}"
        yield Trace(text, Bearing.OTHER_DISK)


def _verdict(
    child: Image,
    parent: Image,
    left: _Left | None,
    facts: Sequence[Trace],
    traces: Sequence[Trace],
    merge: Merge | None,
) -> Verdict:
    if _fits(child, parent):
        return Verdict.SAFE
    bearings = {fact.bearing for fact in facts}
    is_interrupted = merge is Merge.INTERRUPTED and not bearings & {Bearing.CHANGED, Bearing.OTHER_DISK}
    if left is not None and left.total == 0 and merge is not Merge.COMPLETE:
        return Verdict.MERGE_INTERRUPTED if is_interrupted else Verdict.SAFE
    if Bearing.OTHER_DISK in bearings:
        # A disk id alone may have been given anew, by a conversion: structures that agree speak louder.
        known = {trace.bearing for trace in traces}
        only_id = Bearing.OTHER_DISK not in known and Bearing.SAME_DISK in known
        return Verdict.DOUBTFUL if only_id and child.sector_size == parent.sector_size else Verdict.WRONG_PARENT
    if merge is Merge.COMPLETE:
        return Verdict.MERGED
    if is_interrupted:
        return Verdict.MERGE_INTERRUPTED
    # What file systems show can prove that a parent was changed, never that it was not: only where nothing of it
    # shows does it not matter.
    was_it = facts[0].bearing is Bearing.SAME_DISK
    nothing_shows = left is not None and left.shown == 0
    return Verdict.SAFE if was_it and nothing_shows and Bearing.CHANGED not in bearings else Verdict.DOUBTFUL
