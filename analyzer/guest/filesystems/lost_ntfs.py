"""NTFS volumes whose beginning is lost: where they begin and how large a cluster is, by what their records say.

A record of the $MFT has its number, and its file's places in clusters; blocks of indexes name their folder. Where they
are found is right for one start and one size of a cluster alone: each place that fits has a vote.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts import ntfs
from analyzer.guest.layouts.ntfs import NtfsData, folder_of_index, index_block_size, parse_data, parse_record, runs_of
from analyzer.guest.layouts.ntfs_made import build_boot, build_record, build_volume
from analyzer.guest.layouts.partitions import Made, Partition, Read
from vhdx.structures.constants import MIB

# Bytes that are looked through: Windows begins the $MFT 3 GiB behind a volume's start.
_MOST_SEARCHED = 4 << 30
_MOST_RECORDS, _MOST_BLOCKS, _MOST_CANDIDATES = 1 << 20, 1 << 12, 64
_CLUSTERS = tuple(512 << power for power in range(13))
_RECORD_SIZES = (1024, 4096)
_STEP = 512
_SIGNATURES = np.frombuffer(ntfs.RECORD_SIGNATURE + ntfs.INDEX_SIGNATURE, dtype="<u4")
_MFT, _MIRROR, _BITMAP = 0, 1, 6
# The volume, definitions of attributes, the bitmap: without their records no reader opens a volume.
_VOLUME, _NEEDED = 3, (3, 4, _BITMAP)
# Votes that a volume needs, and how many times as many as the next best.
_LEAST_VOTES, _LEAST_LEAD = 3, 2
# Of the records found one in four has to be where the volume has it: there may be another volume, or images of some.
_LEAST_SHARE = 4
_MOST_VOLUMES, _MOST_ASKED, _MOST_FILES = 4, 512, 64
_FIRST_FILE = 24
# Where volumes have their $MFT: mkntfs at 16 KiB, and its mirror in the middle; Windows, if there is room, at cluster
# 786432, else behind a third of the clusters, and its mirror at cluster 2.
_USUAL_CLUSTERS, _NEAR_MFT, _FAR_MFT = tuple(512 << power for power in range(8)), 16 << 10, 0xC0000
_LOG, _LOG_SIGNATURES, _MARK = 2, frozenset({b"RSTR", b"CHKD"}), 4
_MOST_FIRST, _LEAST_STANDING = 3 * max(_RECORD_SIZES), 2
Guess = tuple[int, int]
"""The byte of the disk at which a volume begins, and bytes of a cluster."""


class _Parts:
    """Where bytes of a file are in its volume."""

    def __init__(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """By rows of (byte of the file, byte of the volume, length), rising."""
        self.rows = list(rows)
        self._starts = [row[0] for row in self.rows]

    @classmethod
    def of(cls, data: NtfsData, cluster: int) -> "_Parts":
        """By the runs of a record."""
        return cls((first * cluster, place * cluster, count * cluster) for first, place, count in data.placed())

    @property
    def behind_first(self) -> int:
        """The byte of the file behind its first stretch."""
        return sum(self.rows[0][::2]) if self.rows else 0

    def place_of(self, offset: int) -> int | None:
        """The byte of the volume at which a byte of the file is; None where it has no place."""
        index = bisect_right(self._starts, offset) - 1
        first, place, length = self.rows[index] if index >= 0 else (0, 0, 0)
        return place + offset - first if index >= 0 and offset < first + length else None


@dataclass(slots=True)
class _Found:
    """Records in use and blocks of indexes, by their places on the disk."""

    record_size: int = _RECORD_SIZES[0]
    numbers: dict[int, int] = field(default_factory=dict)
    """Of each place the number of the record there."""
    first: dict[int, tuple[NtfsData, NtfsData | None, NtfsData | None]] = field(default_factory=dict)
    """Records that may be the first of a $MFT: where this, its mirror and the bitmap are by the records there."""
    indexes: dict[int, NtfsData] = field(default_factory=dict)
    """Of folders: where their index is, by the number of the record."""
    files: list[NtfsData] = field(default_factory=list)
    blocks: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(place, folder, number in clusters or sectors of it, length) of blocks of indexes."""


