"""A chain whose tables were judged: what is in doubt is LOST in it, with the reason, unless the tables are trusted."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from enum import Enum
from pathlib import Path

from analyzer.judgement.weigh import Judgement, judge
from analyzer.remedies import shell_command
from analyzer.text import plural
from vhdx.chain import Chain
from vhdx.disk import Mask
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.table import BlockTable


class Trust(Enum):
    """How far block tables are believed."""

    JUDGED = "judged"
    """Entries in doubt make their blocks LOST."""
    TABLE = "table"
    """By the letter: what a table calls absent is absent."""


OF_JUDGEMENT = frozenset({"BAT-22", "BAT-23"})
"""The codes of what a judged chain says of its tables."""
_AS_WRITTEN = "the table is read by the letter all the same, as --trust-table asks: what is read may be wrong"


def judged(chain: Chain, trust: Trust = Trust.JUDGED) -> Chain:
    """The chain, with LOST in each layer what its table's judgement doubts; its findings say so.

    Layers are judged by the disk as it was when they were the leaf. Files without room that nothing owns cost one pass
    over their table. Raises what reading raises, and closes the chain then.
    """
    with ExitStack() as stack:
        stack.callback(chain.close)
        layers = tuple(_judged(image, chain.upto(number), trust) for number, image in enumerate(chain.layers))
        stack.pop_all()
    return replace(chain, layers=layers)


def _judged(image: Image, disk: Chain, trust: Trust) -> Image:
    table = image.table
    judgement = judge(table, image.log, lambda: disk)
    live = image.header.log_is_live
    found = tuple(_said(finding, image.path, trust) for finding in findings_of(table, judgement, live=live))
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
    then = "says what is in doubt" if finding.code == "BAT-23" else "puts back what tells its place"
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
