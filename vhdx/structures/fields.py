"""What several structures share: fields, tables, checksums, and the copies of what a file has twice."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, Generic, TypeVar
from uuid import UUID

import google_crc32c
import numpy as np
import numpy.typing as npt
from construct import Bytes, ExprAdapter, StreamError, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import MAX_TABLE_ENTRIES

Record = TypeVar("Record")
Entry = TypeVar("Entry")
CHECKSUM_OFFSET, CHECKSUM_SIZE = 4, 4

Guid: Any = ExprAdapter(
    Bytes(16),
    decoder=lambda raw, _context: UUID(bytes_le=bytes(raw)),
    encoder=lambda guid, _context: guid.bytes_le,
)
"""A GUID in the Windows byte order."""


@cache
def _formats(layout: Struct) -> tuple[struct.Struct, tuple[str, ...], tuple[str, ...]]:
    """The same layout for the module struct, the names of its fields, and those of them that are GUIDs."""
    kinds = {one.name: "16s" if one.subcon is Guid else _format_of(one.subcon) for one in layout.subcons}
    guids = tuple(one.name for one in layout.subcons if one.subcon is Guid)
    return struct.Struct("<" + "".join(kinds.values())), tuple(kinds), guids


def _format_of(field: Any) -> str:  # noqa: ANN401 - construct has no types
    return f"{field.length}s" if isinstance(field, Bytes) else str(field.fmtstr).removeprefix("<")


def parsed(layout: Struct, data: bytes) -> dict[str, Any]:
    """The fields of a structure at the front of `data`; raises construct's StreamError where that is too short.

    construct's own parser is one call for each field, and takes twenty times as long:
    test_small_structures.py::test_what_struct_reads_is_what_construct_reads.
    """
    return parsed_array(layout, 1, data)[0]


def parsed_array(layout: Struct, count: int, data: bytes) -> list[dict[str, Any]]:
    """The fields of so many structures, one behind the other; raises StreamError where `data` is too short."""
    form, names, guids = _formats(layout)
    if len(data) < count * form.size:
        raise StreamError(f"{count} structures of {form.size} bytes in {len(data)}")
    found = [dict(zip(names, row, strict=True)) for row in form.iter_unpack(memoryview(data)[: count * form.size])]
    for fields in found:
        for name in guids:
            fields[name] = UUID(bytes_le=fields[name])
    return found


def decode_text(raw: bytes) -> str | None:
    """UTF-16LE text without a terminator; None when it is no text: odd length, lone surrogate, or a NUL inside."""
    try:
        text = raw.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def build(layout: Struct, **fields: object) -> bytes:
    """A structure with these fields, and zeros in all others."""
    zeros = {one.name: bytes(one.sizeof()) if isinstance(one.subcon, Bytes) else 0 for one in layout.subcons}
    return bytes(layout.build(zeros | fields))


def built(layout: Struct, record: object) -> bytes:
    """The bytes of a record whose fields are called as the structure's are."""
    return bytes(layout.build({one.name: getattr(record, one.name) for one in layout.subcons}))


def parsed_table(
    head: Struct, entry: Struct, signature: bytes, page: bytes
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fields of a table's head, and those of its entries: 2047 at most, none where another signature is there."""
    fields = parsed(head, page)
    count = min(fields["entry_count"], MAX_TABLE_ENTRIES) if fields["signature"] == signature else 0
    return fields, parsed_array(entry, count, page[head.sizeof() :])


def listed(entries: tuple[Entry, ...], claimed: int, empty: Entry) -> tuple[Entry, ...]:
    """The entries of a table; where it claims more than can be right, those before the first empty one."""
    return entries if claimed <= MAX_TABLE_ENTRIES else tuple(takewhile(lambda entry: entry != empty, entries))


def crc32c(data: bytes | npt.NDArray[np.uint8]) -> int:
    """CRC-32C of `data`, which may be an array, so that nothing needs to be copied."""
    return int(google_crc32c.value(data))


def crc32c_without_field(structure: bytes) -> int:
    """CRC-32C of a whole structure, its own checksum field at byte 4 taken as zero."""
    head = structure[:CHECKSUM_OFFSET] + bytes(CHECKSUM_SIZE)
    return int(google_crc32c.extend(crc32c(head), structure[CHECKSUM_OFFSET + CHECKSUM_SIZE :]))


def with_checksum(structure: bytes) -> bytes:
    """The structure with its checksum field made right."""
    checksum = crc32c_without_field(structure).to_bytes(CHECKSUM_SIZE, "little")
    return structure[:CHECKSUM_OFFSET] + checksum + structure[CHECKSUM_OFFSET + CHECKSUM_SIZE :]


@dataclass(frozen=True, slots=True)
class Copies(Generic[Record]):
    """Both copies, what is wrong with each, and the index of the one that serves; None when neither can."""

    copies: tuple[Record, Record]
    flaws: tuple[tuple[Finding, ...], tuple[Finding, ...]]
    current_copy: int | None

    @property
    def current(self) -> Record:
        """The copy that serves; only to be asked for once `check_copies` is without errors."""
        return self.copies[self.current_copy or 0]

    @property
    def previous(self) -> Record | None:
        """The other copy when it is valid: of headers the state before the last update, evidence of what was."""
        other = 1 - (self.current_copy or 0)
        return None if self.flaws[other] else self.copies[other]


def judge_copies(
    pages: tuple[bytes, bytes],
    parse: Callable[[bytes], Record],
    check: Callable[[Record, bytes, int], Iterable[Finding]],
    offsets: tuple[int, int],
    rank: Callable[[Record], int],
) -> Copies[Record]:
    """Both copies, parsed and checked; of the valid ones the one of greater rank serves, the first at a tie."""
    first, second = map(parse, pages)
    flaws = tuple(check(first, pages[0], offsets[0])), tuple(check(second, pages[1], offsets[1]))
    valid = [number for number in (0, 1) if not flaws[number]]
    return Copies((first, second), flaws, max(valid, key=lambda number: rank((first, second)[number]), default=None))


def check_validity(
    pair: Copies[Record], what: str, codes: tuple[str, str], offsets: tuple[int, int], size: int, section: str
) -> Iterator[Finding]:
    """Whether a copy is invalid, the second code, or both are, the first one; `size` is that of a copy, in bytes."""
    if pair.current_copy is None:
        reasons = "; ".join(f"copy {copy + 1}: {flaws[0].message}" for copy, flaws in enumerate(pair.flaws))
        yield Finding(codes[0], Severity.ERROR, f"neither {what} is valid ({reasons})", offsets[0], None, section)
        return
    for copy, flaws in enumerate(pair.flaws):
        if flaws:
            text = f"{what} copy {copy + 1} is invalid ({flaws[0].message}); copy {2 - copy} serves"
            yield Finding(codes[1], Severity.WARNING, text, offsets[copy], size, section)
