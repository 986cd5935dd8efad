"""New identities for partition tables: the disk signature of an MBR, the GUIDs of both copies of a GPT."""

from collections.abc import Sequence
from itertools import chain
from uuid import UUID

from analyzer.convert.new_identity.workspace import Change, CloneWorkspace, Kept, Piece
from analyzer.guest.layouts.gpt import (
    DISK_GUID,
    PARTITION_GUID,
    GptCopy,
    build_header,
    build_table,
    parse_entries,
    parse_header,
    parse_whole_header,
)
from analyzer.guest.layouts.partitions import (
    DYNAMIC,
    MBR_SIGNATURE,
    MBR_SIZE,
    Mbr,
    Partition,
    Pool,
    Scheme,
    gpt_copies,
    parse_mbr,
    partitions_of,
)
from vhdx.structures.constants import SECTOR_SIZES

_POOLS = {Pool.LDM: "dynamic disks", Pool.SPACES: "the disks of a storage pool"}
_DYNAMIC = "attach the clone to another system than the original's, where the disk manager can import it"


def renew_tables(work: CloneWorkspace) -> Sequence[Partition]:
    """Make the identities of the disk and its partitions anew; returns the volumes that the tables name."""
    mbr = parse_mbr(work.read(0, MBR_SIZE))
    if mbr:
        _renew_mbr(work, mbr)
    parts = partitions_of(work.read, work.size, [work.sector_size])
    _renew_gpt(work, _copies(work), parts)
    return parts


def _renew_mbr(work: CloneWorkspace, mbr: Mbr) -> None:
    """A signature of zeros is none: Windows gives the disk one when it is attached."""
    if any(entry.kind == DYNAMIC for entry in mbr.entries):
        work.kept.append(Kept("a dynamic disk's database", 0, "it names its disks in a place of its own", _DYNAMIC))
    if not any(mbr.signature):
        return
    front, new = bytearray(work.read(0, MBR_SIZE)), work.serial("mbr signature", mbr.signature)
    front[MBR_SIGNATURE] = new
    work.patch([(0, bytes(front))])
    what = "the disk signature of the master boot record"
    work.changes.append(Change(what, (MBR_SIGNATURE.start,), _signature(mbr.signature), _signature(new)))


def _signature(raw: bytes) -> str:
    return f"{int.from_bytes(raw, 'little'):08x}"


def _copies(work: CloneWorkspace) -> list[GptCopy]:
    """The copies that are whole; says which of them are not."""
    copies = list(gpt_copies(work.read, work.size, work.sector_size))
    if copies and not copies[-1].is_backup:
        _keep(work, "the backup GPT", copies[0].header.other * work.sector_size)
    if not copies or copies[0].is_backup:
        _tell_no_primary(work, is_gpt=bool(copies))
    return copies


def _tell_no_primary(work: CloneWorkspace, *, is_gpt: bool) -> None:
    """That the primary copy is no good, or is where disks with other sectors have it."""
    own = work.sector_size
    if is_gpt or parse_header(work.read(own, own)):
        _keep(work, "the primary GPT", own)
    for sector in SECTOR_SIZES:
        header = parse_whole_header(work.read(sector, sector))
        if sector != own and header and header.here == 1:
            text = f"it was made for a disk with sectors of {sector} bytes, and this one's have {own}: none goes by it"
            work.kept.append(Kept("a GPT", sector, text))


def _keep(work: CloneWorkspace, what: str, at: int) -> None:
    then = "let `sgdisk --verify` look at the clone: it can write one copy anew from the other"
    work.kept.append(Kept(what, at, "it is not there or is damaged: no system goes by it, and it was left so", then))


def _renew_gpt(work: CloneWorkspace, copies: Sequence[GptCopy], parts: Sequence[Partition]) -> None:
    if not work.patch(list(chain.from_iterable(_pieces(work, copy) for copy in copies))):
        text = "its headers and entries lie upon one another, or upon the master boot record"
        work.kept.append(Kept("the GPT", work.sector_size, text, "repair it with gdisk"))
        return
    work.changes += _guid_changes(work, copies)
    for part in parts:
        if part.pool and part.scheme is Scheme.GPT:
            text = f"it belongs to {_POOLS[part.pool]}, which have identities of their own"
            work.kept.append(Kept("a partition", part.start, text, _DYNAMIC))


def _pieces(work: CloneWorkspace, copy: GptCopy) -> list[Piece]:
    header = copy.header
    entries = parse_entries(copy.table, header.entry_size)
    table = build_table(
        copy.table, header.entry_size, {entry.index: work.guid("partition", entry.guid) for entry in entries}
    )
    disk = work.guid("gpt disk", UUID(bytes_le=header.disk_guid))
    return [(header.table_start, table), (copy.at, build_header(header, disk, table))]


def _guid_changes(work: CloneWorkspace, copies: Sequence[GptCopy]) -> list[Change]:
    """One for each old identity, with all its places."""
    found: dict[tuple[str, str, UUID], list[int]] = {}
    for copy in copies:
        header = copy.header
        found.setdefault(("the disk GUID", "gpt disk", UUID(bytes_le=header.disk_guid)), []).append(
            copy.at + DISK_GUID.start
        )
        for entry in parse_entries(copy.table, header.entry_size):
            what = f"the GUID of partition {entry.index + 1}", "partition", entry.guid
            at = header.table_start + entry.index * header.entry_size + PARTITION_GUID.start
            found.setdefault(what, []).append(at)
    return [
        Change(what, tuple(places), str(old), str(work.guid(role, old)))
        for (what, role, old), places in found.items()
        if any(old.bytes)
    ]
