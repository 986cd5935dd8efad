"""Log entries ([MS-VHDX] 2.3): parse, judge, what each would write, and build."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from construct import Bytes, Int32ul, Int64ul, Struct

from vhdx.findings import Finding, Severity, counted
from vhdx.structures.constants import LOG_SECTOR_SIZE, LOWEST_LOG_TARGET, MAX_FILE_SIZE
from vhdx.structures.fields import Guid, built, crc32c_without_field, parsed, with_checksum

SIGNATURE = b"loge"
DATA_DESCRIPTOR, ZERO_DESCRIPTOR, DATA_SECTOR = b"desc", b"zero", b"data"
SECTION = "2.3.1"

_HEAD = Struct(
    "signature" / Bytes(4),
    "checksum" / Int32ul,
    "entry_length" / Int32ul,
    "tail" / Int32ul,
    "sequence_number" / Int64ul,
    "descriptor_count" / Int32ul,
    "reserved" / Int32ul,
    "log_guid" / Guid,
    "flushed_file_offset" / Int64ul,
    "last_file_offset" / Int64ul,
)
HEAD_SIZE = _HEAD.sizeof()

# A data descriptor keeps the bytes that its data sector has no room for: 4 trailing, 8 leading. A zero descriptor
# keeps a length where the data descriptor keeps the leading bytes.
_DESCRIPTOR = np.dtype(
    [("signature", "S4"), ("trailing", "V4"), ("leading", "<u8"), ("file_offset", "<u8"), ("sequence_number", "<u8")]
)
_SECTOR = np.dtype([("signature", "S4"), ("sequence_high", "<u4"), ("data", "V4084"), ("sequence_low", "<u4")])
Table = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class LogHeader:
    """The first 64 bytes of an entry; `entry_length` and `tail` are bytes, `tail` counts from the log's start."""

    signature: bytes
    checksum: int
    entry_length: int
    tail: int
    sequence_number: int
    descriptor_count: int
    reserved: int
    log_guid: UUID
    flushed_file_offset: int
    last_file_offset: int

    @property
    def descriptor_area(self) -> int:
        """Bytes that header and descriptors take, in whole log sectors."""
        size = HEAD_SIZE + self.descriptor_count * _DESCRIPTOR.itemsize
        return int(-(-size // LOG_SECTOR_SIZE) * LOG_SECTOR_SIZE)


@dataclass(frozen=True, slots=True)
class Write:
    """What one descriptor does: `length` bytes at `file_offset` become `data`, or zeros where that is None."""

    file_offset: int
    length: int
    data: bytes | None


@dataclass(frozen=True)
class LogEntry:
    """One whole entry, unwrapped from the ring."""

    header: LogHeader
    raw: bytes

    @cached_property
    def descriptors(self) -> Table:
        """The descriptors as a table."""
        return np.frombuffer(self.raw, _DESCRIPTOR, self.header.descriptor_count, HEAD_SIZE)

    @cached_property
    def sectors(self) -> Table:
        """The data sectors that follow the descriptors, as a table."""
        start = self.header.descriptor_area
        return np.frombuffer(self.raw, _SECTOR, (len(self.raw) - start) // LOG_SECTOR_SIZE, start)

    @property
    def is_data(self) -> npt.NDArray[np.bool_]:
        """Which descriptors have a data sector."""
        mask: npt.NDArray[np.bool_] = self.descriptors["signature"] == DATA_DESCRIPTOR
        return mask

    @property
    def has_reserved(self) -> bool:
        """Whether a field is set that must be 0, of the header or of a zero descriptor."""
        # Where a data descriptor keeps its trailing bytes a zero descriptor has a reserved field (2.3.1.2).
        spare = self.descriptors["trailing"][~self.is_data].view("<u4")
        return bool(self.header.reserved or spare.any())

    def writes(self) -> Iterator[Write]:
        """What the entry does to the file, in order; only for an entry that `check_entry` has no error for."""
        sectors = iter(self.sectors)
        for descriptor, holds_data in zip(self.descriptors, self.is_data.tolist(), strict=True):
            offset = int(descriptor["file_offset"])
            if holds_data:
                leading = int(descriptor["leading"]).to_bytes(8, "little")
                data = leading + bytes(next(sectors)["data"]) + bytes(descriptor["trailing"])
                yield Write(offset, LOG_SECTOR_SIZE, data)
            else:
                yield Write(offset, int(descriptor["leading"]), None)


def parse_log_header(sector: bytes) -> LogHeader:
    """The entry header at the front of a log sector."""
    return LogHeader(**parsed(_HEAD, sector))


def parse_entry(raw: bytes) -> LogEntry:
    """A whole entry; `raw` has the length that its header claims."""
    return LogEntry(parse_log_header(raw), raw)


def build_entry(header: LogHeader, pages: Sequence[tuple[int, bytes]]) -> bytes:
    """The whole entry that writes pages of 4 KiB at their places of the file; its lengths, counts and sum are right."""
    head = replace(header, signature=SIGNATURE, checksum=0, descriptor_count=len(pages), reserved=0)
    head = replace(head, entry_length=head.descriptor_area + len(pages) * LOG_SECTOR_SIZE)
    descriptors, sectors = np.zeros(len(pages), _DESCRIPTOR), np.zeros(len(pages), _SECTOR)
    descriptors["signature"], sectors["signature"] = DATA_DESCRIPTOR, DATA_SECTOR
    descriptors["sequence_number"] = head.sequence_number
    sectors["sequence_high"], sectors["sequence_low"] = divmod(head.sequence_number, 1 << 32)
    for number, (place, page) in enumerate(pages):
        descriptors[number]["file_offset"] = place
        descriptors[number]["leading"] = int.from_bytes(page[:8], "little")
        descriptors[number]["trailing"] = np.void(page[-4:])
        sectors[number]["data"] = np.void(page[8:-4])
    front = built(_HEAD, head) + descriptors.tobytes()
    return with_checksum(front.ljust(head.descriptor_area, b"\0") + sectors.tobytes())


def check_log_header(header: LogHeader, at: int, log_length: int) -> Iterator[Finding]:
    """Why an entry that begins at byte `at` of a log of `log_length` bytes cannot be read as a whole."""
    if header.signature != SIGNATURE:
        yield _flaw("the signature is not b'loge'", at)
        return
    length, tail = header.entry_length, header.tail
    if length % LOG_SECTOR_SIZE or not LOG_SECTOR_SIZE <= length <= log_length:
        yield _flaw(f"the length {length} is no multiple of 4 KiB within the log", at)
    elif header.descriptor_area > length:
        yield _flaw(f"{length} bytes have no room for {counted(header.descriptor_count, 'descriptor')}", at)
    if tail % LOG_SECTOR_SIZE or tail >= log_length:
        yield _flaw(f"the tail {tail} is no multiple of 4 KiB within the log", at)
    if not header.sequence_number:
        yield _flaw("the sequence number is 0", at)
    if max(header.flushed_file_offset, header.last_file_offset) > MAX_FILE_SIZE:
        yield _flaw("a file size is larger than any file", at)


def check_entry(entry: LogEntry, at: int, log_start: int, log_length: int) -> Iterator[Finding]:
    """Why a whole entry, at byte `at` of the log that is at `log_start` of the file, must not be applied."""
    if entry.header.checksum != crc32c_without_field(entry.raw):
        yield _flaw("the checksum does not match the entry", at)
        return
    yield from _check_descriptors(entry, at)
    yield from _check_targets(entry, at, log_start, log_length)


def _check_descriptors(entry: LogEntry, at: int) -> Iterator[Finding]:
    table, sectors, data = entry.descriptors, entry.sectors, int(entry.is_data.sum())
    sequence = entry.header.sequence_number
    if not (entry.is_data | (table["signature"] == ZERO_DESCRIPTOR)).all():
        yield _flaw("a descriptor has an unknown signature", at)
    if (table["sequence_number"] != sequence).any():
        yield _flaw("a descriptor has another sequence number than its entry", at)
    if data > len(sectors):
        yield _flaw(f"it has {counted(data, 'data descriptor')} and {counted(len(sectors), 'data sector')}", at)
        return
    used = sectors[:data]
    if (used["signature"] != DATA_SECTOR).any():
        yield _flaw("a data sector has another signature than b'data'", at)
    if (used["sequence_high"] != sequence >> 32).any() or (used["sequence_low"] != sequence & 0xFFFFFFFF).any():
        yield _flaw("a data sector has another sequence number than its entry", at)


def _check_targets(entry: LogEntry, at: int, log_start: int, log_length: int) -> Iterator[Finding]:
    start = entry.descriptors["file_offset"]
    length = np.where(entry.is_data, np.uint64(LOG_SECTOR_SIZE), entry.descriptors["leading"])
    if (start % LOG_SECTOR_SIZE).any() or (length % LOG_SECTOR_SIZE).any():
        yield _flaw("a descriptor's place or length is not a multiple of 4 KiB", at)
    end = start + length
    if (start < LOWEST_LOG_TARGET).any() or (end < start).any() or (end > MAX_FILE_SIZE).any():
        yield _flaw("a descriptor aims at the headers or past the end of all files", at, "LOG-06")
    if ((start < log_start + log_length) & (end > log_start)).any():
        yield _flaw("a descriptor aims at the log itself", at, "LOG-06")


def _flaw(message: str, at: int, code: str = "LOG-04") -> Finding:
    return Finding(code, Severity.ERROR, f"log entry at byte {at} of the log: {message}", None, None, SECTION)
