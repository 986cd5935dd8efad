"""What is inside the disk, as far as copies of it can be compared: partition tables, boot sectors, file systems."""

from collections.abc import Iterator
from dataclasses import replace

from analyzer.guest.filesystems.readings import EXT, Whole, volumes_beneath
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts import btrfs, exfat, ext, fat, ntfs, xfs
from analyzer.guest.layouts.detect import Recognised, end_of, recognise
from analyzer.guest.layouts.gpt import GptHeader, parse_whole_header
from analyzer.guest.layouts.partitions import Partition, Scheme, bounded, partitions_of
from analyzer.judgement.judge import merged_into
from analyzer.text import size
from analyzer.witnesses.account import MOST_STATES, State, account_of
from analyzer.witnesses.model import Cause
from analyzer.witnesses.pages import Look
from analyzer.witnesses.stretches import Looks
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.source import ByteSource

# Records of $MFT that its mirror has.
_RECORDS = 4
_MOST_VOLUME = 1 << 60  # bytes: a superblock that says more is damaged
_RECOVER = "Restore what is in doubt from a backup; `vhdx recover` names its ranges and files."
_CODES = {
    Cause.ENCRYPTED: ("CON-06", Severity.ERROR),
    Cause.ZEROED: ("CON-07", Severity.WARNING),
    Cause.MISPLACED: ("CON-07", Severity.WARNING),
    Cause.MIXED: ("CON-07", Severity.WARNING),
    Cause.HOLES: ("CON-07", Severity.WARNING),
}


def check_content(disk: Disk) -> Iterator[Finding]:
    """Everything about what the disk holds; what cannot be read is a finding, never raised."""
    try:
        # What contradicts its place does so by the block tables of a VHDX.
        found = [*_check(disk), *(_check_places(disk) if isinstance(disk, Image | Chain) else ())]
    except VhdxError as error:
        found = [Finding("FID-11", Severity.ERROR, f"what the disk holds cannot be looked at: {error}")]
    return (replace(finding, path=finding.path or disk.path) for finding in found)


def check_front(source: ByteSource) -> Iterator[Finding]:
    """What is to be said of a file that cannot be opened: that its front looks encrypted."""
    front = next(iter(Looks([source]).stretches(0, Look.NOISE, [0])), None)
    if front and front.start == 0:
        text = f"the first {size(front.length)} of the file look encrypted, or were overwritten with noise"
        yield Finding("CON-06", Severity.ERROR, text, 0, front.length, path=source.path, advice=_RECOVER)


def _check_places(disk: Image | Chain) -> Iterator[Finding]:
    """What contradicts its place."""
    layers = disk.layers if isinstance(disk, Chain) else (disk,)
    account = account_of(disk, ReadableDisk(disk), [layer.parameters.block_size for layer in layers], _older(disk))
    for one in account.contradictions:
        code, severity = _CODES[one.cause]
        text = f"{one}; by {account.measured(one.witnesses)}"
        start, length = next(iter(one.ranges))
        yield Finding(
            *(code, severity, text), path=layers[one.layer].path, disk_start=start, disk_length=length, advice=_RECOVER
        )


def _older(disk: Image | Chain) -> Iterator[State]:
    """The states of the lower files, but of those into which a merge is under way."""
    layers = disk.layers if isinstance(disk, Chain) else (disk,)
    for number in range(min(len(layers) - 1, merged_into(layers), MOST_STATES)):
        older = disk.upto(number) if isinstance(disk, Chain) else disk
        yield State(older, ReadableDisk(older))


