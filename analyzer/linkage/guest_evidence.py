"""What a child's rewritten structures say of its parent: partition tables, boot sectors, superblocks, $MFT records.

Each structure that both files hold was once the parent's and was written again by the child. So it must name the same
disk, and the parent's copy must be the older one.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from analyzer.guest.layouts import ntfs
from analyzer.guest.layouts.detect import MARKS, Mark
from analyzer.guest.layouts.gpt import Entries, parse_header
from analyzer.guest.layouts.ntfs import parse_record
from analyzer.guest.layouts.partitions import parse_mbr, partitions_of
from analyzer.linkage.record import Bearing, Trace
from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.runs import Kind

# More partitions than any disk seen; each costs a handful of reads of both files.
_MOST_VOLUMES = 32
# Records at the front of an $MFT that are compared: the file system's own files, the most often written. Not tuned:
# more records cost reads, and the first that is newer in the parent decides.
_MFT_SAMPLE = 256
# How many entries a GPT may have, and the sectors where they may begin.
_MOST_ENTRIES, _ENTRIES_AT = 512, range(2, 65)
# Beyond every disk of 64 TiB, so that no product of numbers from a boot sector overflows.
_MOST_CLUSTERS = 1 << 44


def traces_of(child: Image, parent: Image) -> tuple[Trace, ...]:
    """The traces, in the order of the disk; none when nothing was rewritten that is known. Never raises."""
    pair = _Pair(child, parent)
    found = [*_tables(pair)]
    parts = partitions_of(pair.mixed, child.size, [child.sector_size], Entries.AS_FOUND)
    starts = dict.fromkeys((0, *(part.start for part in parts)))  # 0: a disk without partitions is one volume
    for start in islice((start for start in starts if start < child.size), _MOST_VOLUMES):
        found += (trace for mark in MARKS for trace in _marked(pair, mark, start))
        found += _mft(pair, start)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Child and parent, read side by side."""

    child: Image
    parent: Image

    def both(self, start: int, length: int) -> tuple[bytes, bytes] | None:
        """What child and parent hold there, when each holds all of it itself."""
        child, parent = _held(self.child, start, length), _held(self.parent, start, length)
        return None if child is None or parent is None else (child, parent)

    def mixed(self, start: int, length: int) -> bytes:
        """The disk as it reads with this parent; b"" where it cannot be read."""
        sector, parts = self.child.sector_size, []
        first = start // sector * sector
        for at in range(first, start + length, sector):
            part = _held(self.child, at, sector)
            part = _held(self.parent, at, sector) if part is None else part
            if part is None:
                return b""
            parts.append(part)
        return b"".join(parts)[start - first : start - first + length]

    def is_mixed(self, start: int, length: int) -> bool:
        """Some of it is the child's and some the parent's."""
        # Only a structure that is partly the child's and partly the parent's can show by its checksum whether the two
        # fit.
        sector = self.child.sector_size
        return len({_held(self.child, at, sector) is None for at in range(start, start + length, sector)}) > 1


def _held(image: Image, start: int, length: int) -> bytes | None:
    """What one file holds itself, whole; None when it leaves any of it to its parent, or it is lost or past the end."""
    if start < 0 or length <= 0 or start + length > image.size:
        return None
    sector = image.sector_size
    first, last = start // sector * sector, -(-(start + length) // sector) * sector
    try:
        if any(run.kind in {Kind.LOST, Kind.HOLE} for run in image.runs(first, min(last, image.size))):
            return None
        return image.read(start, length)
    except VhdxError:
        return None


def _compared(what: str, child: bytes, parent: bytes) -> Trace:
    if child == parent:
        return Trace(f"{what} is the same in both", Bearing.SAME_DISK)
    return Trace(f"{what} is {child.hex()} in the child and {parent.hex()} in the parent", Bearing.OTHER_DISK)


def _tables(pair: _Pair) -> Iterator[Trace]:
    sector = pair.child.sector_size
    old, new = map(parse_mbr, pair.both(0, sector) or (b"", b""))
    if old and new:
        yield _compared("the disk signature in the master boot record", old.signature, new.signature)
    child, parent = map(parse_header, pair.both(sector, sector) or (b"", b""))
    if child and parent:
        yield _compared("the disk GUID in the GPT", child.disk_guid, parent.disk_guid)
    header = parse_header(pair.mixed(sector, sector))
    # The header need not be whole: half of it may be the other file's. So it is judged by where its entries can be.
    if not header or header.table not in _ENTRIES_AT or header.entry_size not in {128, 256, 512}:
        return
    length = header.table_start + header.table_length - sector
    if 0 < header.count <= _MOST_ENTRIES and pair.is_mixed(sector, length):
        fits = header.fits(pair.mixed(header.table_start, header.table_length))
        text = f"GPT header and entries, one from each file, {'fit' if fits else 'do not fit'} by their checksum"
        yield Trace(text, Bearing.SAME_DISK if fits else Bearing.CHANGED)


def _marked(pair: _Pair, mark: Mark, volume: int) -> Iterator[Trace]:
    both = pair.both(volume + mark.at, 512)
    at, magic = mark.magic
    if both is None or any(side[at : at + len(magic)] != magic for side in both):
        return
    what = f"the volume's identity in the {mark.name} at {volume + mark.at}"
    yield _compared(what, *(side[mark.identity] for side in both))
    if mark.age:
        child, parent = (struct.unpack_from(mark.age[1], side, mark.age[0])[0] for side in both)
        # Mount and write times only grow, as long as the guest's clock is not set back: evidence, and no proof.
        how = "was written later" if parent > child else "is no newer"
        bearing = Bearing.CHANGED if parent > child else Bearing.NEUTRAL
        yield Trace(f"the {mark.name} {how} in the parent than in the child", bearing)


def _mft(pair: _Pair, volume: int) -> Iterator[Trace]:
    """Log sequence numbers only grow: a record that is newer in the parent was written there since.

    That all are older proves nothing: a parent that was used for an hour is still behind a child used for a month.
    """
    boot = ntfs.parse_boot(pair.mixed(volume, pair.child.sector_size))
    if boot is None or not (boot.is_sane and boot.has_place_for_records and boot.mft < _MOST_CLUSTERS):
        return
    first, size = volume + boot.mft * boot.cluster_size, boot.record_size
    rewritten, latest = [], 0
    for number in range(_MFT_SAMPLE):
        at = first + number * size
        heads = [parse_record(_held(image, at, size) or b"") for image in (pair.child, pair.parent)]
        child, parent = (head.log_number if head else None for head in heads)
        latest = max(latest, parent or 0)
        if child is not None and child != parent:
            rewritten.append((child, parent or 0))
    count = len(rewritten)
    # Derivation: log sequence numbers of NTFS only grow, and the child began as the parent was. A record
    # that both have and that is newer in the parent was written there after the child was made. The reverse proves
    # nothing: test_mft_records_that_are_all_older_in_the_parent_speak_for_it_and_prove_nothing.
    if any(parent > child for child, parent in rewritten):
        text = f"of {count} $MFT records that the child has rewritten, the parent has some that are newer"
        yield Trace(text, Bearing.CHANGED)
    elif rewritten and latest and latest < min(child for child, _ in rewritten):
        text = f"every $MFT record looked at is older in the parent than all {count} that the child has rewritten"
        yield Trace(text, Bearing.SAME_DISK)
    elif rewritten:
        text = f"the log numbers of {count} rewritten $MFT records do not tell whether the parent was used since"
        yield Trace(text, Bearing.NEUTRAL)
