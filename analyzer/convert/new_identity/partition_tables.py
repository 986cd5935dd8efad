"""New identities for partition tables: the disk signature of an MBR, the GUIDs of both copies of a GPT."""

from collections.abc import Sequence
from uuid import UUID

from analyzer.convert.new_identity.workspace import Change, CloneWorkspace, Piece
from analyzer.guest.layouts import gpt, partitions
from analyzer.guest.layouts.partitions import Partition, Pool, Scheme
from vhdx.structures.constants import SECTOR_SIZES

_POOLS = {Pool.LDM: "dynamic disks", Pool.SPACES: "the disks of a storage pool"}
_DYNAMIC = "attach the clone to another system than the original's, where the disk manager can import it"


def renew_tables(work: CloneWorkspace) -> Sequence[Partition]:
    """Make the identities of the disk and its partitions anew; returns the volumes that the tables name."""
    front = work.read(0, partitions.MBR_SIZE)
    mbr = partitions.parse_mbr(front)
    if mbr and any(entry.kind == partitions.DYNAMIC for entry in mbr.entries):
        work.keep("a dynamic disk's database", 0, "it names its disks in a place of its own", _DYNAMIC)
    if mbr and any(mbr.signature):  # one of zeros is none: Windows gives the disk one when it is attached
        new = work.serial("mbr signature", mbr.signature)
        work.renew("the disk signature of the master boot record", [(0, front)], partitions.MBR_SIGNATURE, new)
    parts = partitions.partitions_of(work.read, work.size, [work.sector_size])
    _renew_gpt(work, _copies(work), parts)
    return parts


def _copies(work: CloneWorkspace) -> list[gpt.GptCopy]:
    """The copies that are whole; says which of them are not, or are where disks with other sectors have them."""
    own, damaged = work.sector_size, dict[str, int]()
    copies = list(partitions.gpt_copies(work.read, work.size, own))
    has_primary = bool(copies) and not copies[0].is_backup
    if has_primary and not copies[-1].is_backup:
        damaged["the backup GPT"] = copies[0].header.other * own
    elif not has_primary and (copies or gpt.parse_header(work.read(own, own))):
        damaged["the primary GPT"] = own
    for what, at in damaged.items():
        then = "let `sgdisk --verify` look at the clone: it can write one copy anew from the other"
        work.keep(what, at, "it is not there or is damaged: no system goes by it, and it was left so", then)
    for sector in () if has_primary else SECTOR_SIZES:
        header = gpt.parse_whole_header(work.read(sector, sector))
        if sector != own and header and header.here == 1:
            text = f"it was made for a disk with sectors of {sector} bytes, and this one's have {own}: none goes by it"
            work.keep("a GPT", sector, text)
    return copies


def _renew_gpt(work: CloneWorkspace, copies: Sequence[gpt.GptCopy], parts: Sequence[Partition]) -> None:
    if not work.patch([piece for copy in copies for piece in _pieces(work, copy)]):
        text = "its headers and entries lie upon one another, or upon the master boot record"
        work.keep("the GPT", work.sector_size, text, "repair it with gdisk")
        return
    work.changes += _guid_changes(work, copies)
    for part in parts:
        if part.pool and part.scheme is Scheme.GPT:
            text = f"it belongs to {_POOLS[part.pool]}, which have identities of their own"
            work.keep("a partition", part.start, text, _DYNAMIC)


def _pieces(work: CloneWorkspace, copy: gpt.GptCopy) -> list[Piece]:
    header = copy.header
    guids = {one.index: work.guid("partition", one.guid) for one in gpt.parse_entries(copy.table, header.entry_size)}
    table = gpt.build_table(copy.table, header.entry_size, guids)
    disk = work.guid("gpt disk", UUID(bytes_le=header.disk_guid))
    return [(header.table_start, table), (copy.at, gpt.build_header(header, disk, table))]


def _guid_changes(work: CloneWorkspace, copies: Sequence[gpt.GptCopy]) -> list[Change]:
    """One for each old identity, with all its places."""
    found: dict[tuple[str, str, UUID], list[int]] = {}
    for copy in copies:
        header = copy.header
        what = "the disk GUID", "gpt disk", UUID(bytes_le=header.disk_guid)
        found.setdefault(what, []).append(copy.at + gpt.DISK_GUID.start)
        for entry in gpt.parse_entries(copy.table, header.entry_size):
            what = f"the GUID of partition {entry.index + 1}", "partition", entry.guid
            at = header.table_start + entry.index * header.entry_size + gpt.PARTITION_GUID.start
            found.setdefault(what, []).append(at)
    return [
        Change(what, tuple(places), str(old), str(work.guid(role, old)))
        for (what, role, old), places in found.items()
        if any(old.bytes)
    ]
