"""All of a file but its tables: identifier, headers, region tables, log, parent locator, the file itself.

Every copy is asked, also where the other one serves ([MS-VHDX] 2.2, 2.3, 2.6.2.6).
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from analyzer.text import plural
from vhdx.catalogue import rules
from vhdx.contents import Structures
from vhdx.findings import Finding, Severity
from vhdx.replay import Log, candidates_of, flaws_of_entry
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures.constants import (
    HEADER_AREA_SIZE,
    HEADER_OFFSETS,
    HEADER_SIZE,
    KIB,
    MIB,
    NIL,
    REGION_TABLE_OFFSETS,
    REGION_TABLE_SIZE,
)
from vhdx.structures.header import Header, build_header
from vhdx.structures.identifier import CREATOR_SIZE, Identifier
from vhdx.structures.identifier import SIZE as IDENTIFIER_SIZE
from vhdx.structures.locator import ABSOLUTE_PATH, LINKAGE2, VOLUME_PATH, ParentLocator, parse_linkage
from vhdx.structures.log import HEAD_SIZE, parse_log_header
from vhdx.writer import CREATOR

_CREATOR_AT = 8
# Bytes of the header up to its last field, the place of the log [2.2.2].
_FIELDS = 80
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

# Marks in paths of a locator of the machine that they come from.
_USER = re.compile(r"[\\/](?:Users|Documents and Settings|home)[\\/]([^\\/]+)", re.IGNORECASE)
_HOST = re.compile(r"^\\\\(?![.?]\\)([^\\/]+)|^\\\\\?\\UNC\\([^\\/]+)", re.IGNORECASE)
_VOLUME = re.compile(r"Volume\{([0-9a-f-]{36})\}", re.IGNORECASE)
_DEVICE = re.compile(r"^\\\\[.?]\\(?!Volume\{|[A-Za-z]:|UNC\\)", re.IGNORECASE)
# What a path begins with, by its key; a relative path may begin with anything.
_FORMS = {
    VOLUME_PATH: re.compile(r"\\\\\?\\Volume\{[0-9a-f-]{36}\}\\", re.IGNORECASE),
    ABSOLUTE_PATH: re.compile(r"\\\\\?\\|[a-z]:\\", re.IGNORECASE),  # with a drive, as Hyper-V itself writes it
}

# Attributes of a file on Windows.
_SPARSE, _COMPRESSED, _ENCRYPTED = 0x200, 0x800, 0x4000


def check_host(source: ByteSource) -> Iterator[Finding]:
    """How the host's file system keeps the file, as far as it says."""
    if not isinstance(source, FileSource):
        return
    status = os.fstat(source.descriptor)
    flags = getattr(status, "st_file_attributes", 0)
    kinds = [name for bit, name in ((_COMPRESSED, "compressed"), (_ENCRYPTED, "encrypted")) if flags & bit]
    blocks = getattr(status, "st_blocks", None)
    if flags & _SPARSE or (stat.S_ISREG(status.st_mode) and blocks is not None and blocks * 512 < status.st_size):
        kinds.append("sparse")
    if kinds:
        text = f"the host keeps the file {' and '.join(kinds)}; Windows does not attach such files"
        yield Finding("FID-10", Severity.NOTE, text)


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


@cache
def _blank(length: int) -> bytes:
    return bytes(length)


def check_gaps(source: ByteSource) -> Iterator[Finding]:
    """Bytes of the first MiB that belong to nothing and are not zero; whether the file ends on a whole MiB."""
    for start, end in _GAPS:
        block = read_at(source, start, end - start)
        if block != _blank(len(block)):  # 30 microseconds of a MiB, where count() takes 500
            at = start + len(block) - len(block.lstrip(b"\0"))
            length = len(block.strip(b"\0"))
            text = f"{plural(length, 'reserved byte')} among the headers {'is' if length == 1 else 'are'} not zero"
            yield Finding("FID-06", Severity.NOTE, text, at, length, "2.2", expected="zeros")
    if source.size % MIB:
        text = f"the file has {source.size} bytes, which is no whole number of MiB"
        yield Finding("FID-08", Severity.NOTE, text, source.size, None, "2.2")


