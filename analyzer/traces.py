"""What a child's rewritten structures say of its parent: partition tables, boot sectors, superblocks, $MFT records.

Each structure that both files hold was once the parent's and was written again by the child. So it must name the same
disk, and the parent's copy must be the older one.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.runs import Kind

_MOST_VOLUMES = 32
_MFT_SAMPLE = 256
"""Records at the front of an $MFT that are compared."""
_MOST_ENTRIES, _ENTRIES_AT = 512, range(2, 65)
"""How many entries a GPT may have, and the sectors where they may begin."""
_RECORD_POWERS = range(-15, 0)
"""Exponents, negated, of an $MFT record's length."""


class Bearing(Enum):
    """What a fact speaks for."""

    SAME_DISK = "same disk"
    NEUTRAL = "neither"
    CHANGED = "parent changed since"
    OTHER_DISK = "another disk"


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that was looked at, as a sentence without its full stop."""

    text: str
    bearing: Bearing

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """A structure of a volume: where its magic, the volume's identity and its age stand, bytes from its own start."""

    name: str
    at: int
    magic: tuple[int, bytes]
    identity: tuple[int, int]
    age: tuple[int, str] | None = None
    """Offset and struct format of a number that only grows."""


_MARKS = (
    _Mark(name="NTFS boot sector", at=0, magic=(3, b"NTFS    "), identity=(0x48, 8)),
    _Mark(name="exFAT boot sector", at=0, magic=(3, b"EXFAT   "), identity=(0x64, 4)),
    _Mark(name="FAT32 boot sector", at=0, magic=(0x52, b"FAT32   "), identity=(0x43, 4)),
    _Mark(name="ext superblock", at=1024, magic=(0x38, b"\x53\xef"), identity=(0x68, 16), age=(0x30, "<I")),
    _Mark(name="XFS superblock", at=0, magic=(0, b"XFSB"), identity=(32, 16)),
    _Mark(name="btrfs superblock", at=1 << 16, magic=(0x40, b"_BHRfS_M"), identity=(0x20, 16), age=(0x48, "<Q")),
)
_MARK_SIZE = 512


def traces_of(child: Image, parent: Image) -> tuple[Trace, ...]:
    """The traces, in the order of the disk; none when nothing was rewritten that is known. Never raises."""
    return tuple(_traces(_Pair(child, parent)))