def lost_ntfs(disk: ReadableDisk) -> list[Partition]:
    """The volumes that records found on the disk show, each with what it lacks made for it; none without proof."""
    found = _search(disk)
    weighed = [(guess, *_votes(disk, found, guess)) for guess in _guesses(found)]
    parts = dict[int, Partition]()
    for (start, cluster), most, records in sorted(weighed, key=lambda one: -one[1])[:_MOST_VOLUMES]:
        # What explains the same records is another guess about the same volume; one of them at most is right.
        rivals = [votes for guess, votes, others in weighed if guess != (start, cluster) and records & others]
        if most >= max(_LEAST_VOTES, _LEAST_LEAD * max(rivals, default=0)):
            length, made = _made(found, (start, cluster), disk.size - start)
            parts.setdefault(start, Partition(0, start, start + length, made=made))
    return [parts[start] for start in sorted(parts)]


def ntfs_of_all(read: Read, size: int) -> tuple[int, int, tuple[Made, ...]] | None:
    """The byte of the first records of a volume that is all of a disk, bytes of a cluster, and what it lacks, made.

    They are looked for where Windows and mkntfs put the $MFT and its mirror, so that no disk has to be searched.
    """
    for cluster in _USUAL_CLUSTERS:
        for at in sorted(place * cluster for place in _usual_places(size, cluster)):
            if at + _MOST_FIRST <= size and (made := _made_by(read, at, cluster, size)):
                return at, cluster, made
    return None


