"""The boot sector of an NTFS volume, whose copy is in the sector behind the volume's last; and records of its $MFT.

A record is a head, and attributes behind it (Linux-NTFS project, "NTFS Documentation").
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SIZE = 512
SIGNATURE = b"NTFS    "
SIGNATURE_AT = 3
SERIAL = slice(0x48, 0x50)
_FIELDS = struct.Struct("<11xHB14xI8xQQQb7x8s")
_SECTORS = frozenset({512, 1024, 2048, 4096})
# Half an exabyte: a boot sector of noise mostly claims more.
_MOST_SECTORS = 1 << 50
# Sectors of a cluster up to which the byte says their number; above it is an exponent, negated.
_MOST_PLAIN = 128
_RECORDS = range(512, 1 << 16 | 1)  # 1024 as a rule, 4096 on disks with such sectors


@dataclass(frozen=True, slots=True)
class NtfsBoot:
    """What a boot sector says, right or not: sizes in bytes, `sectors` of the volume, places in clusters."""

    sector_size: int
    cluster_size: int
    hidden: int
    """Sectors of the disk before the volume."""
    sectors: int
    mft: int
    mirror: int
    record_size: int
    serial: bytes

    @property
    def is_sane(self) -> bool:
        """Sectors and clusters have sizes that can be."""
        return self.sector_size in _SECTORS and self.cluster_size > 0

    @property
    def has_place_for_records(self) -> bool:
        """$MFT records have a size that can be."""
        return self.record_size in _RECORDS

    @property
    def backup(self) -> int | None:
        """The byte of the volume at which the copy is; None when that cannot be right."""
        return self.sectors * self.sector_size if self.is_sane and 0 < self.sectors < _MOST_SECTORS else None


def parse_boot(sector: bytes) -> NtfsBoot | None:
    """What the first sector of a volume says; None where it is not NTFS."""
    if len(sector) < SIZE or not sector.startswith(SIGNATURE, SIGNATURE_AT):
        return None
    size, clusters, hidden, sectors, mft, mirror, per_record, serial = _FIELDS.unpack_from(sector)
    cluster = size * clusters if clusters <= _MOST_PLAIN else size << (256 - clusters)
    record = per_record * cluster if per_record > 0 else 1 << -per_record
    return NtfsBoot(size, cluster, hidden, sectors, mft, mirror, record, serial)


RECORD_SIGNATURE = b"FILE"
HEAD_SIZE = 48
STRIDE = 512
"""Bytes after which two bytes tell a torn write, whatever the sectors of the disk."""
_HEAD = struct.Struct("<4sHHQ4xHH20xI")
ATTRIBUTE = struct.Struct("<IIBB2xH2xQ8xH14xQQ")
# Flags of an attribute whose bytes are not the file's, or not all of them.
PACKED = 0x0001 | 0x4000 | 0x8000
INDEX_SIGNATURE = b"INDX"
_INDEX_HEAD = struct.Struct("<4sHH8xQ")
_ENTRIES_AT, _INDEX_ENTRY, _IS_LAST = 24, struct.Struct("<10xHI"), 2
_NAME, _INFORMATION, DATA, _INDEX, _BITMAP, _END = 0x30, 0x70, 0x80, 0xA0, 0xB0, 0xFFFFFFFF
# $VOLUME_INFORMATION: eight reserved bytes, the version in two, flags.
_VOLUME_INFORMATION = struct.Struct("<10xH")
DIRTY = 1
"""Of a volume's flags: it has to be checked."""
RESTART_PAGES = 2 * 4096
"""Bytes of $LogFile that say whether it was closed: two pages, written in turn."""
# A restart page: its fixups, and where its area is; the area: sequence number, clients that use the log, flags.
_RESTART_PAGE, _RESTART_AREA = struct.Struct("<4sHH16xH"), struct.Struct("<Q4xHH")
_NO_CLIENT, _CLOSED = 0xFFFF, 2
# Of the name of a file: its parent's record, and behind dates and sizes its length and its namespace.
_FILE_NAME = struct.Struct("<Q56xBB")
_OF_DOS, _RECORD_NUMBER = 2, (1 << 48) - 1
BASE = slice(32, 40)
RESIDENT = struct.Struct("<16xIH")
_LEAST_ATTRIBUTE = 16  # a shorter one would lead back to itself
# A record of 4 KiB has room for no more; a run list of noise could go on without end.
_MOST_RUNS = 4096


@dataclass(frozen=True, slots=True)
class NtfsRecord:
    """The head of a record: `log_number` only grows, `attributes` is the byte of the record where they begin."""

    fixups: int
    fixup_count: int
    log_number: int
    attributes: int
    flags: int
    number: int

    @property
    def is_in_use(self) -> bool:
        """It is the record of a file that is there."""
        return bool(self.flags & 1)

    @property
    def is_folder(self) -> bool:
        """It is the record of a folder."""
        return bool(self.flags & 2)