def _traces(pair: "_Pair") -> Iterator[Trace]:
    yield from _mbr(pair)
    yield from _gpt(pair)
    for start in _volumes(pair):
        for mark in _MARKS:
            yield from _marked(pair, mark, start)
        yield from _mft(pair, start)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Child and parent, read side by side."""

    child: Image
    parent: Image

    @property
    def sector(self) -> int:
        return self.child.sector_size

    def both(self, start: int, length: int) -> tuple[bytes, bytes] | None:
        """What child and parent hold there, when each holds all of it itself."""
        child, parent = _held(self.child, start, length), _held(self.parent, start, length)
        return None if child is None or parent is None else (child, parent)

    def mixed(self, start: int, length: int) -> bytes:
        """The disk as it reads with this parent; b"" where it cannot be read."""
        sector, parts = self.sector, []
        for at in range(start, start + length, sector):
            part = _held(self.child, at, sector)
            part = _held(self.parent, at, sector) if part is None else part
            if part is None:
                return b""
            parts.append(part)
        return b"".join(parts)

    def is_mixed(self, start: int, length: int) -> bool:
        """Some of it is the child's and some the parent's."""
        holders = {_held(self.child, at, self.sector) is None for at in range(start, start + length, self.sector)}
        return len(holders) > 1


def _held(image: Image, start: int, length: int) -> bytes | None:
    """What one file holds itself, whole; None when it leaves any of it to its parent, or it is lost or past the end."""
    if start < 0 or length <= 0 or start + length > image.size:
        return None
    sector = image.sector_size
    first, last = start // sector * sector, -(-(start + length) // sector) * sector
    try:
        if any(run.kind is Kind.LOST or (run.kind is Kind.HOLE) for run in image.runs(first, min(last, image.size))):
            return None
        return image.read(start, length)
    except VhdxError:
        return None


def _mbr(pair: _Pair) -> Iterator[Trace]:
    both = pair.both(0, pair.sector)
    if both is None or any(side[510:512] != b"\x55\xaa" for side in both):
        return
    yield _compared("the disk signature in the master boot record", *(side[440:444] for side in both))


def _compared(what: str, child: bytes, parent: bytes) -> Trace:
    if child == parent:
        return Trace(f"{what} is the same in both", Bearing.SAME_DISK)
    return Trace(f"{what} is {child.hex()} in the child and {parent.hex()} in the parent", Bearing.OTHER_DISK)


def _gpt(pair: _Pair) -> Iterator[Trace]:
    sector = pair.sector
    both = pair.both(sector, sector)
    if both and all(side.startswith(b"EFI PART") for side in both):
        yield _compared("the disk GUID in the GPT", *(side[56:72] for side in both))
    header = pair.mixed(sector, sector)
    if not header.startswith(b"EFI PART"):
        return
    start, length = _entries(header, sector)
    if length and (pair.is_mixed(sector, sector + (start + length - 2 * sector))):
        yield _fits(header, pair.mixed(start, -(-length // sector) * sector)[:length])


def _entries(header: bytes, sector: int) -> tuple[int, int]:
    """Start and length, bytes, of the partition entries; a length of 0 when they cannot be right."""
    place, count, size = struct.unpack_from("<QII", header, 72)
    sane = place in _ENTRIES_AT and size in {128, 256, 512} and 0 < count <= _MOST_ENTRIES
    return (place * sector, count * size) if sane else (0, 0)


def _fits(header: bytes, entries: bytes) -> Trace:
    if zlib.crc32(entries) == struct.unpack_from("<I", header, 88)[0]:
        return Trace("GPT header and entries, one from each file, fit by their checksum", Bearing.SAME_DISK)
    return Trace("GPT header and entries, one from each file, do not fit by their checksum", Bearing.CHANGED)


def _volumes(pair: _Pair) -> Sequence[int]:
    """Bytes of the disk where volumes begin; 0 for a disk without partitions comes first."""
    sector = pair.sector
    found = [0, *_gpt_volumes(pair), *(place * sector for place in _mbr_volumes(pair.mixed(0, sector)))]
    return list(dict.fromkeys(start for start in found if start < pair.child.size))[:_MOST_VOLUMES]


def _gpt_volumes(pair: _Pair) -> Iterator[int]:
    header = pair.mixed(pair.sector, pair.sector)
    start, length = _entries(header, pair.sector) if header.startswith(b"EFI PART") else (0, 0)
    entries = pair.mixed(start, -(-length // pair.sector) * pair.sector) if length else b""
    size = struct.unpack_from("<I", header, 84)[0] if entries else 1
    for at in range(0, len(entries) - 47, size):
        if any(entries[at : at + 16]):
            yield struct.unpack_from("<Q", entries, at + 32)[0] * pair.sector


def _mbr_volumes(sector: bytes) -> Iterator[int]:
    if sector[510:512] != b"\x55\xaa":
        return
    for at in range(446, 510, 16):
        kind, place = sector[at + 4], struct.unpack_from("<I", sector, at + 8)[0]
        if kind not in {0, 0xEE} and place:
            yield place


def _marked(pair: _Pair, mark: _Mark, volume: int) -> Iterator[Trace]:
    both = pair.both(volume + mark.at, _MARK_SIZE)
    at, magic = mark.magic
    if both is None or any(side[at : at + len(magic)] != magic for side in both):
        return
    first, length = mark.identity
    what = f"the volume's identity in the {mark.name} at {volume + mark.at}"
    yield _compared(what, *(side[first : first + length] for side in both))
    if mark.age:
        child, parent = (struct.unpack_from(mark.age[1], side, mark.age[0])[0] for side in both)
        yield _aged(mark.name, child, parent)


def _aged(name: str, child: int, parent: int) -> Trace:
    if parent > child:
        return Trace(f"the {name} was written later in the parent than in the child", Bearing.CHANGED)
    return Trace(f"the {name} is no newer in the parent than in the child", Bearing.NEUTRAL)


def _mft(pair: _Pair, volume: int) -> Iterator[Trace]:
    """Log sequence numbers only grow: a record that is newer in the parent was written there since.

    That all are older proves nothing: a parent that was used for an hour is still behind a child used for a month.
    """
    boot = pair.mixed(volume, pair.sector)
    if boot[3:11] != b"NTFS    ":
        return
    place, size = _mft_place(boot)
    if not place:
        return
    rewritten, latest = [], 0
    for number in range(_MFT_SAMPLE):
        at = volume + place + number * size
        parent = _lsn(_held(pair.parent, at, size))
        child = _lsn(_held(pair.child, at, size))
        latest = max(latest, parent or 0)
        if child is not None and child != parent:
            rewritten.append((child, parent or 0))
    if rewritten:
        yield _judge_numbers(rewritten, latest)


def _mft_place(boot: bytes) -> tuple[int, int]:
    """Where the $MFT begins in its volume and how long a record is, bytes; 0 when that cannot be right."""
    sector, cluster = struct.unpack_from("<HB", boot, 0x0B)
    lcn, per_record = struct.unpack_from("<Q", boot, 0x30)[0], struct.unpack_from("<b", boot, 0x40)[0]
    unit = sector * cluster
    size = 1 << -per_record if per_record in _RECORD_POWERS else per_record * unit
    sane = sector in {512, 1024, 2048, 4096} and 0 < size <= 1 << 16 and unit and lcn < 1 << 44
    return (lcn * unit, size) if sane else (0, 0)


def _lsn(record: bytes | None) -> int | None:
    if record is None or not record.startswith(b"FILE"):
        return None
    number: int = struct.unpack_from("<Q", record, 8)[0]
    return number


def _judge_numbers(rewritten: Sequence[tuple[int, int]], latest: int) -> Trace:
    count = len(rewritten)
    if any(parent > child for child, parent in rewritten):
        text = f"of {count} $MFT records that the child has rewritten, the parent has some that are newer"
        return Trace(text, Bearing.CHANGED)
    if latest and latest < min(child for child, _ in rewritten):
        text = f"every $MFT record looked at is older in the parent than all {count} that the child has rewritten"
        return Trace(text, Bearing.SAME_DISK)
    text = f"the log numbers of {count} rewritten $MFT records do not tell whether the parent was used since"
    return Trace(text, Bearing.NEUTRAL)