def _usual_places(size: int, cluster: int) -> set[int]:
    """Clusters at which the $MFT and its mirror begin on a volume of `size` bytes."""
    by_windows = {_FAR_MFT, size // cluster // 3, (size // cluster - 1) // 3, 2}
    return by_windows | {max(1, _NEAR_MFT // cluster), (size - ntfs.SIZE) // 2 // cluster}


def _made_by(read: Read, at: int, cluster: int, size: int) -> tuple[Made, ...]:
    """What is made where the records at a byte are the first of a volume of such clusters that begins the disk.

    They say where the $MFT, its mirror and the log are. Two of those have to be there: one place alone, their own,
    would fit a volume that begins elsewhere, with other clusters.
    """
    raw = read(at, _MOST_FIRST) if read(at, _MARK) == ntfs.RECORD_SIGNATURE else b""
    record = int.from_bytes(raw[28:32], "little")
    data = [_data_of(raw, record, number) for number in (_MFT, _MIRROR, _LOG)] if record in _RECORD_SIZES else []
    table, mirror, log = (next((first for first, _ in one.runs()), 0) if one else 0 for one in data or [None] * 3)
    if not (table and mirror) or at not in {table * cluster, mirror * cluster}:
        return ()
    places = [table * cluster + number * record for number in range(_FIRST_FILE)]
    standing = {number for number, place in enumerate(places) if _stands(read(place, record), number)}
    is_copied = _stands(read(mirror * cluster, record), _MFT)
    has_log = log > 0 and read(log * cluster, _MARK) in _LOG_SIGNATURES
    if bool(standing) + is_copied + has_log < _LEAST_STANDING:
        return ()
    lacks = [number for number in _NEEDED if number not in standing and not (is_copied and number <= _VOLUME)]
    clusters = cluster, size // cluster
    records = (_made_record(number, places[number], clusters, record) for number in lacks)
    return (Made(0, build_boot(*clusters, table, mirror, record)), *records)


def _stands(raw: bytes, number: int) -> bool:
    head = parse_record(raw)
    return head is not None and head.is_in_use and ntfs.record_holds(raw, number)


def _search(disk: ReadableDisk) -> _Found:
    found, left, looked = _Found(), _MOST_SEARCHED, 0
    for part in disk.data():
        # Data may be in runs of one sector each: what was read with one of them is not read with the next.
        for start in range(max(looked, part.start // _STEP * _STEP), part.end, MIB):
            looked = start + MIB
            raw, _ = disk.read_best_effort(start, min(MIB + 2 * max(_RECORD_SIZES), disk.size - start))
            left -= len(raw)
            if left < 0:
                return found
            words = np.frombuffer(raw[: min(MIB, len(raw)) // _STEP * _STEP], dtype="<u4")[:: _STEP // 4]
            for index in np.flatnonzero(np.isin(words, _SIGNATURES)).tolist():
                _note(found, start + index * _STEP, raw[index * _STEP :][: 2 * max(_RECORD_SIZES)])
    return found


def _note(found: _Found, place: int, raw: bytes) -> None:
    head = parse_record(raw)
    if head is None:
        folder = folder_of_index(raw)
        if folder and len(found.blocks) < _MOST_BLOCKS:
            found.blocks.append((place, *folder, index_block_size(raw)))
    elif head.is_in_use and len(found.numbers) < _MOST_RECORDS:
        found.numbers[place] = head.number
        allocated = int.from_bytes(raw[28:32], "little")
        found.record_size = size = allocated if allocated in _RECORD_SIZES else found.record_size
        data = parse_data(raw[:size])
        if head.number == _MFT and data:
            found.first[place] = data, _data_of(raw, size, _MIRROR), _data_of(raw, size, _BITMAP)
        if head.is_folder:
            found.indexes.update((head.number, index) for index in runs_of(raw[:size]) if index.is_index)
        elif head.number >= _FIRST_FILE and len(found.files) < _MOST_FILES and data:
            found.files += [data] if data.is_plain and data.initialized == data.size else []


def _data_of(raw: bytes, size: int, number: int) -> NtfsData | None:
    """Where the data is of one of the records that follow one another."""
    record = raw[number * size : (number + 1) * size]
    head = parse_record(record)
    return parse_data(record) if head and head.number == number else None


def _guesses(found: _Found) -> list[Guess]:
    """Those that any of the first records, or of blocks of indexes, would make right; the most frequent ones."""
    guesses = Counter[Guess]()
    for place, (table, mirror, _) in found.first.items():
        for first, _ in (next(data.runs(), (0, 0)) for data in (table, mirror) if data):
            guesses.update((place - first * size, size) for size in _CLUSTERS)
    for place, folder, number, length in found.blocks:
        for size in _CLUSTERS if folder in found.indexes else ():
            at = _Parts.of(found.indexes[folder], size).place_of(number * (size if size <= length else _STEP))
            guesses.update([] if at is None else [(place - at, size)])
    return [guess for guess, _ in guesses.most_common(_MOST_CANDIDATES) if guess[0] >= 0]


def _table(found: _Found, guess: Guess) -> _Parts:
    """The $MFT: by its first record, else by the records that were found, those of its mirror left out."""
    start, cluster = guess
    for place, (table, *_) in found.first.items():
        parts = _Parts.of(table, cluster)
        if parts.place_of(0) == place - start:
            return parts
    places = {number: at - start - number * found.record_size for at, number in found.numbers.items() if at >= start}
    rows = list[tuple[int, int, int]]()
    for by, group in groupby(sorted(places.items()), key=lambda row: row[1]):
        numbers = [number for number, _ in group]
        # Clusters are whole, and what is before the first record found is taken to be where that begins.
        first = 0 if not rows and by >= 0 else numbers[0] * found.record_size // cluster * cluster
        end = -(-(numbers[-1] + 1) * found.record_size // cluster) * cluster
        if not (first + by) % cluster:
            rows.append((first, first + by, end - first))
    return _Parts(row for row, (behind, *_) in pairwise([*rows, (1 << 62, 0, 0)]) if row[0] + row[2] <= behind)


def _votes(disk: ReadableDisk, found: _Found, guess: Guess) -> tuple[int, frozenset[int]]:
    """How many places are as they must be: the mirror, parts of the $MFT, blocks of indexes, ends of files.

    With them the places of records that are right; no votes where most records are elsewhere than the $MFT is.
    """
    start, cluster = guess
    parts, size = _table(found, guess), found.record_size
    some = list(found.numbers.items())[:: max(1, len(found.numbers) // _MOST_ASKED)]
    right = {at: number for at, number in some if parts.place_of(number * size) == at - start}
    if not right or len(right) * _LEAST_SHARE < len(some):
        return 0, frozenset()
    votes = 0
    for table, mirror, _ in found.first.values():
        copies = {start + next(data.runs(), (0, 0))[0] * cluster for data in (table, mirror) if data}
        if len(copies) > 1 and copies <= found.first.keys():
            # Where the first stretch of the $MFT begins shows the start for any size; where others do, shows the size.
            behind = sum(number * size >= parts.behind_first for number in right.values())
            votes = _LEAST_VOTES + min(_LEAST_VOTES, behind)
    for at, folder, number, length in found.blocks:
        data, unit = found.indexes.get(folder), cluster if cluster <= length else _STEP
        votes += data is not None and _Parts.of(data, cluster).place_of(number * unit) == at - start
    return votes + sum(_ends(disk, data, guess) for data in found.files), frozenset(right)


def _ends(disk: ReadableDisk, data: NtfsData, guess: Guess) -> bool:
    """Whether a file ends where its last cluster would be: with something, and nothing but zeros behind it."""
    start, cluster = guess
    last, slack = _Parts.of(data, cluster).place_of(data.size - 1), -data.size % cluster
    if last is None or not slack or start + last + 1 + slack > disk.size:
        return False
    raw, missed = disk.read_best_effort(start + last, 1 + slack)
    return not missed and raw[0] != 0 and not any(raw[1:])


def _made(found: _Found, guess: Guess, room: int) -> tuple[int, tuple[Made, ...]]:
    """Bytes of the volume, and what it begins with; and the records that it cannot be opened without, where lost."""
    start, cluster = guess
    size, parts = found.record_size, _table(found, guess)
    known = [
        one for place, one in found.first.items() if place - start in {parts.place_of(0), _mirror_of(one, cluster)}
    ]
    bitmap = next((one[2] for one in known if one[2]), None)
    mirror = next((_mirror_of(one, cluster) for one in known), None) or parts.rows[0][1]
    clusters = min(room // cluster, 8 * bitmap.size if bitmap else room)
    boot = build_boot(cluster, clusters, parts.rows[0][1] // cluster, mirror // cluster, size)
    made = [Made(0, boot)]
    if not known:
        made.append(Made(parts.rows[0][1], build_record(_MFT, size, cluster, _runs(parts, cluster))))
    for number in _NEEDED:
        at = parts.place_of(number * size)
        if at is not None and found.numbers.get(start + at) != number:
            made.append(_made_record(number, at, (cluster, clusters), size))
    return min(room, clusters * cluster), tuple(made)


def _made_record(number: int, at: int, clusters: tuple[int, int], size: int) -> Made:
    """One of those records that no volume, of so large clusters and so many, can be opened without."""
    runs = [(0, max(1, clusters[1] // 8 // clusters[0]))]
    return Made(at, build_volume(size) if number == _VOLUME else build_record(number, size, clusters[0], runs))


def _mirror_of(one: tuple[NtfsData, NtfsData | None, NtfsData | None], cluster: int) -> int | None:
    return next(one[1].runs(), (0, 0))[0] * cluster if one[1] else None


def _runs(parts: _Parts, cluster: int) -> Iterator[tuple[int | None, int]]:
    """The runs of a file in clusters, holes between them."""
    end = 0
    for first, place, length in parts.rows:
        if first > end:
            yield None, (first - end) // cluster
        yield place // cluster, length // cluster
        end = first + length