def _check(disk: Disk) -> Iterator[Finding]:
    primary = _read_gpt(disk, 1)
    if primary:
        yield from _check_gpt(disk, primary)
    parts = partitions_of(bounded(disk.read, 0, disk.size), disk.size, [disk.sector_size])
    if primary is None and parts and parts[0].from_backup:
        text = "the GPT is not there or is damaged; its backup at the end of the disk names the partitions"
        yield _finding("CON-01", text, disk.sector_size, disk.sector_size)
    for part in parts:
        if part.scheme is Scheme.MBR and part.end > disk.size:
            text = f"a partition of the MBR ends at {part.end}, and the disk has {disk.size} bytes"
            yield _finding("MET-23", text, part.start, part.end - part.start)
    volumes = parts or [Partition(0, 0, disk.size)]
    found = [recognise(bounded(disk.read, part.start, min(part.end, disk.size))) for part in volumes]
    for part, kind in zip(volumes, found, strict=True):
        yield from _check_volume(disk, part, kind)
        yield from _check_size(disk, part, kind)
    standing = {kind.type for part, kind in zip(volumes, found, strict=True) if part.start == 0}
    for whole in volumes_beneath(bounded(disk.read, 0, disk.size), disk.size, standing):
        yield _check_beneath(parts, found, whole)


def _check_beneath(parts: tuple[Partition, ...], found: list[Recognised], whole: Whole) -> Finding:
    """A volume that takes all of the disk: a system "initialised" the disk, or formatted it, over its front."""
    article = "a" if whole.type in {"fat32", "Btrfs"} else "an"
    text = f"{article} {whole.type} volume that takes all of the disk: {whole}; `vhdx files` lists it"
    if any(kind.type != "unknown" for kind in found) or any(part.pool for part in parts):
        return Finding("CON-05", Severity.NOTE, f"beneath its volumes lies {text}", disk_start=whole.at)
    how = "empty partitions were made over" if parts else "what it begins with is lost of"
    return _finding("CON-04" if whole.type == EXT else "CON-02", f"{how} {text}", whole.at, ext.SIZE)


def _read_gpt(disk: Disk, lba: int) -> GptHeader | None:
    """The GPT header in a sector, when it is whole."""
    return parse_whole_header(disk.read(lba * disk.sector_size, disk.sector_size))


def _gpt_table(disk: Disk, gpt: GptHeader) -> bytes | None:
    table = disk.read(min(gpt.table_start, disk.size), gpt.table_length)
    return table if gpt.fits(table) else None


def _check_gpt(disk: Disk, primary: GptHeader) -> Iterator[Finding]:
    sector, sectors = disk.sector_size, disk.size // disk.sector_size
    if primary.other != sectors - 1:
        text = f"the GPT was made for a disk of {(primary.other + 1) * sector} bytes, and this one has {disk.size}"
        yield _finding("MET-23", text, sector, sector)
    if primary.other >= sectors:
        return
    backup, at = _read_gpt(disk, primary.other), primary.other * sector
    if backup is None:
        yield _finding("CON-01", "the GPT's backup is not there or is damaged", at, sector)
    elif any(getattr(backup, name) != getattr(primary, name) for name in ("disk_guid", "table_checksum", "count")):
        yield _finding("CON-01", "the GPT and its backup name other partitions", at, sector)
    elif _gpt_table(disk, backup) is None:
        yield _finding("CON-01", "the backup of the GPT's partition entries is damaged", at, sector)
    if _gpt_table(disk, primary) is None:
        yield _finding("CON-01", "the GPT's partition entries fail their checksum", primary.table_start, None)