@dataclass(frozen=True, slots=True)
class NtfsData:
    """The data of a file, or the index of a folder, that is outside of its record.

    `initialized` bytes of it were ever written. `first` is the cluster of it with which this record's part begins, in
    which alone `size` is right.
    """

    initialized: int
    raw_runs: bytes
    is_index: bool = False
    size: int = 0
    first: int = 0
    is_plain: bool = True
    """Neither compressed, nor encrypted, nor sparse."""

    def runs(self) -> Iterator[tuple[int, int]]:
        """(first cluster, count) of what has a place, in order."""
        return ((first, count) for _, first, count in self.placed())

    def placed(self) -> Iterator[tuple[int, int, int]]:
        """(cluster of the file, first cluster of the volume, count) of what has a place, in order."""
        return ((first, place, count) for first, place, count in every_run(self.raw_runs) if place is not None)


def parse_record(raw: bytes) -> NtfsRecord | None:
    """What the head of a record says; None where there is none."""
    if len(raw) < HEAD_SIZE or not raw.startswith(RECORD_SIGNATURE):
        return None
    _, *fields = _HEAD.unpack_from(raw)
    return NtfsRecord(*fields)


def parse_data(raw: bytes) -> NtfsData | None:
    """Where a whole record says that the file's unnamed data is; None where it does not, or is torn."""
    return next((runs for runs in runs_of(raw) if not runs.is_index), None)


def runs_of(raw: bytes) -> Iterator[NtfsData]:
    """Where a whole record says that its file's unnamed data, and its folder's index, are; nothing where it is torn."""
    for kind, attribute in attributes_of(raw):
        _, _, is_outside, name, *_ = ATTRIBUTE.unpack(attribute[: ATTRIBUTE.size])
        if is_outside and (kind == _INDEX or (kind == DATA and not name)):
            yield _data_of(attribute)


@dataclass(frozen=True, slots=True)
class NtfsName:
    """The file of a whole record that is in use, as the record itself names it."""

    name: str
    parent: int
    is_folder: bool


def name_of(raw: bytes, number: int) -> NtfsName | None:
    """The name in the record of this number; None of one that is not in use, torn, or a part of another one's."""
    head = parse_record(raw)
    if head is None or not head.is_in_use or any(raw[BASE]) or not record_holds(raw, number):
        return None
    found = [name for kind, attribute in attributes_of(raw) if kind == _NAME and (name := _name_in(attribute))]
    if not found:
        return None
    _, parent, text = min(found)
    return NtfsName(text, parent, head.is_folder)


def _name_in(attribute: bytes) -> tuple[bool, int, str] | None:
    """Whether a name is the short one alone, the record of its folder, and the name."""
    length, at = RESIDENT.unpack_from(attribute)
    content = attribute[at : at + length]
    if len(content) < _FILE_NAME.size:
        return None
    parent, letters, namespace = _FILE_NAME.unpack_from(content)
    text = content[_FILE_NAME.size :][: 2 * letters].decode("utf-16-le", "surrogatepass")
    return namespace == _OF_DOS, parent & _RECORD_NUMBER, text


def bitmap_of(raw: bytes) -> bytes | NtfsData | None:
    """The bitmap of a whole record, which says what of the file is in use: its bytes, or where they are."""
    attribute = next((attribute for kind, attribute in attributes_of(raw) if kind == _BITMAP), None)
    if attribute is None:
        return None
    length, at = RESIDENT.unpack_from(attribute)
    return _data_of(attribute) if attribute[8] else attribute[at : at + length]


def volume_flags(raw: bytes) -> int | None:
    """The flags of a volume by the record of $Volume; None where it does not say them."""
    for kind, attribute in attributes_of(raw):
        if kind == _INFORMATION:
            length, at = RESIDENT.unpack_from(attribute)
            content = attribute[at : at + length]
            if len(content) >= _VOLUME_INFORMATION.size:
                return int(_VOLUME_INFORMATION.unpack_from(content)[0])
    return None