def check_copies_of_headers(structures: Structures) -> Iterator[Finding]:
    """What the headers' own rules leave out: each copy by itself, what the current one holds, and what the other."""
    pair = structures.headers.value
    if pair is None:
        return
    pages = [read_at(structures.file, offset, HEADER_SIZE) for offset in HEADER_OFFSETS]
    for copy, flaws in enumerate(pair.flaws):
        yield from _of_copy(flaws, "HDR-04" if pair.current_copy is None else "")
        yield from _check_zeros("header", copy, pages[copy], HEADER_OFFSETS[copy], "2.2.2")
    if pair.current_copy is None:
        return
    at = HEADER_OFFSETS[pair.current_copy]
    used = max(_FIELDS, len(build_header(pair.current).rstrip(b"\0")))
    if any(pages[pair.current_copy][used:]):
        yield Finding("HDR-14", Severity.NOTE, "reserved bytes of the header are not zero", at + used, None, "2.2.2")
    for name, offset in (("file_write_guid", 16), ("data_write_guid", 32)):
        if getattr(pair.current, name) == NIL:
            yield Finding("HDR-15", Severity.WARNING, f"the {name} is zero", at + offset, 16, "2.2.2")
    if pair.previous is not None:
        yield from _compare(pair.current, pair.previous, HEADER_OFFSETS[1 - pair.current_copy])


def _of_copy(flaws: Iterable[Finding], neither: str) -> Iterator[Finding]:
    """The flaws of one copy: where `neither` serves, what that code advises is to be done about them."""
    if neither:
        return (replace(flaw, advice=rules()[neither].remedy) for flaw in flaws)
    # The other copy serves, or this one does: the reason for a warning that is given anyway.
    return (replace(flaw, severity=Severity.NOTE) for flaw in flaws)


def _compare(current: Header, previous: Header, at: int) -> Iterator[Finding]:
    place = (current.log_offset, current.log_length)
    if place != (previous.log_offset, previous.log_length) and previous.log_length:
        text = f"the headers put the log at {place[0]} and at {previous.log_offset}; the current one is believed"
        yield Finding("HDR-13", Severity.WARNING, text, at + 68, 12, "2.2.2")
    steps = current.sequence_number - previous.sequence_number
    if steps == 0:
        return
    facts = [f"its number is {steps} less than the current one's"] if steps != 1 else []
    if previous.data_write_guid != current.data_write_guid:
        facts.append(f"the disk's identity was {previous.data_write_guid} before it was written to")
    if facts:
        yield Finding("HDR-16", Severity.NOTE, f"the previous header says: {'; '.join(facts)}", at, _FIELDS, "2.2.2")


def check_copies_of_region_tables(structures: Structures) -> Iterator[Finding]:
    """What the region tables' own rules leave out: each copy by itself."""
    pair = structures.regions.value
    if pair is None:
        return
    for copy, (flaws, at) in enumerate(zip(pair.flaws, REGION_TABLE_OFFSETS, strict=True)):
        yield from _of_copy(flaws, "" if pair.current_copy is not None else "REG-04")
        page = read_at(structures.source, at, REGION_TABLE_SIZE)
        yield from _check_zeros("region table", copy, page, at, "2.2.3")


def _check_zeros(what: str, copy: int, page: bytes, at: int, section: str) -> Iterator[Finding]:
    if page.count(0) == len(page):
        text = f"{what} copy {copy + 1} is {len(page) // KIB} KiB of zeros: the host lost it, or it was never written"
        yield Finding("FID-09", Severity.WARNING, text, at, len(page), section)


def check_whole_log(structures: Structures) -> Iterator[Finding]:
    """What the log's own rules leave out: damaged entries of a live log, and what is old."""
    log = structures.log.value
    if log is None or structures.header is None:
        return
    live = log.log_guid != NIL
    if live:
        yield from (*_check_damaged(log), *_check_live(log))
    old = [head for head in log.headers.values() if not live or head.log_guid != log.log_guid]
    if old:
        sessions = len({head.log_guid for head in old})
        first, last = min(head.sequence_number for head in old), max(head.sequence_number for head in old)
        numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
        text = f"the log still has {plural(len(old), 'old entry')} of {plural(sessions, 'session')}, {numbers}"
        yield Finding("LOG-09", Severity.NOTE, text, log.log_offset, log.log_length, "2.3")


