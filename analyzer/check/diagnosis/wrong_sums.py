"""Both headers with checksums that are wrong while all that they say agrees: the fault is the writer's (HDR-17)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vhdx.errors import ShortReadError
from vhdx.findings import Finding, Severity
from vhdx.parsed import Parsed
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import HEADER_OFFSETS, HEADER_SIZE, NIL
from vhdx.structures.fields import with_checksum
from vhdx.structures.header import check_header, check_headers, judge_headers, parse_header


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


def check_sums(source: ByteSource) -> Iterator[Finding]:
    """What explains that neither header has the checksum of its page."""
    for copy in wrongly_summed(source)[:1]:
        text = "both headers say the same and have the checksum of another page, as cloud-hypervisor wrote them"
        yield Finding("HDR-17", Severity.NOTE, text, copy.at + 4, 4, "2.2.2")
