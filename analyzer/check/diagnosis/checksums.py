"""Why a checksum is broken: one flipped bit, or one wrong byte (HDR-12, REG-16); a writer that sums wrong (HDR-17)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from vhdx.errors import ShortReadError
from vhdx.findings import Finding, Severity
from vhdx.parsed import Parsed
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import HEADER_OFFSETS, HEADER_SIZE, NIL, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE
from vhdx.structures.fields import with_checksum
from vhdx.structures.flips import Flip, single_flip
from vhdx.structures.header import check_header, check_headers, judge_headers, parse_header
from vhdx.structures.region import check_region_tables, judge_region_tables


@dataclass(frozen=True, slots=True)
class FlippedCopy:
    """One copy of a structure at file offset `at`: the page as it must have been, and the flip that explains it."""

    copy: int
    at: int
    page: bytes
    flip: Flip
    finding: Finding


HEADERS = ("header", HEADER_OFFSETS, HEADER_SIZE, "HDR-12", "2.2.2")
REGION_TABLES = ("region table", REGION_TABLE_OFFSETS, REGION_TABLE_SIZE, "REG-16", "2.2.3")
Copies = tuple[str, tuple[int, int], int, str, str]
"""Copies of a structure: its name, their places and size, the code of a flip in it, the section."""


def flips_of(source: ByteSource, copies: Copies) -> Iterator[FlippedCopy]:
    """The copies that one flip explains, and which are sound once it is undone; nothing for a short file."""
    name, offsets, size, code, section = copies
    for copy, at in enumerate(offsets):
        try:
            page = read_at(source, at, size)
        except ShortReadError:
            return
        # CRC-32C is linear: the difference of the checksums belongs to exactly one position, if one bit explains it
        # at all. Of random damage one page in 2^32/(8 * length) has such a position by chance: 1 in 131,072 for a
        # header of 4 KiB. That is why the page has to make sense besides.
        flip = single_flip(page)
        fixed = flip.fix(page) if flip else page
        if flip and _is_sound(code, fixed, source.size):
            text = f"{name} copy {copy + 1}: {flip.what}; with it put right the checksum matches"
            finding = Finding(
                *(code, Severity.NOTE, text, at + flip.offset, 1, section),
                expected=f"{flip.expected:02x}",
                found=f"{flip.found:02x}",
            )
            yield FlippedCopy(copy, at, fixed, flip, finding)


def _is_sound(code: str, page: bytes, file_size: int) -> bool:
    """A page, as if both copies were it, is without errors: a checksum may match by chance, sense does not."""
    if code == "HDR-12":
        found = check_headers(judge_headers((page, page)), file_size)
    else:
        found = check_region_tables(judge_region_tables((page, page)), file_size)
    return not any(finding.severity is Severity.ERROR for finding in found)


@dataclass(frozen=True, slots=True)
class WronglySummed:
    """A header copy at file offset `at`: its page with the checksum that its fields have."""

    at: int
    page: bytes


def wrongly_summed(source: ByteSource) -> tuple[WronglySummed, ...]:
    """Both header copies where neither has its checksum and they agree in all but it and their number; else nothing.

    cloud-hypervisor before its pull request 6890 summed a page and wrote another one.
    """
    try:
        pages = [read_at(source, at, HEADER_SIZE) for at in HEADER_OFFSETS]
    except ShortReadError:
        return ()
    if [flaw.code for page in pages for flaw in check_header(parse_header(page), page, 0)] != ["HDR-02", "HDR-02"]:
        return ()
    # Two identities of 128 bits that are alike in two places are no damage: what overwrites one page does not write
    # the other's identities into it. Zeros could be alike, so that identities have to be there.
    first, second = (replace(parse_header(page), checksum=0, sequence_number=0) for page in pages)
    if first != second or NIL in (first.file_write_guid, first.data_write_guid):
        return ()
    summed = [with_checksum(page) for page in pages]
    pair = judge_headers((summed[0], summed[1]))
    if not Parsed(pair, tuple(check_headers(pair, source.size))).is_sound:
        return ()
    return tuple(WronglySummed(at, page) for at, page in zip(HEADER_OFFSETS, summed, strict=True))


def named_copies(source: ByteSource, named: Collection[UUID]) -> Iterator[WronglySummed]:
    """The header copies that lack but their checksum and have an identity that is `named`, as no sound copy has it.

    16 bytes that another file has as well do not come from damage.
    """
    pages = [read_at(source, at, HEADER_SIZE) for at in HEADER_OFFSETS]
    copies = [parse_header(page) for page in pages]
    flaws = [[flaw.code for flaw in check_header(copy, page, 0)] for copy, page in zip(copies, pages, strict=True)]
    if any(not wrong and copy.data_write_guid in named for wrong, copy in zip(flaws, copies, strict=True)):
        return
    for copy, page, wrong, twin, at in zip(copies, pages, flaws, reversed(copies), HEADER_OFFSETS, strict=True):
        # No child tells of the log: it is closed, or the twin says the same of it.
        is_named = copy.data_write_guid in named and copy.log_guid in (NIL, twin.log_guid)
        if wrong == ["HDR-02"] and is_named and _is_sound("HDR-12", summed := with_checksum(page), source.size):
            yield WronglySummed(at, summed)


def check_sums(source: ByteSource) -> Iterator[Finding]:
    """What explains that neither header has the checksum of its page."""
    for copy in wrongly_summed(source)[:1]:
        text = "both headers say the same and have the checksum of another page, as cloud-hypervisor wrote them"
        yield Finding("HDR-17", Severity.NOTE, text, copy.at + 4, 4, "2.2.2")