def _check_damaged(log: Log) -> Iterator[Finding]:
    """Entries of the session that are not whole: inside the sequence an error, behind it what a crash leaves."""
    places = candidates_of(log)
    last = log.session[log.active[-1]].sequence_number if log.active else 0
    newest = max((head.sequence_number for head in log.session.values()), default=0)
    for at in (at for at in places if at not in log.headers):
        head = parse_log_header(log.ring(at, HEAD_SIZE))
        if head.log_guid != log.log_guid or head.sequence_number < last:
            continue
        lost = f"what it and those behind it change, {plural(head.descriptor_count, 'place')} at least, is lost"
        code, severity, outcome = "LOG-04", Severity.ERROR, lost
        if head.sequence_number >= newest and log.active:
            # A crash leaves an entry half written; what the host had not flushed was never promised to the guest.
            outcome = "it is behind the sequence's end and is taken as never written"
            code, severity = "LOG-05", Severity.WARNING
        for flaw in flaws_of_entry(log, at, places):
            kind = ("LOG-06", Severity.ERROR, flaw.message)
            kind = kind if flaw.code == "LOG-06" else (code, severity, f"{flaw.message}; {outcome}")
            yield Finding(*kind, log.log_offset + at, min(head.entry_length, log.log_length), flaw.section)


def _check_live(log: Log) -> Iterator[Finding]:
    count = len(log.candidate_sequences)
    if count > 1:
        text = f"{count} whole sequences of this session are in the log; the one with the greatest number is taken"
        yield Finding("LOG-07", Severity.WARNING, text, log.log_offset, log.log_length, "2.3.2")
    for at in log.active:
        entry, place = log.entry(at), log.log_offset + at
        head = entry.header
        if entry.has_reserved:
            text = f"a reserved field of log entry {head.sequence_number} is not zero"
            yield Finding("LOG-08", Severity.NOTE, text, place, head.entry_length, "2.3.1")
        if head.flushed_file_offset % MIB or head.last_file_offset % MIB:
            sizes = f"{head.flushed_file_offset} and {head.last_file_offset}"
            text = f"log entry {head.sequence_number} names the file sizes {sizes}, not both whole MiB"
            yield Finding("LOG-10", Severity.NOTE, text, place + 48, 16, "2.3.1.1")


def check_locator_facts(locator: ParentLocator, at: int) -> Iterator[Finding]:
    """What the locator, at file offset `at`, gives away or asks for and that breaks no rule [2.6.2.6]."""
    second = parse_linkage(locator.get(LINKAGE2))
    if second is not None and second != NIL:
        text = f"the parent may have the identity {second} as well (parent_linkage2)"
        yield Finding("LOC-11", Severity.NOTE, text, at, None, "2.6.2.6.3", found=str(second))
    facts = dict.fromkeys(fact for _, path in locator.paths for fact in _facts(path))
    if facts:
        text = f"the paths name the machine that the file comes from: {', '.join(facts)}"
        yield Finding("LOC-12", Severity.NOTE, text, at, None, "2.6.2.6.3")
    for key, path in locator.paths:
        if _HOST.search(path) or _DEVICE.search(path):
            text = f"the {key} {path!r} leads to another machine or a device; it is never followed"
            yield Finding("LOC-13", Severity.WARNING, text, at, None, "2.6.2.6.3", found=path)
        if key in _FORMS and not _FORMS[key].match(path):
            text = f"the {key} {path!r} has another form than the format requires"
            yield Finding("LOC-15", Severity.NOTE, text, at, None, "2.6.2.6.3", found=path)


def _facts(path: str) -> Iterator[str]:
    if user := _USER.search(path):
        yield f"user {user[1]!r}"
    if host := _HOST.search(path):
        yield f"host {(host[1] or host[2])!r}"
    if volume := _VOLUME.search(path):
        yield f"volume {volume[1]}"
    if path[1:3] == ":\\":
        yield f"folder {path.rpartition(chr(92))[0]!r}"
