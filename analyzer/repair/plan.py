"""The plan of a repair: every fix in its order, tried on a view of the file; nothing is written here."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from analyzer.check.file import check_structures, unreadable
from analyzer.repair.structures import (
    Children,
    DeadLog,
    fix_headers,
    fix_identifier,
    fix_log,
    fix_region_tables,
    fix_table,
)
from analyzer.repair.undo import MOST_WITNESSED
from analyzer.repair.workspace import RepairPlan, Workspace
from analyzer.text import plural
from vhdx.contents import Structures
from vhdx.errors import CorruptFileError, ShortReadError, VerificationError, located
from vhdx.findings import Finding, Severity
from vhdx.identities import Identities, random_identities
from vhdx.image import Image, image_of
from vhdx.ranges import NamedRange, Range
from vhdx.source import ByteSource, FileSource
from vhdx.structures.constants import HEADER_AREA_SIZE

# The front of each structure, by which an undo file knows its file again; regions may be many.
_MOST_WITNESSES = 32
# Log entries that are never applied: once the log is closed nothing tells of them any more.
_DROPPED = {"LOG-04", "LOG-06"}
# Damaged blocks that are reported one by one.
_MOST_BLOCKS = 16


def plan_repair(
    source: ByteSource,
    identities: Identities = random_identities,
    *,
    dead_log: DeadLog = DeadLog.KEEP,
    children: Children = tuple,
) -> RepairPlan:
    """What can be fixed in a file, and what cannot; works on files that nothing opens.

    `identities` give the new file_write_guid that closing a log needs. A log without an entry that could be applied is
    given up where `dead_log` says so: all else discards nothing. `children` are asked only where a header is damaged.
    Raises InputOutputError.
    """
    work = Workspace(source)
    if source.size >= HEADER_AREA_SIZE:  # a shorter file holds no structure whole, and may be none of this format
        fix_headers(work, children)
        fix_log(work, identities, dead_log)
        fix_region_tables(work)
        fix_identifier(work)
        fix_table(work)
    return finished(work, _require_fixed)


def _require_fixed(plan: RepairPlan, path: Path) -> None:
    """Plan anew for what was written: nothing may be left to fix, and it must open if the plan said so.

    Raises VerificationError, CorruptFileError.
    """
    with FileSource(path) as source:
        again = plan_repair(source)
    if again.fixes:
        patch = again.fixes[0].patches[0]
        raise VerificationError(path, patch.offset, patch.length)
    if plan.opens and not again.opens:
        raise CorruptFileError(path, next(iter(again.unfixable), Finding("FID-11", Severity.ERROR, "it does not open")))


def finished(work: Workspace, verify: Callable[[RepairPlan, Path], None]) -> RepairPlan:
    """The plan of a work: the file as it will be is opened, and what is wrong then is what cannot be fixed."""
    found = list(work.unfixable)
    structures: tuple[NamedRange, ...] = ()
    image = _opened(work.structures, found)
    if image is not None:
        found += [*image.findings, *_lost(image)]
        structures = image.table.structures
    found += _left(work, {finding.code for finding in found})
    return RepairPlan(
        path=work.source.path,
        file_size=work.source.size,
        result_size=work.view.size,
        fixes=tuple(work.fixes),
        unfixable=tuple(located(work.source.path, (item for item in found if item.severity > Severity.NOTE))),
        opens=image is not None,
        witnesses=tuple(_witnesses(work.source.size, structures)),
        verify=verify,
    )


def _left(work: Workspace, told: set[str]) -> Iterator[Finding]:
    """What a check finds in the file as it will be, and what applying the log drops; each code once."""
    dropped = [finding for finding in check_structures(work.original) if finding.code in _DROPPED]
    errors = [finding for finding in check_structures(work.structures) if finding.severity is Severity.ERROR]
    yield from (finding for finding in (*dropped, *errors) if finding.code not in told)


def _opened(structures: Structures, found: list[Finding]) -> Image | None:
    try:
        return image_of(structures)
    except CorruptFileError as error:
        found.append(error.finding)
    except ShortReadError as error:
        found.append(unreadable(error, error.path))
    return None


def _witnesses(size: int, structures: Sequence[NamedRange]) -> Iterator[Range]:
    """The first MiB, whose headers every proper writer changes, and the front of the log and of each region."""
    for one in (NamedRange(0, HEADER_AREA_SIZE, "headers"), *structures[:_MOST_WITNESSES]):
        if one.start < (upto := min(one.end, one.start + MOST_WITNESSED, size)):
            yield Range.between(one.start, upto)


def _lost(image: Image) -> Iterator[Finding]:
    """What is wrong with each block that cannot be read whole: the first ones by themselves, the others as a number."""
    table, count = image.table, 0
    for blocks in table.damaged_blocks():
        for block in blocks[: max(0, _MOST_BLOCKS - count)].tolist():
            yield from table.flaws_of_block(block)
        count += len(blocks)
    if count > _MOST_BLOCKS:
        text = f"{plural(count - _MOST_BLOCKS, 'more block')} cannot be read whole; `vhdx map` lists them"
        yield Finding("BAT-01", Severity.ERROR, text)