def log_is_closed(pages: bytes) -> bool:
    """Whether the first RESTART_PAGES of $LogFile say that nothing of it has to be played back."""
    if pages and not pages.strip(b"\xff"):
        return True  # as mkntfs leaves it, and chkdsk: there is nothing in it
    areas = [area for at in (0, len(pages) // 2) if (area := _restart_area(pages[at : at + len(pages) // 2]))]
    if not areas:
        return False
    _, client, flags = max(areas)
    return client == _NO_CLIENT or bool(flags & _CLOSED)


def _restart_area(page: bytes) -> tuple[int, int, int] | None:
    if len(page) < _RESTART_PAGE.size:
        return None
    magic, fixups, count, at = _RESTART_PAGE.unpack_from(page)
    whole = put_back(page, fixups, count) if magic == b"RSTR" else b""
    if at + _RESTART_AREA.size > len(whole):
        return None
    number, client, flags = _RESTART_AREA.unpack_from(whole, at)
    return number, client, flags


def _data_of(attribute: bytes) -> NtfsData:
    kind, _, _, _, flags, first, runs, size, initialized = ATTRIBUTE.unpack(attribute[: ATTRIBUTE.size])
    return NtfsData(initialized, attribute[runs:], kind == _INDEX, size, first, not flags & PACKED)


def attributes_of(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and the bytes of each attribute of a whole record; as many bytes more as its head may have."""
    record = _without_fixups(raw)
    head = parse_record(record)
    at = head.attributes if head else 0
    while 0 < at <= len(record) - _LEAST_ATTRIBUTE:
        kind, length = struct.unpack_from("<II", record, at)
        if kind == _END or length < _LEAST_ATTRIBUTE:
            return
        yield kind, record[at : at + length].ljust(ATTRIBUTE.size, b"\0")
        at += length


def record_holds(raw: bytes, number: int) -> bool:
    """Whether a record is whole, not torn, and says that it has this number; old and unused ones do not say theirs."""
    head = parse_record(raw)
    if head is None or not _without_fixups(raw):
        return False
    return head.fixups < HEAD_SIZE or head.number == number or (head.number == 0 and not head.is_in_use)


def index_holds(raw: bytes, at: int, cluster: int) -> bool:
    """Whether a block of an index is whole, not torn, and says that it is at byte `at` of the index."""
    if len(raw) < _INDEX_HEAD.size:
        return False
    magic, fixups, count, place = _INDEX_HEAD.unpack_from(raw)
    unit = cluster if cluster <= len(raw) else STRIDE
    return magic == INDEX_SIGNATURE and place * unit == at and bool(put_back(raw, fixups, count))


def index_in(raw: bytes) -> bytes:
    """A block of an index with the ends of its strides put back; b"" where it is none, or torn."""
    if len(raw) < _INDEX_HEAD.size:
        return b""
    magic, fixups, count, _ = _INDEX_HEAD.unpack_from(raw)
    return put_back(raw, fixups, count) if magic == INDEX_SIGNATURE else b""


def folder_of_index(raw: bytes) -> tuple[int, int] | None:
    """(record of the folder, number of the block) that a block of an index is of; None where it names no file."""
    at = _ENTRIES_AT + int.from_bytes(raw[_ENTRIES_AT : _ENTRIES_AT + 4], "little")
    if not raw.startswith(INDEX_SIGNATURE) or at + _INDEX_ENTRY.size + _FILE_NAME.size > len(raw):
        return None
    length, flags = _INDEX_ENTRY.unpack_from(raw, at)
    if flags & _IS_LAST or length < _FILE_NAME.size:
        return None
    parent, *_ = _FILE_NAME.unpack_from(raw, at + _INDEX_ENTRY.size)
    return parent & _RECORD_NUMBER, _INDEX_HEAD.unpack_from(raw)[-1]


def index_block_size(raw: bytes) -> int:
    """The size of the blocks of an index that begins so; 4096, the usual one, where that cannot be told."""
    magic, _, count, _ = _INDEX_HEAD.unpack_from(raw.ljust(_INDEX_HEAD.size, b"\0"))
    found = (count - 1) * STRIDE
    return found if magic == INDEX_SIGNATURE and found in _RECORDS else 4096


def _without_fixups(raw: bytes) -> bytes:
    """The record with the ends of its strides put back; b"" when it is none or torn."""
    head = parse_record(raw)
    return put_back(raw, head.fixups, head.fixup_count) if head else b""


def put_back(raw: bytes, fixups: int, count: int) -> bytes:
    """A structure with the ends of its strides, of which it has copies at `fixups`, put back; b"" when it is torn."""
    if fixups + 2 * count > len(raw) or (count - 1) * STRIDE > len(raw):
        return b""
    fixed = bytearray(raw)
    for number in range(1, count):
        end, place = number * STRIDE, fixups + 2 * number
        if raw[end - 2 : end] != raw[fixups : fixups + 2]:
            return b""
        fixed[end - 2 : end] = raw[place : place + 2]
    return bytes(fixed)


def every_run(raw: bytes) -> Iterator[tuple[int, int | None, int]]:
    """(cluster of the file, first cluster of the volume, count) of a list of runs; None of one without a place."""
    at, place, first = 0, 0, 0
    for _ in range(_MOST_RUNS):
        sizes = raw[at] if at < len(raw) else 0
        counts, places = sizes & 15, sizes >> 4
        if not sizes or at + 1 + counts + places > len(raw):
            return
        count = int.from_bytes(raw[at + 1 : at + 1 + counts], "little")
        place += int.from_bytes(raw[at + 1 + counts : at + 1 + counts + places], "little", signed=True)
        if count:
            yield first, place if places and place >= 0 else None, count
        first += count
        at += 1 + counts + places
