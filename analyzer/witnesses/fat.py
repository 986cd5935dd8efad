"""What a FAT or exFAT volume says of its bytes: folders that name themselves, checksums of entries, where files end.

Microsoft, "FAT: General Overview of On-Disk Format", and the specification of exFAT. FAT has no checksums: a folder
begins with an entry of its own cluster, and both copies of the table are alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from analyzer.guest.layouts import exfat, fat
from analyzer.guest.layouts.exfat import ExfatBoot
from analyzer.guest.layouts.fat import ENTRY, FIRST_CLUSTER, FatBoot
from analyzer.guest.usage.fat import ExfatUsage, entries_of
from analyzer.guest.usage.model import Extents, Known
from analyzer.witnesses.model import Claims, Row, Statement, Statements
from analyzer.witnesses.pages import Look, is_noise, looks_of
from vhdx.ranges import Column

_ROOT_AT = slice(44, 48)
_DOT = b".".ljust(11)
_FOLDER, _VOLUME, _DELETED = 0x10, 0x08, 0xE5
_FILE = 0x85
# The types of entries that exFAT has, in use or not: bitmap, table of capitals, label, file, GUID, padding, access
# lists; stream, name, and those of makers of devices.
_TYPE, _TYPES = 0x7F, frozenset({0x01, 0x02, 0x03, 0x05, 0x20, 0x21, 0x22, 0x40, 0x41, 0x42, 0x60, 0x61})
_MOST_FOLDERS, _MOST_CLUSTERS = 1 << 14, 1 << 16
# What was written of a file ends with its last sector; behind it in the cluster is what was there before.
_SECTOR = 512


def claims_of_fat(known: Known, plain: Known, boot: FatBoot) -> Claims | None:
    """What a FAT volume says; `plain` shows what is there where `known` shows a copy in its place."""
    table = entries_of(known, boot)
    if table is None:
        return None
    testimony = _Fat(known, plain, boot, table)
    metadata = Statements.of(testimony.metadata())
    return Claims(metadata, Extents.of(testimony.ends), Extents.of(testimony.contents))


def claims_of_exfat(known: Known, plain: Known, boot: ExfatBoot) -> Claims | None:
    """What an exFAT volume says."""
    if not boot.cluster_size:
        return None
    metadata, ends, contents = list[Statement](), dict[int, Row](), list[Row]()
    for at in (0, boot.region or 0):
        raw = plain.read(at, boot.region or 0)
        metadata += [(at, len(raw), exfat.parse_boot(raw[:512]) is not None and exfat.holds(raw))] if raw else []
    usage, size = ExfatUsage(known, boot), boot.cluster_size
    for start in usage.folder_clusters():
        raw = plain.read(start, size)
        metadata += _sets(start, raw) if raw else []
    for is_folder, start, length, owner in usage.files():
        if not is_folder:
            contents.append((start, length, owner))
            ends[owner] = _end(start + length - 1, owner)
    return Claims(Statements.of(metadata), Extents.of(ends.values()), Extents.of(contents))


def _sets(start: int, raw: bytes) -> Iterator[Statement]:
    """The sets of entries of a cluster of a folder, each with its checksum; what has no type of an entry is none."""
    at = 0
    while at + ENTRY <= len(raw) and raw[at]:
        count = (raw[at + 1] + 1) * ENTRY
        if raw[at] & _TYPE not in _TYPES:
            yield start + at, ENTRY, False
            break
        if raw[at] == _FILE and at + count <= len(raw):
            yield start + at, count, exfat.set_holds(raw[at : at + count])
            at += count
        else:
            at += ENTRY
    if looks_of(raw[:4096])[0] == Look.NOISE:
        yield start, len(raw), False


def _end(last: int, owner: int) -> Row:
    return last, _SECTOR - last % _SECTOR, owner


@dataclass(frozen=True)
class _Fat:
    known: Known
    plain: Known
    boot: FatBoot
    table: Column
    ends: list[Row] = field(default_factory=list)
    contents: list[Row] = field(default_factory=list)

    def metadata(self) -> Iterator[Statement]:
        """Boot sectors, and folders; fills `ends` and `contents`."""
        for at in (0, self.boot.backup):
            raw = None if at is None else self.plain.read(at, fat.SIZE)
            if raw is not None and at is not None:
                yield at, fat.SIZE, fat.parse_boot(raw) is not None
        yield from self._tables()
        root = self._root_chain()
        yield from self._grown(root)
        folders = list(self._listed(self._root(root)))
        for number, cluster in enumerate(folders):
            if number >= _MOST_FOLDERS:
                return
            places = list(self._chain(cluster))
            yield from self._grown(places)
            data = self._clusters(places)
            own = data[20:22] + data[26:28] if self.boot.kind == "fat32" else data[26:28]
            number_of_own = int.from_bytes(own[2:] + own[:2] if len(own) > 2 else own, "little")  # noqa: PLR2004
            holds = data.startswith(_DOT) and number_of_own == cluster
            if data:
                yield self._place(cluster), self.boot.cluster_size, holds
            folders += self._listed(data) if holds else ()

    def _tables(self) -> Iterator[Statement]:
        """Pieces of both copies of the table: where they differ, what is noise or zeros is the one that fails."""
        length = self.boot.table * self.boot.sector_size
        first, last = (self.boot.fat_start + copy * length for copy in (0, self.boot.copies - 1))
        pairs = zip(self.plain.pieces(first, length), self.plain.pieces(last, length), strict=True)
        for (at, one), (_, other) in pairs if first != last else ():
            for start, mine, its in ((first, one, other), (last, other, one)):
                for page in range(0, len(mine or b"") if mine and its else 0, 4096):
                    part, twin = (copy[page : page + 4096] for copy in (mine or b"", its or b""))
                    if (part == twin and any(part)) or (part != twin and looks_of(part)[0] != Look.OTHER):
                        yield start + at + page, len(part), part == twin

    def _place(self, cluster: int) -> int:
        return self.boot.heap_start + (cluster - FIRST_CLUSTER) * self.boot.cluster_size

    def _root_chain(self) -> list[int]:
        """Where the root's clusters are; none of a FAT whose root has a place of its own."""
        if self.boot.root_entries:
            return []
        first = int.from_bytes((self.known.read(0, fat.SIZE) or bytes(fat.SIZE))[_ROOT_AT], "little")
        return list(self._chain(first))

    def _root(self, places: list[int]) -> bytes:
        if self.boot.root_entries:
            return self.plain.read(self.boot.root * self.boot.sector_size, self.boot.root_entries * ENTRY) or b""
        return self._clusters(places)

    def _clusters(self, places: list[int]) -> bytes:
        return b"".join(self.plain.read(at, self.boot.cluster_size) or b"" for at in places)

    def _grown(self, places: list[int]) -> Iterator[Statement]:
        """The clusters by which a folder grew: each was added for an entry, and what is deleted leaves a mark."""
        for at in places[1:]:
            raw = self.plain.read(at, self.boot.cluster_size)
            if raw is not None:
                yield at, len(raw), any(raw) and not is_noise(raw)

    def _chain(self, cluster: int, most: int = _MOST_CLUSTERS) -> Iterator[int]:
        """The bytes at which the clusters of a chain begin."""
        seen = 0
        while FIRST_CLUSTER <= cluster < len(self.table) and seen < most:
            yield self._place(cluster)
            cluster, seen = int(self.table[cluster]), seen + 1

    def _listed(self, folder: bytes) -> Iterator[int]:
        """The folders in a folder, by their first clusters; notes its files."""
        for at in range(0, len(folder) - ENTRY + 1, ENTRY):
            entry = folder[at : at + ENTRY]
            if not entry[0]:
                return
            high = int.from_bytes(entry[20:22], "little") if self.boot.kind == "fat32" else 0
            cluster, size = int.from_bytes(entry[26:28], "little") | high << 16, int.from_bytes(entry[28:], "little")
            if entry[0] in {_DELETED, _DOT[0]} or entry[11] & _VOLUME or cluster < FIRST_CLUSTER:
                continue
            if entry[11] & _FOLDER:
                yield cluster
            else:
                self._note(cluster, size)

    def _note(self, cluster: int, size: int) -> None:
        unit = self.boot.cluster_size
        places = list(self._chain(cluster, -(-size // unit)))
        self.contents.extend((start, length, cluster) for start, length in _side_by_side(places, unit, size))
        if size and len(places) * unit >= size:
            self.ends.append(_end(places[-1] + (size - 1) % unit, cluster))


def _side_by_side(places: list[int], unit: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, length) of clusters that follow one another, of a file of `size` bytes."""
    start = 0
    for index in range(1, len(places) + 1):
        if index == len(places) or places[index] != places[index - 1] + unit:
            yield places[start], min(index * unit, size) - start * unit
            start = index
