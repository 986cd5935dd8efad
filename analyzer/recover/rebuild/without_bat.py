"""The block table lost with all that leads to it: a table without a single entry, which content has to fill.

Where the metadata are lost as well, the volumes in the file tell how large the disk is, and it is put together from
pieces of 1 MiB: blocks of every size begin on whole MiB, in the file and on the disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analyzer.guest.layouts import ext, ntfs
from analyzer.guest.layouts.gpt import GptHeader, parse_whole_header, primary_header
from analyzer.guest.layouts.partitions import Scheme, partitions_of
from analyzer.recover.rebuild.bat_shape import MOST_TABLE, places_to_look
from analyzer.recover.rebuild.metadata import METADATA_LOST
from analyzer.recover.rebuild.regions import has_metadata, metadata_in, wanted_of, write_metadata, write_regions
from analyzer.recover.rebuild.signatures_headers import FRONT, sizes_of
from analyzer.recover.rebuild.workspace import UNKNOWN, Certainty, RebuildWorkspace
from vhdx.errors import VhdxError
from vhdx.ranges import NO_RANGES
from vhdx.source import ByteSource, read_at
from vhdx.structures.bat import ENTRY_SIZE
from vhdx.structures.constants import MAX_DISK_SIZE, MIB, MIN_BLOCK_SIZE, NIL, SECTOR_SIZES
from vhdx.structures.disk import DiskParameters

# What was said to be lost by the steps before this one.
_SETTLED = ("the region tables", METADATA_LOST)
_USUAL_SECTOR, _USUAL_PHYSICAL = min(SECTOR_SIZES), max(SECTOR_SIZES)


@dataclass(frozen=True, slots=True, order=True)
class _SizeClaim:
    """The size of a disk in bytes, by something in the file; `exact` where that knows the disk's very end."""

    exact: bool
    size: int
    sector: int
    why: str


def rebuild_without_bat(work: RebuildWorkspace, *, by_volumes: bool, kin: DiskParameters | None) -> None:
    """A disk of which no block has a place yet, by the metadata that are left, by another file's, or by its volumes.

    `kin` are the parameters that it has by the other files of its chain, `by_volumes` says that there is no other file.
    """
    if has_metadata(work):
        return
    left = list(metadata_in(work.view, places_to_look(work.view)))
    if not left and kin:
        _from_kin(work, kin)
    elif not left and by_volumes:
        _from_volumes(work)
    if len(left) == 1 and not left[0][1].has_parent:
        _lay_table(work, *left[0])
        work.lost.append("the whole block table: only blocks whose content tells their place are put there")


def _from_kin(work: RebuildWorkspace, kin: DiskParameters) -> None:
    """As another file of the chain has it; a base in pieces of 1 MiB, for nothing tells the size of its blocks."""
    disk = kin if kin.has_parent else replace(kin, block_size=MIN_BLOCK_SIZE)
    at = work.behind
    write_metadata(work, at, disk)
    if _lay_table(work, at, disk):
        work.in_pieces = not kin.has_parent
        how = f"a disk of {disk.size} bytes in blocks of {disk.block_size}"
        work.note("metadata", how, Certainty.LIKELY, "another file of the chain is of a disk of this size")
        work.lost.append("metadata and block table: only what tells its place by its content is put there")


def _from_volumes(work: RebuildWorkspace) -> None:
    # Exact before inexact, then the largest: of nested disks (a guest that stores images) the outer one is larger. A
    # GPT knows the last sector of the disk; a volume ends somewhere before it.
    claim = max(_claims_in(work.view), default=None)
    if claim is None:
        return
    at = work.behind
    # 1 MiB is the least block size and divides all others, so every disk can be put together in such pieces.
    disk = DiskParameters(MIN_BLOCK_SIZE, 0, claim.size, NIL, claim.sector, _USUAL_PHYSICAL)
    write_metadata(work, at, disk)
    if _lay_table(work, at, disk):
        work.in_pieces = True
        how = f"a disk of {disk.size} bytes, taken as one without a parent, in pieces of 1 MiB"
        work.note("metadata", how, Certainty.LIKELY, claim.why)
        work.lost.append("metadata and block table: only what tells its place by its content is put there")


def _lay_table(work: RebuildWorkspace, metadata: int, disk: DiskParameters) -> bool:
    """Lay region tables over the file, and a block table of unknown entries behind its end; False for huge disks."""
    length = wanted_of(disk, NO_RANGES).length
    if length > MOST_TABLE:
        return False
    at = work.behind
    work.patch((at, UNKNOWN.to_bytes(ENTRY_SIZE, "little") * (length // ENTRY_SIZE)))
    write_regions(work, metadata, at, length)
    work.doubt_all()
    work.lost[:] = [text for text in work.lost if not text.startswith(_SETTLED)]
    return True


def _claims_in(source: ByteSource) -> Iterator[_SizeClaim]:
    """What stands on whole MiB of the file, or in their last sectors, and tells how large the disk is."""
    for at in places_to_look(source):
        try:
            front = read_at(source, at, min(FRONT, source.size - at))
            found = (*_claims_of(front, at), *_claims_of_headers(front, at), *_claims_of_end(source, at))
        except VhdxError:  # the medium fails there
            continue
        yield from (claim for claim in found if MIB <= claim.size <= MAX_DISK_SIZE)


def _claims_of(front: bytes, at: int) -> Iterator[_SizeClaim]:
    gpt = primary_header(front, SECTOR_SIZES)
    if gpt:
        yield _by_gpt(gpt, gpt.other, f"the primary GPT at byte {at} of the file says so")
    boot = ntfs.parse_boot(front)
    if boot and boot.is_sane:
        size = _whole((boot.hidden + boot.sectors + 1) * boot.sector_size)
        why = f"the NTFS volume that begins at byte {at} of the file ends there"
        yield _SizeClaim(exact=False, size=size, sector=boot.sector_size, why=why)
    for start in (0, ext.START):
        found = ext.parse_sound_superblock(front[start : start + ext.SIZE])
        if found:
            why = f"the ext volume whose superblock stands at byte {at + start} of the file ends there"
            yield _SizeClaim(exact=False, size=_whole(found.end), sector=_USUAL_SECTOR, why=why)


def _claims_of_headers(front: bytes, at: int) -> Iterator[_SizeClaim]:
    parts = partitions_of(lambda start, length: front[start : start + length], len(front), [_USUAL_SECTOR])
    ends = ((part.end, "the last partition of the MBR") for part in parts if part.scheme is Scheme.MBR)
    for size, what in (*sizes_of(front), *ends):
        why = f"{what} at byte {at} of the file ends there"
        yield _SizeClaim(exact=False, size=_whole(size), sector=_USUAL_SECTOR, why=why)


def _claims_of_end(source: ByteSource, at: int) -> Iterator[_SizeClaim]:
    for sector in SECTOR_SIZES:
        end = at + MIB - sector
        gpt = parse_whole_header(read_at(source, end, sector)) if end + sector <= source.size else None
        if gpt and gpt.other == 1:
            yield _by_gpt(gpt, gpt.here, f"the backup GPT at byte {end} of the file says so")


def _by_gpt(gpt: GptHeader, last: int, why: str) -> _SizeClaim:
    return _SizeClaim(exact=True, size=(last + 1) * gpt.sector_size, sector=gpt.sector_size, why=why)


def _whole(size: int) -> int:
    return -(-size // MIB) * MIB
