"""The two headers: which state of the file is the current one ([MS-VHDX] 2.2.2)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import HEADER_OFFSETS, HEADER_SIZE, MIB, NIL
from vhdx.structures.fields import (
    Copies,
    Guid,
    built,
    check_validity,
    crc32c_without_field,
    judge_copies,
    parsed,
    with_checksum,
)

SIGNATURE = b"head"
SECTION = "2.2.2"

_LAYOUT = Struct(
    "signature" / Bytes(4),
    "checksum" / Int32ul,
    "sequence_number" / Int64ul,
    "file_write_guid" / Guid,
    "data_write_guid" / Guid,
    "log_guid" / Guid,
    "log_version" / Int16ul,
    "version" / Int16ul,
    "log_length" / Int32ul,
    "log_offset" / Int64ul,
)


@dataclass(frozen=True, slots=True)
class Header:
    """One header copy, field by field."""

    signature: bytes
    checksum: int
    sequence_number: int
    file_write_guid: UUID
    data_write_guid: UUID
    log_guid: UUID
    log_version: int
    version: int
    log_length: int
    log_offset: int

    @property
    def log_is_live(self) -> bool:
        """The log holds changes that must be applied before anything but the headers is believed."""
        return self.log_guid != NIL


def parse_header(page: bytes) -> Header:
    """The header in a 4 KiB page; raises construct's StreamError when `page` is under 80 bytes."""
    return Header(**parsed(_LAYOUT, page))


def build_header(header: Header) -> bytes:
    """The 4 KiB page of a header, with its checksum made right."""
    return with_checksum(built(_LAYOUT, header).ljust(HEADER_SIZE, b"\0"))


def check_header(header: Header, page: bytes, at: int) -> Iterator[Finding]:
    """Why one header page, at file offset `at`, cannot be believed."""
    if header.signature != SIGNATURE:
        yield Finding("HDR-01", Severity.ERROR, f"the signature is {header.signature!r}, not b'head'", at, 4, SECTION)
        return  # of what is no header, the checksum says nothing
    if header.checksum != crc32c_without_field(page):
        yield Finding("HDR-02", Severity.ERROR, "the checksum does not match the page", at, len(page), SECTION)


def judge_headers(pages: tuple[bytes, bytes]) -> Copies[Header]:
    """Parse and judge both copies: of the valid ones, the greater sequence number is current, the first at a tie."""
    return judge_copies(pages, parse_header, check_header, HEADER_OFFSETS, lambda header: header.sequence_number)


def check_headers(pair: Copies[Header], file_size: int) -> Iterator[Finding]:
    """What is wrong with the two headers as a pair, then with the current one; sizes are bytes."""
    yield from check_copies(pair)
    if pair.current_copy is not None:
        at = HEADER_OFFSETS[pair.current_copy]
        if pair.current.version != 1:
            text = f"the format version is {pair.current.version}; only version 1 is known"
            yield Finding("HDR-07", Severity.ERROR, text, at + 66, 2, SECTION)
        if pair.current.log_version != 0:
            # An unknown log version matters only to whoever has to replay the log.
            severity = Severity.ERROR if pair.current.log_is_live else Severity.NOTE
            text = f"the log version is {pair.current.log_version}, not 0"
            yield Finding("HDR-08", severity, text, at + 64, 2, SECTION)
        yield from _check_log_place(pair.current, at, file_size)


def check_copies(pair: Copies[Header]) -> Iterator[Finding]:
    """What is wrong with the two headers as a pair: whether one serves, and which."""
    yield from check_validity(pair, "header", ("HDR-04", "HDR-03"), HEADER_OFFSETS, HEADER_SIZE, SECTION)
    if pair.previous is None or pair.previous.sequence_number != pair.current.sequence_number:
        return
    number = pair.current.sequence_number
    # Writers that never updated the file write one header twice. Only a difference is a contradiction.
    if replace(pair.previous, checksum=0) == replace(pair.current, checksum=0):
        text = f"both headers are identical, with sequence number {number}"
        yield Finding("HDR-06", Severity.NOTE, text, None, None, SECTION)
    else:
        text = f"both headers have sequence number {number} and differ: neither is the current one"
        yield Finding("HDR-05", Severity.ERROR, text, HEADER_OFFSETS[0], None, SECTION)


def _check_log_place(header: Header, at: int, file_size: int) -> Iterator[Finding]:
    length, offset = header.log_length, header.log_offset
    if header.log_is_live and not length:
        yield Finding("HDR-10", Severity.ERROR, "the log is dirty and its length is 0", at + 68, 4, SECTION)
    if not length:
        return
    if offset % MIB or length % MIB or offset < MIB:
        text = f"the log's offset {offset} or length {length} is not a multiple of 1 MiB from 1 MiB up"
        yield Finding("HDR-09", Severity.ERROR, text, at + 68, 12, SECTION)
    elif offset + length > file_size:
        text = f"the log ends at {offset + length}, past the end of the file at {file_size}"
        yield Finding("HDR-11", Severity.ERROR, text, at + 68, 12, SECTION)
