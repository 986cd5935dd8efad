"""Signs of NTFS: boot sectors, and records of the $MFT, which know their numbers while its runs tell their places."""

from collections.abc import Iterator
from functools import partial

from analyzer.guest.layouts.ntfs import HEAD_SIZE, SIZE, NtfsBoot, parse_boot, parse_data, parse_record
from analyzer.recover.rebuild.signatures import Sign, read_known, volumes_of
from vhdx.disk import Disk

# The sizes that Windows has made, from NT to disks of 4096-byte sectors.
_RECORDS = frozenset({512, 1024, 2048, 4096})
# Bytes of the $MFT after which there is another sign: four in each MiB, for records may be unused.
_STEP = 1 << 18


def _boot_of(raw: bytes, start: int, end: int) -> NtfsBoot | None:
    """The boot sector of a volume at byte `start` of the disk; None when it is none, is another's, or passes `end`."""
    boot = parse_boot(raw)
    if boot is None or not boot.is_sane or boot.record_size not in _RECORDS:
        return None
    fits = 0 < (boot.sectors + 1) * boot.sector_size <= end - start
    return boot if fits and boot.hidden * boot.sector_size == start else None


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


def record_signs(disk: Disk) -> Iterator[Sign]:
    """Records of the $MFT all along its runs, and those of its mirror."""
    for start, end in volumes_of(disk):
        boots = (_boot_of(read_known(disk, at, SIZE), start, end) for at in (start, _backup(disk, start, end)))
        boot = next(filter(None, boots), None)
        if boot is None:
            continue
        of = f"of the NTFS volume at byte {start}"
        places = tuple(start + cluster * boot.cluster_size for cluster in (boot.mft, boot.mirror))
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
