"""Two readings of one disk: the volumes that its front and its partition table name, and an ext volume beneath them.

WSL and Docker give all of a disk to ext. Windows "initialises" such a disk, or formats it: what is written over is its
front alone, and copies of its superblock stand.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from analyzer.guest.layouts import ext
from analyzer.guest.layouts.detect import recognise
from analyzer.guest.layouts.ext import ExtSuperblock, likely_places, parse_sound_superblock
from analyzer.guest.layouts.fat import FatBoot
from analyzer.guest.layouts.ntfs import SIZE, NtfsBoot
from analyzer.guest.layouts.partitions import Partition, Read, bounded

# Copies that are counted: those of 4 TiB, and all of older volumes that tell more than a few.
_MOST_COPIES = 64


@dataclass(frozen=True, slots=True)
class WholeExt:
    """An ext volume that takes all of a disk; `at` is the byte of the copy of its superblock that stands."""

    superblock: ExtSuperblock
    at: int
    standing: int
    copies: int

    def __str__(self) -> str:
        written = datetime.fromtimestamp(self.superblock.written, UTC)
        return f"{self.standing} of {self.copies} copies of its superblock stand, last written {written:%Y-%m-%d %H:%M}"


def whole_ext(read: Read, size: int) -> WholeExt | None:
    """The ext volume that takes all of a disk of `size` bytes, by its superblock, else by a copy."""
    for at, group, _ in ((ext.START, 0, 0), *likely_places(size)):
        found = parse_sound_superblock(read(at, ext.SIZE))
        if found and found.group == group and found.takes_all(size):
            places = [ext.START, *islice((place for _, place in found.copies()), _MOST_COPIES)]
            others = (parse_sound_superblock(read(place, ext.SIZE)) for place in places)
            standing = sum(other is not None and other.uuid == found.uuid for other in others)
            return WholeExt(found, at, standing, len(places))
    return None


def named_volumes(read: Read, parts: Iterable[Partition], size: int) -> Iterator[str]:
    """What speaks for the volumes that a disk's front and its tables name, a clause for each that can be read."""
    for part in parts:
        inside = bounded(read, part.start, min(part.end, size))
        found = recognise(inside)
        if not part.type and isinstance(found.front, ExtSuperblock):
            continue  # it is the one that takes all of the disk
        place = f"at byte {part.start}, which the {part.scheme.name} names" if part.type else "of all of the disk"
        if isinstance(found.front, NtfsBoot | FatBoot) and found.front.backup:
            stands = inside(found.front.backup, SIZE) == inside(0, SIZE)
            yield f"{found.type} {place}: its boot sector stands, and {'so does' if stands else 'not'} the copy of it"
        elif found.front:
            yield f"{found.type} {place}: it stands in its first sectors"
