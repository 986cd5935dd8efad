"""Which entries that say "nothing is here" are in doubt, by evidence weighed together (docs/design).

In a chain whose tables were judged, what is in doubt is LOST, with the reason.

An absent entry is a claim as well. It is looked at only where the file has room that nothing owns, that holds data,
and that is enough for a block: else every block that was ever written has an owner. Then these speak:

* the volumes: a structure of a file system that is never all zeros, and would be; a folder's block; the content of
  several files in one block. One such contradiction proves that the table lost entries, and then every absent block is
  in doubt that the volumes do not call free;
* the table itself: empty, in a file whose log is closed; or a page of it that is empty between used neighbours, where
  no volume tells anything of it;
* blocks that a guest gave back, by entries that do not keep their place or by a log that shows both states: these
  explain as much room without owner.

What is in use and reads as zeros is no proof by itself: inode tables that were never written, room that was allocated
ahead, a file of zeros that a converter left out.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

from analyzer.judgement.bitmaps import findings_of_bitmaps, wiped_blocks
from analyzer.judgement.entries import absent_blocks, bytes_of, freed_without_place, released_by_log
from analyzer.judgement.unowned import Unowned, unowned_in
from analyzer.remedies import shell_command
from analyzer.text import plural
from vhdx.chain import Chain
from vhdx.disk import Disk, Mask
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Ranges
from vhdx.replay import Log
from vhdx.structures.constants import MIB, NIL
from vhdx.table import BlockTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What speaks against a table's absent entries; ranges are bytes of the disk."""

    unowned: Unowned
    absent: Ranges = NO_RANGES
    """All blocks whose entries say that nothing is there."""
    doubted: Ranges = NO_RANGES
    """Of them, those whose entries were lost, or cannot be told from such."""
    free: Ranges = NO_RANGES
    """Of them, those that the volumes call free: known to hold nothing that anyone misses."""
    proof: str = ""
    """What shows that entries were lost, a clause; "" where nothing does."""
    is_explained: bool = True
    """The room without owner is what blocks left that a guest gave back, as the table still shows."""

    @property
    def unowned_mib(self) -> int:
        """MiB of the file that hold something and belong to nothing."""
        return self.unowned.held.size


def judge(table: BlockTable, log: Log, disk_of: Callable[[], Disk | None]) -> Judgement:
    """The judgement of one file's table, and of what its log tells of it.

    `disk_of` gives the disk as this file shows it, with its parents where it has any, None where it cannot be had; it
    is asked for only where something has to be weighed. Files in which every block has an owner cost one pass over the
    table. What the disk holds never raises.
    """
    unowned = unowned_in(table)
    block = table.geometry.block_size
    rooms = unowned.blocks(block // MIB)
    absent = bytes_of(absent_blocks(table), block, table.geometry.size) if rooms else NO_RANGES
    if not absent:
        return Judgement(unowned=unowned)
    # Of blocks that the log shows as let go the room is explained; the others take more than freed entries leave.
    released = released_by_log(table, log)
    left = replace(unowned, free=unowned.free - released, held=unowned.held - released).blocks(block // MIB)
    is_explained = left <= freed_without_place(table)
    known = Judgement(unowned=unowned, absent=absent, is_explained=is_explained)
    if absent.size == table.geometry.size and log.log_guid == NIL:
        return replace(known, doubted=absent, proof="it is empty")
    disk = disk_of()
    if disk is None:
        return known
    # Loaded where there is something to weigh: the readers of five file systems, and most files need none.
    from analyzer.judgement.evidence import Weighing

    doubted, free, proof = Weighing(table, disk, rooms, absent).verdict()
    return replace(known, doubted=doubted, free=free, proof=proof)


class Trust(Enum):
    """How far block tables are believed."""

    JUDGED = "judged"
    """Entries in doubt make their blocks LOST."""
    TABLE = "table"
    """By the letter: what a table calls absent is absent."""


OF_JUDGEMENT = frozenset({"BAT-22", "BAT-23", "SBM-04"})
"""The codes of what a judged chain says of its tables."""
_AS_WRITTEN = "the table is read by the letter all the same, as --trust-table asks: what is read may be wrong"


def judged(chain: Chain, trust: Trust = Trust.JUDGED) -> Chain:
    """The chain, with LOST in each layer what its table's judgement doubts; its findings say so.

    Layers are judged by the disk as it was when they were the leaf. Files without room that nothing owns cost one pass
    over their table. Raises what reading raises, and closes the chain then.
    """
    with ExitStack() as stack:
        stack.callback(chain.close)
        merged = merged_into(chain.layers)
        layers = tuple(
            image if number >= merged else _judged(image, partial(chain.upto, number), trust)
            for number, image in enumerate(chain.layers)
        )
        stack.pop_all()
    return replace(chain, layers=layers)


def merged_into(layers: Sequence[Image]) -> int:
    """The layer into which a merge in its place is under way, after the last one where there is none.

    It is the one that its child names second. What it shows alone is a mixture that volumes contradict, and the files
    above it let go of blocks without a trace: their tables are by no means older than their blocks.
    """
    for number, child in enumerate(layers[1:]):
        linkages = child.locator.linkages if child.locator else ()
        if layers[number].data_write_guid in linkages[1:] and len(set(linkages)) > 1:
            return number
    return len(layers)


def _judged(image: Image, disk_of: Callable[[], Chain], trust: Trust) -> Image:
    table = image.table
    judgement = judge(table, image.log, disk_of)
    live = image.header.log_is_live
    flaws = (*findings_of(table, judgement, live=live), *findings_of_bitmaps(table, wiped_blocks(table)))
    found = tuple(_said(finding, image.path, trust) for finding in flaws)
    if trust is Trust.TABLE or not judgement.doubted:
        return replace(image, opening_findings=image.opening_findings + found)
    reason = (
        f"the block table says that nothing is there, and it lost entries: {judgement.proof}, "
        f"while {judgement.unowned_mib} MiB of the file belong to no block"
    )
    mask = Mask.of(judgement.doubted, image.size, reason)
    return replace(image, opening_findings=image.opening_findings + found, masks=(*image.masks, mask))


def _said(finding: Finding, path: Path, trust: Trust) -> Finding:
    """What a command that reads the disk says: what the table cannot tell, and who can."""
    recover = shell_command(["vhdx", "recover", str(path), "-o", "disk.raw"])
    then = "puts back what tells its place" if finding.code == "BAT-22" else "says what is in doubt"
    text = f"{finding.message}; {_AS_WRITTEN if trust is Trust.TABLE else f'`{recover}` {then}'}"
    return replace(finding, severity=Severity.WARNING, path=path, message=text)


def findings_of(table: BlockTable, judgement: Judgement, *, live: bool) -> Iterator[Finding]:
    """What is to be said of a table: that it lost entries, or that it may have."""
    place = table.bat_offset, table.bat_length
    blocks = judgement.doubted.size // table.geometry.block_size or 1
    if judgement.doubted:
        text = f"{plural(blocks, 'absent block')} of the table cannot be believed: {judgement.proof}, while"
        yield Finding("BAT-22", Severity.ERROR, f"{text} {_room(judgement)}", *place, "2.5")
    # Behind a live log blocks are written before the table knows of them.
    elif judgement.absent and not judgement.is_explained and not live:
        text = f"{_room(judgement)}: trimmed, or the table lost them"
        yield Finding("BAT-23", Severity.WARNING, text, *place, "2.5")


def _room(judgement: Judgement) -> str:
    size = judgement.unowned_mib
    least = "" if judgement.unowned.looked_at_all else "at least "
    return f"{least}{size} MiB of the file hold data and belong to no block"
