"""New identities for the volumes of a disk: serial numbers and UUIDs that can be changed without touching files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from analyzer.convert.new_identity.workspace import Change, CloneWorkspace, Piece, Scope, with_bytes
from analyzer.guest.layouts import exfat, ext, fat, ntfs
from analyzer.guest.layouts.detect import RAID, SWAP_SIZE, SWAP_UUID, VOLUMES, is_asleep, is_swap
from analyzer.guest.layouts.ext import Compatible, ExtSuperblock, Incompatible, ReadOnly
from analyzer.guest.layouts.ext_identity import build_descriptors, build_superblock
from analyzer.guest.layouts.partitions import Partition

_PAGE, _STRIPE = 4096, 1 << 16
_SERIAL = "the serial number of the {} volume"
# What gives a volume a new identity that is not changed here: it is in too many places, or under a key.
_THEN = {
    "BitLocker": "keep the clone away from the original's system, or decrypt it there first",
    "ReFS": "keep the clone away from the original's system",
    "LVM": "run `vgimportclone` on the clone's volume before both are seen by one system",
    "LUKS": "run `cryptsetup luksUUID --uuid $(uuidgen)` on the clone's volume",
    "Linux RAID": "run `mdadm --assemble --update=uuid` on the clone's volume",
    "Btrfs": "run `btrfstune -u` on the clone's volume before both are seen by one system: mounting either harms it",
    "XFS": "run `xfs_admin -U generate` on the clone's volume, or mount it with `-o nouuid`",
}
_RANDOM = "run `e2fsck -f` and `tune2fs -U random` on the clone's volume"
_REPAIR = "run `e2fsck -f` on the clone's volume, and then `tune2fs -U random`"
_DESCRIPTOR_SIZES = (32, 64)
# Bytes of descriptors, copies included, that are summed anew: some 16 TiB of a volume.
_MOST_DESCRIPTORS = 128 << 20


def renew_volumes(work: CloneWorkspace, parts: Iterable[Partition], scope: Scope) -> None:
    """Renew what can be renewed on each volume, and say what is kept; without a partition the whole disk is one."""
    starts = {part.start: part for part in parts if 0 < part.start < work.size}
    for part in [starts[at] for at in sorted(starts)] or [Partition(0, 0, work.size)]:
        # Names first: BitLocker's boot sector says FAT32 as well, and a mirror's member looks like its file system.
        known = _tell_named(work, part) or _renew_ntfs(work, part) or _renew_exfat(work, part)
        known = known or _renew_fat(work, part) or _renew_swap(work, part) or _renew_ext(work, part, scope)
        if not known and any(work.read(part.start, _PAGE)):
            why = "what it holds is not known here, and may have an identity"
            work.keep("what the partition holds", part.start, why)


def _renew_ntfs(work: CloneWorkspace, part: Partition) -> bool:
    front = work.read(part.start, ntfs.SIZE)
    boot = ntfs.parse_boot(front)
    if boot is None:
        return False
    copies, backup = [part.start], part.start + (boot.backup or 0)
    if boot.backup is not None and work.read(backup, ntfs.SIZE) == front:
        copies.append(backup)
    else:
        why = "it differs from the boot sector, and was left as it is"
        work.keep("the copy of the NTFS boot sector", backup, why, "run `chkdsk` on the clone's volume")
    new = work.serial("ntfs volume", boot.serial)
    work.renew(_SERIAL.format("NTFS"), [(at, front) for at in copies], ntfs.SERIAL, new)
    return True


def _renew_fat(work: CloneWorkspace, part: Partition) -> bool:
    front = work.read(part.start, fat.SIZE)
    boot = fat.parse_boot(front)
    if boot is None:
        return False
    if boot.serial is None:
        return True
    copies = [(part.start, front)]
    if boot.backup is not None:
        at = part.start + boot.backup
        second = work.read(at, fat.SIZE)
        copy = fat.parse_boot(second)
        # It has its serial number, and itself, where the boot sector has them.
        places = boot.sector_size, boot.serial, boot.backup
        is_alike = copy and (copy.sector_size, copy.serial, copy.backup) == places
        if is_alike and second[boot.serial] == front[boot.serial]:
            copies.append((at, second))
        else:
            why = "it is not this volume's, and was left as it is"
            work.keep("the copy of the FAT32 boot sector", at, why, "run `fsck.fat` on the clone's volume")
    work.renew(_SERIAL.format("FAT"), copies, boot.serial, work.serial("fat volume", front[boot.serial]))
    return True


def _renew_exfat(work: CloneWorkspace, part: Partition) -> bool:
    boot = exfat.parse_boot(work.read(part.start, ntfs.SIZE))
    if boot is None:
        return False
    length = boot.region or 0
    regions = {at: work.read(at, length) for at in (part.start, part.start + length)}
    whole = {at: region for at, region in regions.items() if length and len(region) == length and exfat.holds(region)}
    mine = {at: region for at, region in whole.items() if region[exfat.SERIAL] == boot.serial}
    for at in regions.keys() - mine.keys():
        text = "its checksum fails, or it is another volume's, and it was left as it is"
        work.keep("a boot region of the exFAT volume", at, text, "run `fsck.exfat` on the clone's volume")
    if part.start in mine:
        new = work.serial("exfat volume", boot.serial)
        pieces = [(at, exfat.build_region(region, new)) for at, region in mine.items()]
        work.lay(_SERIAL.format("exFAT"), pieces, exfat.SERIAL, boot.serial, new)
    return True


def _renew_swap(work: CloneWorkspace, part: Partition) -> bool:
    page = work.read(part.start, SWAP_SIZE)
    what = "the UUID of the swap space"
    if is_asleep(page):
        text = "a sleeping system's memory is in it"
        work.keep(what, part.start, text, "run `mkswap` on the clone's volume: it must not be woken twice")
        return True
    if not is_swap(page):
        return False
    old = UUID(bytes=page[SWAP_UUID])
    if old.int:
        new = work.guid("swap", old)
        work.lay(what, [(part.start, with_bytes(page, SWAP_UUID, new.bytes))], SWAP_UUID, old, new)
    return True


def _tell_named(work: CloneWorkspace, part: Partition) -> bool:
    """Whether the volume is one of those that are known by name alone; says that it keeps its identity."""
    size = min(part.end, work.size) - part.start
    names = [(signature.name, signature.at, signature.magic) for signature in VOLUMES]
    # Linux RAID keeps its superblock near the end: version 1.0 in pages, 0.90 in stripes of 64 KiB.
    ends = (size // _PAGE * _PAGE - 2 * _PAGE, size // _STRIPE * _STRIPE - _STRIPE)
    for name, at, magic in (*names, *(("Linux RAID", end, RAID) for end in ends if end > 0)):
        if name in _THEN and work.read(part.start + at, len(magic)) == magic:
            why = "it stands throughout the volume, or under a key, and is not changed from outside"
            work.keep(f"the identity of the {name} volume", part.start, why, _THEN[name])
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Copy:
    """A superblock of the volume, or its copy, and the byte of the disk at which it is."""

    at: int
    group: int
    block: bytes


def _renew_ext(work: CloneWorkspace, part: Partition, scope: Scope) -> bool:
    """Give the volume a new UUID, or say why not; False when it is no ext volume."""
    at = part.start + ext.START
    block = work.read(at, ext.SIZE)
    superblock = ext.parse_superblock(block)
    if superblock is None:
        return False
    kept = _refusal(superblock, scope) or _damage(superblock, block)
    kept = kept or _renew(work, superblock, [_Copy(at, 0, block), *_copies(work, part, superblock)])
    if kept:
        work.keep(f"the UUID {UUID(bytes=superblock.uuid)} of the ext volume", at, *kept)
    return True


def _refusal(superblock: ExtSuperblock, scope: Scope) -> tuple[str, str] | None:
    """Why its UUID must stay, and what gives it a new one; None when it need not."""
    has, extra = superblock.incompatible, superblock.compatible
    if has & Incompatible.RECOVER:
        replay = "mount the clone's volume once and unmount it, away from the original; then run `tune2fs -U random`"
        return "its journal is yet to be replayed and may bring the old UUID back", replay
    if has & Incompatible.JOURNAL_DEVICE or (extra & Compatible.HAS_JOURNAL and not superblock.journal_inode):
        return "volume and journal are separate, and name each other by UUID", _RANDOM
    if extra & Compatible.STABLE_INODES:
        return "encryption keys on it depend on the UUID", "keep the clone away from the original's system"
    if has & ~ext.KNOWN_INCOMPATIBLE:
        return "it has features that are not known here", _RANDOM
    seeded = has & Incompatible.CHECKSUM_SEED
    if superblock.read_only & ReadOnly.METADATA_CHECKSUM and not seeded and scope is not Scope.ALL:
        return "all its checksums depend on the UUID (metadata_csum without metadata_csum_seed)", _RANDOM
    return None


def _damage(superblock: ExtSuperblock, block: bytes) -> tuple[str, str] | None:
    sizes = superblock.block_size and superblock.blocks_per_group and superblock.descriptor_size in _DESCRIPTOR_SIZES
    room = superblock.blocks_per_group * superblock.block_size
    fits = superblock.groups <= ext.MOST_GROUPS and superblock.descriptors_length < room
    if not sizes or not fits or superblock.group or not ext.holds(block):
        return "its superblock is damaged", _REPAIR
    return None


def _copies(work: CloneWorkspace, part: Partition, superblock: ExtSuperblock) -> Iterator[_Copy]:
    """The copies that are whole and this volume's; one that is neither is left as it is."""
    for group, place in superblock.copies():
        block = work.read(part.start + place, ext.SIZE)
        copy = ext.parse_superblock(block)
        if copy and copy.uuid == superblock.uuid and copy.group in {0, group} and ext.holds(block):
            yield _Copy(part.start + place, group, block)