def _check_volume(disk: Disk, part: Partition, found: Recognised) -> Iterator[Finding]:
    """What is wrong with the volume in a partition; that it is one which nothing here looks into."""
    # A FAT32 boot sector of which the name alone is right is no volume that can be read, but its copy may be whole.
    match found.front or (fat.parse_boot(disk.read(part.start, fat.SIZE)) if found.type == "unknown" else None):
        case ntfs.NtfsBoot() as boot:
            yield from _check_ntfs(disk, part, boot)
        case fat.FatBoot(backup=int(backup)):
            if disk.read(part.start + backup, fat.SIZE) != disk.read(part.start, fat.SIZE):
                yield _finding("CON-02", "the FAT32 boot sector and its backup differ", part.start + backup, fat.SIZE)
        case exfat.ExfatBoot(region=int(length)):
            front, copy = (exfat.lasting(disk.read(at, length)) for at in (part.start, part.start + length))
            if front != copy:
                text = "the exFAT boot region and its backup differ"
                yield _finding("CON-02", text, part.start + length, length)
        case ext.ExtSuperblock() as superblock:
            yield from _check_ext(disk, part, superblock)
    name = part.pool.value if part.pool and found.front is None else found.type
    if found.front is None and name != "unknown":
        text = f"the volume at {part.start} is {name}"
        yield Finding("CON-05", Severity.NOTE, text, disk_start=part.start)


def _check_size(disk: Disk, part: Partition, found: Recognised) -> Iterator[Finding]:
    """A volume of which the disk, or its partition, has not all."""
    room, takes = min(part.end, disk.size) - part.start, _size_of(disk, part, found)
    if room < takes <= _MOST_VOLUME:
        text = f"the {found.type} volume at {part.start} takes {takes} bytes, and {room} are there"
        yield _finding("MET-23", text, part.start, room)


def _size_of(disk: Disk, part: Partition, found: Recognised) -> int:
    """Bytes that a volume takes by its own superblock; 0 where nothing here reads that."""
    if found.front is not None:
        return end_of(found.front)
    read = bounded(disk.read, part.start, min(part.end, disk.size))
    if found.type == "XFS" and (xfs_super := xfs.parse_super(read(0, ntfs.SIZE))):
        return xfs_super.blocks * xfs_super.block_size
    btrfs_super = btrfs.parse_super(read(btrfs.MIRRORS[0], btrfs.SIZE)) if found.type == "Btrfs" else None
    return btrfs_super.device_size if btrfs_super else 0


def _check_ntfs(disk: Disk, part: Partition, boot: ntfs.NtfsBoot) -> Iterator[Finding]:
    front = disk.read(part.start, ntfs.SIZE)
    if not boot.is_sane:
        yield _finding("CON-02", "the NTFS boot sector has impossible sizes", part.start, ntfs.SIZE)
        return
    at = part.start + boot.sectors * boot.sector_size
    if at + ntfs.SIZE > disk.size or disk.read(at, ntfs.SIZE) != front:
        yield _finding("CON-02", "the NTFS boot sector and its backup differ", at, ntfs.SIZE)
    yield from _check_mft(disk, part, boot)


def _check_mft(disk: Disk, part: Partition, boot: ntfs.NtfsBoot) -> Iterator[Finding]:
    size, furthest = _RECORDS * boot.record_size, max(boot.mft, boot.mirror) * boot.cluster_size
    if not boot.has_place_for_records or furthest + size > part.end - part.start:
        yield _finding("CON-03", "the NTFS boot sector puts $MFT outside its volume", part.start, ntfs.SIZE)
        return
    table, mirror = (part.start + place * boot.cluster_size for place in (boot.mft, boot.mirror))
    if disk.read(table, size) != disk.read(mirror, size):
        yield _finding("CON-03", "the first four records of $MFT and $MFTMirr differ", mirror, size)


def _check_ext(disk: Disk, part: Partition, superblock: ext.ExtSuperblock) -> Iterator[Finding]:
    if not superblock.blocks_per_group:
        return
    block = disk.read(part.start + ext.START, ext.SIZE)
    at = part.start + superblock.copy_of(1)
    if at + ext.SIZE > min(part.end, disk.size):
        return  # a single group: there is no backup
    backup = disk.read(at, ext.SIZE)
    if any(backup[field] != block[field] for field in ext.STEADY):
        yield _finding("CON-04", "the ext superblock and its first backup disagree", at, ext.SIZE)


def _finding(code: str, text: str, start: int, length: int | None) -> Finding:
    return Finding(code, Severity.WARNING, text, disk_start=start, disk_length=length)
