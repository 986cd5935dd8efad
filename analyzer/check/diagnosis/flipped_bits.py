"""Headers and region tables whose broken checksum one flipped bit, or one wrong byte, explains (HDR-12, REG-16)."""

from collections.abc import Iterator
from dataclasses import dataclass

from vhdx.errors import ShortReadError
from vhdx.findings import Finding, Severity
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import HEADER_OFFSETS, HEADER_SIZE, REGION_TABLE_OFFSETS, REGION_TABLE_SIZE
from vhdx.structures.flips import Flip, single_flip
from vhdx.structures.header import check_headers, judge_headers
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