def _renew(work: CloneWorkspace, superblock: ExtSuperblock, copies: list[_Copy]) -> tuple[str, str] | None:
    """Lay superblocks, and the descriptors whose checksums begin with the UUID; returns why that cannot be."""
    old = UUID(bytes=superblock.uuid)
    new = work.guid("ext volume", old)
    summed = superblock.read_only & (ReadOnly.METADATA_CHECKSUM | ReadOnly.GROUP_CHECKSUM)
    by_uuid = not superblock.incompatible & Incompatible.CHECKSUM_SEED
    seeded = by_uuid and bool(summed & ReadOnly.METADATA_CHECKSUM)
    pieces = [(copy.at, build_superblock(copy.block, new.bytes, seeded=seeded)) for copy in copies]
    if by_uuid and summed == ReadOnly.GROUP_CHECKSUM:
        descriptors = list(_descriptors(work, superblock, copies, new))
        if not descriptors:
            return "the checksums of its groups do not fit the UUID, or are where they are not looked for", _REPAIR
        pieces += descriptors
    if old == new or not work.patch(pieces):
        return "it has no UUID" if old == new else "it lies upon other structures of the disk", ""
    places = tuple(copy.at + ext.UUID.start for copy in copies)
    what = "the UUID of the ext volume" + (", kept for checksums (metadata_csum_seed)" if seeded else "")
    work.changes.append(Change(what, places, str(old), str(new)))
    return None


def _descriptors(work: CloneWorkspace, superblock: ExtSuperblock, copies: list[_Copy], new: UUID) -> Iterator[Piece]:
    """Descriptors for the new UUID: none unless those that are in use are right. They are behind each superblock."""
    length = superblock.descriptors_length
    if superblock.incompatible & Incompatible.META_GROUPS or length * len(copies) > _MOST_DESCRIPTORS:
        return
    for copy in copies:
        at = copy.at + superblock.block_size
        if not copy.group:  # the first superblock is at byte 1024, whatever the block
            at = copy.at - ext.START + superblock.descriptors_start
        table = work.read(at, length)
        built = build_descriptors(table, superblock.descriptor_size, (superblock.uuid, new.bytes))
        if (built is None or len(table) < length) and not copy.group:
            return
        if built is not None:
            yield at, built
