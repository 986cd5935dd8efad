"""One file, looked at whole: every rule is asked, and no error ends it as long as anything behind it can be read."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from analyzer.check.bitmaps import check_bitmaps
from analyzer.check.blocks import check_blocks, check_space
from analyzer.check.diagnosis.checksums import HEADERS, REGION_TABLES, check_sums, flips_of
from analyzer.check.diagnosis.displaced_entries import displacements
from analyzer.check.diagnosis.logged_entries import lost_table_updates
from analyzer.check.result import bounded
from analyzer.check.structures import (
    check_copies_of_headers,
    check_copies_of_region_tables,
    check_creator,
    check_gaps,
    check_host,
    check_locator_facts,
    check_whole_log,
)
from vhdx.contents import Structures
from vhdx.errors import InputOutputError, NotRegularFileError, ShortReadError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, image_of
from vhdx.parsed import Parsed
from vhdx.source_map import unread_findings
from vhdx.structures.constants import HEADER_AREA_SIZE, PARENT_LOCATOR
from vhdx.structures.identifier import SIGNATURE


def check_structures(structures: Structures) -> Iterator[Finding]:
    """Everything about a file that is open, in the order of its structures; many alike are bounded."""
    found: list[Finding] = []
    for rule in _rules(structures):
        try:
            found.extend(rule)  # what came before an error stays
        except VhdxError as error:
            # One place that cannot be read keeps several rules from being asked, and is one finding.
            found += [finding for finding in [unreadable(error, structures.file.path)] if finding not in found]
    return bounded(found)


def unreadable(error: VhdxError, path: Path) -> Finding:
    """That a file cannot be read, or not all of it."""
    offset = getattr(error, "offset", None)
    text, advice = f"not all of the file can be read: {error}", ""
    if isinstance(error, ShortReadError):
        text = f"the file ends inside a structure: of {error.wanted} bytes at {error.offset} {error.got} are there"
        advice = "Get a whole copy of the file; if there is none, `vhdx recover FILE -o disk.raw` writes what is left."
    elif isinstance(error, NotRegularFileError):
        text, advice = "it is not a regular file, or a folder without any VHDX", "Name a .vhdx or .avhdx file."
    elif isinstance(error, InputOutputError):
        text = f"the system cannot {error.action} it: {error.reason}"
        advice = "Check the path and its permissions." if error.action == "open" else ""
    return Finding("FID-11", Severity.ERROR, text, offset, advice=advice, path=path)


def _rules(structures: Structures) -> Iterator[Iterable[Finding]]:
    """The rules of each structure, as far as there is anything that they are about."""
    file, identifier = structures.file, structures.identifier.value
    is_named_vhdx = identifier is not None and identifier.signature == SIGNATURE
    yield from (check_host(file), unread_findings(file, Severity.ERROR), _listed(structures.identifier))
    if identifier is not None and is_named_vhdx:
        yield check_creator(identifier)
    if file.size < HEADER_AREA_SIZE or (structures.header is None and not is_named_vhdx):
        return  # nothing here is a VHDX, or not enough of it
    yield from (check_gaps(file), check_copies_of_headers(structures), _listed(structures.headers))
    if structures.headers.value is not None:
        yield (flipped.finding for flipped in flips_of(file, HEADERS))
        yield check_sums(file)
    yield from (_listed(structures.log), check_whole_log(structures), _listed(structures.replay))
    yield from (check_copies_of_region_tables(structures), _listed(structures.regions))
    if structures.regions.value is not None:
        yield (flipped.finding for flipped in flips_of(structures.source, REGION_TABLES))
    parts: tuple[Parsed[Any], ...] = (structures.metadata, structures.parameters, structures.locator, structures.table)
    yield from (_listed(part) for part in parts)
    place = structures.place_of(PARENT_LOCATOR)
    if structures.locator.value is not None and place is not None:
        yield check_locator_facts(structures.locator.value, place[0])
    yield from _rules_of_table(structures)


def _listed(part: Parsed[Any]) -> Iterator[Finding]:
    yield from part.findings
    if part.error is not None:
        raise part.error


def _rules_of_table(structures: Structures) -> Iterator[Iterable[Finding]]:
    table, disk, log = structures.table.value, structures.parameters.value, structures.log.value
    if table is None or disk is None:
        return
    yield check_blocks(table, disk)
    if table.has_parent:
        yield check_bitmaps(table)
    if structures.header is not None and log is not None:  # else what seems to belong to nothing may be the log
        yield check_space(table, log, lambda: _disk_of(structures))
        # What writers are known to have done to block tables, and what old log entries say against this one.
        yield (page.finding for page in lost_table_updates(table, log))
        creator = structures.identifier.value.creator if structures.identifier.value else ""
        yield (displacement.finding for displacement in displacements(table, creator))


def _disk_of(structures: Structures) -> Image | None:
    """The disk of a file that opens and has no parent."""
    with suppress(VhdxError):
        image = image_of(structures)
        return None if image.has_parent else image
    return None
