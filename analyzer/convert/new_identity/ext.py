"""A new UUID for an ext volume, where nothing else on it depends on the old one."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from analyzer.convert.new_identity.workspace import Change, CloneWorkspace, Piece, Scope
from analyzer.guest.layouts import ext
from analyzer.guest.layouts.ext import Compatible, ExtSuperblock, Incompatible, ReadOnly
from analyzer.guest.layouts.ext_identity import build_descriptors, build_superblock
from analyzer.guest.layouts.partitions import Partition

_RANDOM = "run `e2fsck -f` and `tune2fs -U random` on the clone's volume"
_REPAIR = "run `e2fsck -f` on the clone's volume, and then `tune2fs -U random`"
_DESCRIPTOR_SIZES = (32, 64)
# Bytes of descriptors, copies included, that are summed anew: some 16 TiB of a volume.
_MOST_DESCRIPTORS = 128 << 20


@dataclass(frozen=True, slots=True)
class _Copy:
    """A superblock of the volume, or its copy, and the byte of the disk at which it is."""

    at: int
    group: int
    block: bytes


def renew_ext(work: CloneWorkspace, part: Partition, scope: Scope) -> bool:
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
