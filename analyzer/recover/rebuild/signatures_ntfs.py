"""Signs of NTFS: boot sectors, and records of the $MFT, which know their numbers while its runs tell their places."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from analyzer.guest.layouts.ntfs import HEAD_SIZE, SIZE, NtfsBoot, parse_boot, parse_data, parse_record
from analyzer.recover.rebuild.signatures import Sign, read_known, volumes_of
from vhdx.disk import Disk

# The sizes that Windows has made, from NT to disks of 4096-byte sectors.
_RECORDS = frozenset({512, 1024, 2048, 4096})
# Bytes of the $MFT after which there is another sign: four in each MiB, for records may be unused.
_STEP = 1 << 18
# Records whose files say where they end: enough of them end in any block of the disk.
_MOST_RECORDS = 1 << 18


def _boot_of(raw: bytes, start: int, end: int) -> NtfsBoot | None:
    """The boot sector of a volume at byte `start` of the disk; None when it is none, is another's, or passes `end`."""
    boot = parse_boot(raw)
    if boot is None or not boot.is_sane or boot.record_size not in _RECORDS:
        return None
    # What is made through a loop device, or was moved, names another start; then it has to fill the partition.
    room = end - start - (boot.sectors + 1) * boot.sector_size
    is_here = boot.hidden * boot.sector_size == start or (start > 0 and room < boot.cluster_size)
    return boot if boot.sectors and room >= 0 and is_here else None


def boot_signs(disk: Disk) -> Iterator[Sign]:
    """The boot sector of each volume and its backup, which are the same and name the volume's first sector."""
    for start, end in volumes_of(disk):
        fits = partial(_boot_of, start=start, end=end)
        yield Sign(f"the boot sector of the NTFS volume at byte {start}", start, SIZE, fits)
        at = _backup(disk, start, end)
        yield Sign(f"the backup of the boot sector of the NTFS volume at byte {start}", at, SIZE, fits)


def _backup(disk: Disk, start: int, end: int) -> int:
    """Where the backup is: behind the last sector that the boot sector counts, else in the volume's last sector."""
    boot = _boot_of(read_known(disk, start, SIZE), start, end)
    return start + boot.sectors * boot.sector_size if boot else end - disk.sector_size


def _volumes(disk: Disk) -> Iterator[tuple[int, NtfsBoot, tuple[int, ...]]]:
    """The start of each volume whose boot sector, or its backup, is there, with it and where $MFT and mirror begin."""
    for start, end in volumes_of(disk):
        boots = (_boot_of(read_known(disk, at, SIZE), start, end) for at in (start, _backup(disk, start, end)))
        if boot := next(filter(None, boots), None):
            yield start, boot, tuple(start + cluster * boot.cluster_size for cluster in (boot.mft, boot.mirror))


def file_ends(disk: Disk) -> Iterator[tuple[int, int]]:
    """The byte of the disk behind the last one of each file that ends inside of a cluster, and where that one ends."""
    for start, boot, places in _volumes(disk):
        cluster = boot.cluster_size
        for record in islice(_records(disk, boot, start, places), _MOST_RECORDS):
            head, data = parse_record(record), parse_data(record)
            within = data.initialized % cluster if head and head.is_in_use and data else 0
            last = data.initialized // cluster if data and within else 0
            for first, place, count in data.placed() if data and within else ():
                if first <= last < first + count:
                    at = start + (place + last - first) * cluster
                    yield at + within, at + cluster


def _records(disk: Disk, boot: NtfsBoot, start: int, places: tuple[int, ...]) -> Iterator[bytes]:
    """The records of the $MFT that are known, a cluster of them at a time."""
    size, step = boot.record_size, max(boot.record_size, boot.cluster_size)
    table = parse_data(next(filter(None, (read_known(disk, place, size) for place in places)), b""))
    for place, clusters in table.runs() if table else ():
        for at in range(0, clusters * boot.cluster_size, step):
            raw = read_known(disk, start + place * boot.cluster_size + at, step)
            yield from (raw[begin : begin + size] for begin in range(0, len(raw), size))


def record_signs(disk: Disk) -> Iterator[Sign]:
    """Records of the $MFT all along its runs, and those of its mirror."""
    for start, boot, places in _volumes(disk):
        of = f"of the NTFS volume at byte {start}"
        for at, number in (*((place, 0) for place in places), *_along(disk, boot, start, places)):
            fits = partial(_is_record, boot.record_size, number)
            yield Sign(f"record {number} of the $MFT {of}", at, 2 * boot.record_size, fits)


def _is_record(size: int, number: int, raw: bytes) -> bool:
    """Whether two records with these numbers stand there."""
    # One record number can be right by chance, in a copy of an old $MFT or a disk image in a file. Two that follow
    # one another at the right distance are rarely so; the number of a record is 32 bits wide.
    heads = (parse_record(raw[at : at + HEAD_SIZE]) for at in (0, size))
    return all(head is not None and head.number == number + n for n, head in enumerate(heads))


def _along(disk: Disk, boot: NtfsBoot, start: int, places: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(byte of the disk, number) of records, _STEP apart and at the start of each run of the $MFT."""
    known = (read_known(disk, place, boot.record_size) for place in places)
    data = parse_data(next(filter(None, known), b""))
    number = 0
    for place, clusters in data.runs() if data else ():
        length = clusters * boot.cluster_size
        for at in range(0, length - boot.record_size, _STEP):
            yield start + place * boot.cluster_size + at, number + at // boot.record_size
        number += length // boot.record_size
