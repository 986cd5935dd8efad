"""The parent locator: who the parent is and where it was ([MS-VHDX] 2.6.2.6)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from construct import Int16ul, Int32ul, StreamError, Struct

from vhdx.findings import Finding, Severity, counted
from vhdx.structures.constants import NIL, VHDX_LOCATOR_TYPE
from vhdx.structures.fields import Guid, decode_text, parsed, parsed_array

SECTION = "2.6.2.6"
LINKAGE, LINKAGE2 = "parent_linkage", "parent_linkage2"
RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_PATH = "relative_path", "volume_path", "absolute_win32_path"
PATH_KEYS = (RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_PATH)
"""In the order in which they are tried."""

_HEAD = Struct("locator_type" / Guid, "reserved" / Int16ul, "key_value_count" / Int16ul)
_ENTRY = Struct("key_offset" / Int32ul, "value_offset" / Int32ul, "key_length" / Int16ul, "value_length" / Int16ul)
_HEAD_SIZE, _ENTRY_SIZE = _HEAD.sizeof(), _ENTRY.sizeof()


@dataclass(frozen=True, slots=True)
class LocatorEntry:
    """One key and value with their places, bytes from the item's start. Text that cannot be read is None."""

    key_offset: int
    value_offset: int
    key_length: int
    value_length: int
    key: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class ParentLocator:
    """The locator as it is in the file."""

    locator_type: UUID
    reserved: int
    key_value_count: int
    entries: tuple[LocatorEntry, ...]

    def get(self, key: str) -> str | None:
        """The first value of a key."""
        return next((entry.value for entry in self.entries if entry.key == key), None)

    @property
    def pairs(self) -> dict[str, str]:
        """The keys and values that can be read, in their order; of a key that is there twice the first."""
        found: dict[str, str] = {}
        for entry in self.entries:
            if entry.key is not None and entry.value is not None:
                found.setdefault(entry.key, entry.value)
        return found

    @property
    def linkages(self) -> tuple[UUID, ...]:
        """The data_write_guids that the parent may have: parent_linkage, then parent_linkage2 unless it is zero."""
        guids = (parse_linkage(self.get(key)) for key in (LINKAGE, LINKAGE2))
        return tuple(guid for guid in guids if guid is not None and guid != NIL)

    @property
    def paths(self) -> tuple[tuple[str, str], ...]:
        """The (key, path) pairs in the order of trying; paths are a stranger's, in Windows' manner."""
        return tuple((key, path) for key in PATH_KEYS if (path := self.get(key)))


def parse_linkage(text: str | None) -> UUID | None:
    """The GUID of a linkage value: either case, with or without braces; None when it is not one."""
    if text is None:
        return None
    bare = text.removeprefix("{").removesuffix("}")
    try:
        guid = UUID(bare)
    except ValueError:
        return None
    return guid if len(bare) == len(str(guid)) else None  # UUID also takes `urn:uuid:`, and bare digits: no linkage


def parse_locator(item: bytes) -> ParentLocator:
    """The locator in its metadata item; what lies outside the item comes back as None, for `check_locator` to say."""
    # A short item is a finding, not an exception: parsing never raises for what a file holds.
    head = parsed(_HEAD, item.ljust(_HEAD_SIZE, b"\0"))
    try:
        raw = parsed_array(_ENTRY, head["key_value_count"], item[_HEAD_SIZE:])
    except StreamError:
        raw = []
    entries = tuple(
        LocatorEntry(
            **fields,
            key=_text(item, fields["key_offset"], fields["key_length"]),
            value=_text(item, fields["value_offset"], fields["value_length"]),
        )
        for fields in raw
    )
    return ParentLocator(**head, entries=entries)


def _text(item: bytes, offset: int, length: int) -> str | None:
    inside = offset and length and offset + length <= len(item)
    return decode_text(item[offset : offset + length]) if inside else None


def build_locator(pairs: Sequence[tuple[str, str]]) -> bytes:
    """The item that holds these keys and values, in this order."""
    texts = [(key.encode("utf-16-le"), value.encode("utf-16-le")) for key, value in pairs]
    at = _HEAD_SIZE + len(texts) * _ENTRY_SIZE
    table, body = b"", b""
    for key, value in texts:
        place = at + len(body)
        numbers = (place, place + len(key), len(key), len(value))
        table += _ENTRY.build(dict(zip(LocatorEntry.__slots__, numbers, strict=False)))
        body += key + value
    head = _HEAD.build({"locator_type": VHDX_LOCATOR_TYPE, "reserved": 0, "key_value_count": len(texts)})
    return bytes(head) + table + body


def check_locator(locator: ParentLocator, at: int, length: int) -> Iterator[Finding]:
    """What is wrong with a locator item of `length` bytes at file offset `at`."""
    if locator.locator_type != VHDX_LOCATOR_TYPE:
        text = f"the parent locator's type is {locator.locator_type}, not that of VHDX"
        yield Finding("LOC-03", Severity.ERROR, text, at, 16, SECTION)
    if locator.reserved:
        text = f"the reserved field of the parent locator is {locator.reserved:#x}, not 0"
        yield Finding("LOC-14", Severity.WARNING, text, at + 16, 2, SECTION)
    count = locator.key_value_count
    if not count or len(locator.entries) != count:
        size = counted(length, "byte")
        text = f"the parent locator of {size} cannot have the number of entries that it claims, {count}"
        yield Finding("LOC-04", Severity.ERROR, text, at + 18, 2, SECTION)
    for index, entry in enumerate(locator.entries):
        yield from _check_entry(entry, index, at + _HEAD_SIZE + index * _ENTRY_SIZE, length)
    if locator.entries:  # else LOC-04 says that nothing can be read
        yield from _check_keys(locator, at)


def _check_entry(entry: LocatorEntry, index: int, at: int, length: int) -> Iterator[Finding]:
    parts = (
        ("key", entry.key_offset, entry.key_length, entry.key),
        ("value", entry.value_offset, entry.value_length, entry.value),
    )
    for part, offset, size, text in parts:
        what = f"the {part} of parent locator entry {index}"
        if not size or not offset or size % 2 or offset % 2:
            yield Finding("LOC-06", Severity.ERROR, f"{what} has offset {offset}, length {size}", at, 12, SECTION)
        elif offset + size > length:
            message = f"{what}, {size} bytes at {offset}, lies outside the item of {counted(length, 'byte')}"
            yield Finding("LOC-05", Severity.ERROR, message, at, 12, SECTION)
        elif text is None:
            yield Finding("LOC-07", Severity.ERROR, f"{what} is not UTF-16 text", at, 12, SECTION)


def _check_keys(locator: ParentLocator, at: int) -> Iterator[Finding]:
    keys = Counter(entry.key for entry in locator.entries if entry.key is not None)
    for key in (key for key, times in keys.items() if times > 1):
        yield Finding("LOC-08", Severity.WARNING, f"the parent locator has the key {key!r} twice", at, None, SECTION)
    if parse_linkage(locator.get(LINKAGE)) is None:
        text = "the parent locator has no parent_linkage that is a GUID"
        yield Finding("LOC-09", Severity.ERROR, text, at, None, SECTION, "name the parent with --parent FILE")
    if not any(key in keys for key in PATH_KEYS):
        yield Finding("LOC-10", Severity.WARNING, "the parent locator names no path", at, None, SECTION)
