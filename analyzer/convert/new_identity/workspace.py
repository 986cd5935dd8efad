"""Where a clone is worked out: the disk to read, new identities to draw, the structures that are patched, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from uuid import UUID

from analyzer.convert.disks import laid
from vhdx.identities import Identities
from vhdx.plans import RunSource
from vhdx.reader import Reader
from vhdx.runs import RunTable
from vhdx.structures.constants import NIL

Piece = tuple[int, bytes]
"""A whole structure as it is to be, and the byte of the disk at which it begins."""


class Scope(Enum):
    """Which identities are made anew."""

    DISK = "disk"
    """Those of the disk and its partitions alone."""
    VOLUMES = "volumes"
    """Those of file systems too, where that is safe and asks for nothing new of who reads them."""
    ALL = "all"
    """Also those of ext4 volumes that then need Linux 4.4, GRUB 2.12 and e2fsprogs 1.43, or newer."""


@dataclass(frozen=True, slots=True)
class Change:
    """An identity that is new. `places` are the bytes of the disk at which it is."""

    what: str
    places: tuple[int, ...]
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An identity, or a copy of one, that stays the original's: where, why, and what to do then, "" for nothing."""

    what: str
    start: int
    why: str
    then: str = ""


@dataclass(frozen=True, slots=True)
class Clone:
    """Everything that became of the identities of a disk, in the order of the disk."""

    changes: tuple[Change, ...]
    kept: tuple[Kept, ...]


class CloneWorkspace:
    """Structures are laid all or none, and never over one another: each was made from what the disk has there."""

    def __init__(self, disk: RunSource, sector_size: int, identities: Identities) -> None:
        """Work on `disk`, whose logical sectors have `sector_size` bytes."""
        self.size, self.sector_size = disk.size, sector_size
        self.changes: list[Change] = []
        self.kept: list[Kept] = []
        self._reader, self._pieces = Reader(disk), dict[int, bytes]()
        self._draw: Callable[[str], UUID] = cache(identities)

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the original, fewer where it ends before; raises what reading a disk raises."""
        return self._reader.read(start, min(length, self.size - start)) if 0 <= start < self.size else b""

    def guid(self, role: str, old: UUID) -> UUID:
        """The new identity for an old one: what was alike stays alike, and nothing stays nothing."""
        return NIL if old == NIL else self._draw(f"{role} {old}")

    def serial(self, role: str, old: bytes) -> bytes:
        """As many new bytes as the old serial number has: never zeros, never the old ones."""
        new = self._draw(f"{role} {old.hex()}").bytes
        parts = (new[at : at + len(old)] for at in range(len(new) - len(old) + 1))
        return next((part for part in parts if any(part) and part != old), b"\x01" * len(old))

    def patch(self, pieces: Sequence[Piece]) -> bool:
        """Patch the disk with these structures, unless one of them touches another, or what was laid before."""
        together = dict(self._pieces)
        for start, data in pieces:
            if together.setdefault(start, data) != data:
                return False
        places = sorted((start, start + len(data)) for start, data in together.items())
        if any(before[1] > after[0] for before, after in pairwise(places)):
            return False
        self._pieces = together
        return True

    def keep(self, what: str, start: int, why: str, then: str = "") -> None:
        """Say of an identity that it stays; see Kept."""
        self.kept.append(Kept(what, start, why, then))

    def renew(self, what: str, copies: Sequence[Piece], place: slice, new: bytes) -> None:
        """Put an identity into `place` of all copies of a structure; the first one has the old. Says what became."""
        pieces = [(at, with_bytes(data, place, new)) for at, data in copies]
        self.lay(what, pieces, place, copies[0][1][place], new)

    def lay(self, what: str, pieces: Sequence[Piece], place: slice, *identities: bytes | UUID) -> None:
        """Patch the disk with structures that have a new identity at `place`; says what became of the old one."""
        if self.patch(pieces):
            old, new = map(_in_words, identities)
            self.changes.append(Change(what, tuple(at + place.start for at, _ in pieces), old, new))
        else:
            self.keep(what, pieces[0][0] + place.start, "it lies upon other structures of the disk")

    def patches(self) -> tuple[RunTable, bytes]:
        """What is laid, as runs over the whole disk in whole sectors, HOLE elsewhere, and the bytes that they name."""
        size, sectors = self.sector_size, dict[int, bytearray]()
        for start, data in self._pieces.items():
            for at in range(start // size * size, start + len(data), size):
                sector = sectors.setdefault(at, bytearray(self.read(at, size)))
                lower, upper = max(at, start), min(at + size, start + len(data))
                sector[lower - at : upper - at] = data[lower - start : upper - start]
        return laid(sectors, self.size)


def with_bytes(data: bytes, place: slice, new: bytes) -> bytes:
    """A structure with other bytes in one place."""
    return data[: place.start] + new + data[place.stop :]


def _in_words(identity: bytes | UUID) -> str:
    """A UUID as it is always written, a serial number as one number."""
    return str(identity) if isinstance(identity, UUID) else identity[::-1].hex()
