"""The first MiB, every copy of everything in it: identifier, headers, region tables ([MS-VHDX] 2.2)."""

from collections.abc import Iterator

from analyzer.check.summarise import as_both, as_notes
from analyzer.text import plural
from vhdx.contents import Structures
from vhdx.findings import Finding, Severity
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import (
    HEADER_AREA_SIZE,
    HEADER_OFFSETS,
    HEADER_SIZE,
    KIB,
    NIL,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.header import Header, build_header
from vhdx.structures.identifier import CREATOR_SIZE, Identifier
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.writer import CREATOR

_CREATOR_AT = 8
_GAPS = (
    (IDENTIFIER_SIZE, HEADER_OFFSETS[0]),
    (HEADER_OFFSETS[0] + HEADER_SIZE, HEADER_OFFSETS[1]),
    (HEADER_OFFSETS[1] + HEADER_SIZE, REGION_TABLE_OFFSETS[0]),
    (REGION_TABLE_OFFSETS[1] + REGION_TABLE_SIZE, HEADER_AREA_SIZE),
)
_WRITERS = (
    ("Microsoft Windows", "Windows"),
    ("QEMU", "QEMU"),
    ("Oracle", "VirtualBox"),
    ("disk2vhd", "Disk2vhd"),
    (".NET DiscUtils", "DiscUtils"),
    ("OpenVMM", "OpenVMM"),
    ("cloud-hypervisor", "cloud-hypervisor"),
    (CREATOR, "vhdx, as this program is called"),
)


def check_creator(identifier: Identifier) -> Iterator[Finding]:
    """Who made the file, and what its creator field holds besides."""
    creator, raw = identifier.creator, identifier.creator_raw
    if creator and "\ufffd" not in creator:
        writer = next((name for mark, name in _WRITERS if creator.startswith(mark)), "a program not known here")
        text = f"the file names {creator!r} as its creator: {writer}"
        yield Finding("FID-05", Severity.NOTE, text, _CREATOR_AT, CREATOR_SIZE, "2.2.1", found=creator)
    rest = raw[2 * len(creator) + 2 :] if "\ufffd" not in creator else b""
    if any(rest):
        at = _CREATOR_AT + CREATOR_SIZE - len(rest)
        yield Finding("FID-04", Severity.NOTE, "the creator field goes on after its end", at, len(rest), "2.2.1")


def check_gaps(source: ByteSource) -> Iterator[Finding]:
    """Bytes of the first MiB that belong to nothing and are not zero."""
    for start, end in _GAPS:
        block = read_at(source, start, end - start)
        if block.count(0) < len(block):  # quicker than any()
            at = start + len(block) - len(block.lstrip(b"\0"))
            length = len(block.strip(b"\0"))
            text = f"{plural(length, 'reserved byte')} among the headers {'is' if length == 1 else 'are'} not zero"
            yield Finding("FID-06", Severity.NOTE, text, at, length, "2.2", expected="zeros")


def check_copies_of_headers(structures: Structures) -> Iterator[Finding]:
    """What the headers' own rules leave out: each copy by itself, what the current one holds, and what the other."""
    pair = structures.headers.value
    if pair is None:
        return
    pages = [read_at(structures.file, offset, HEADER_SIZE) for offset in HEADER_OFFSETS]
    for copy, flaws in enumerate(pair.flaws):
        yield from as_both(flaws, "HDR-04") if pair.current_copy is None else as_notes(flaws)
        yield from _check_zeros("header", copy, pages[copy], HEADER_OFFSETS[copy], "2.2.2")
    if pair.current_copy is None:
        return
    at = HEADER_OFFSETS[pair.current_copy]
    yield from _check_reserved(pair.current, pages[pair.current_copy], at)
    yield from _check_identities(pair.current, at)
    if pair.previous is not None:
        yield from _compare(pair.current, pair.previous, HEADER_OFFSETS[1 - pair.current_copy])


def _check_reserved(header: Header, page: bytes, at: int) -> Iterator[Finding]:
    used = len(build_header(header).rstrip(b"\0"))
    used = max(used, 80)
    if any(page[used:]):
        yield Finding("HDR-14", Severity.NOTE, "reserved bytes of the header are not zero", at + used, None, "2.2.2")


def _check_identities(header: Header, at: int) -> Iterator[Finding]:
    for name, offset in (("file_write_guid", 16), ("data_write_guid", 32)):
        if getattr(header, name) == NIL:
            yield Finding("HDR-15", Severity.WARNING, f"the {name} is zero", at + offset, 16, "2.2.2")


def _compare(current: Header, previous: Header, at: int) -> Iterator[Finding]:
    place = (current.log_offset, current.log_length)
    if place != (previous.log_offset, previous.log_length) and previous.log_length:
        text = f"the headers put the log at {place[0]} and at {previous.log_offset}; the current one is believed"
        yield Finding("HDR-13", Severity.WARNING, text, at + 68, 12, "2.2.2")
    steps = current.sequence_number - previous.sequence_number
    if steps == 0:
        return
    facts = [] if steps == 1 else [f"its number is {steps} less than the current one's"]
    if previous.data_write_guid != current.data_write_guid:
        facts.append(f"the disk's identity was {previous.data_write_guid} before it was written to")
    if facts:
        yield Finding("HDR-16", Severity.NOTE, f"the previous header tells: {'; '.join(facts)}", at, 80, "2.2.2")


def check_copies_of_region_tables(structures: Structures) -> Iterator[Finding]:
    """What the region tables' own rules leave out: each copy by itself."""
    pair = structures.regions.value
    if pair is None:
        return
    for copy, (flaws, at) in enumerate(zip(pair.flaws, REGION_TABLE_OFFSETS, strict=True)):
        yield from as_both(flaws, "REG-04") if pair.current_copy is None else as_notes(flaws)
        page = read_at(structures.source, at, REGION_TABLE_SIZE)
        yield from _check_zeros("region table", copy, page, at, "2.2.3")


def _check_zeros(what: str, copy: int, page: bytes, at: int, section: str) -> Iterator[Finding]:
    if page.count(0) == len(page):
        text = f"{what} copy {copy + 1} is {len(page) // KIB} KiB of zeros: the host lost it, or it was never written"
        yield Finding("FID-09", Severity.WARNING, text, at, len(page), section)
