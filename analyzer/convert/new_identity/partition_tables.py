"""New identities for partition tables: the disk signature of an MBR, the GUIDs of both copies of a GPT."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from analyzer.convert.new_identity.workspace import Change, CloneWorkspace, Kept, Piece
from analyzer.guest.layouts.gpt import (
    DISK_GUID,
    PARTITION_GUID,
    GptHeader,
    build_header,
    build_table,
    parse_entries,
    parse_header,
    parse_whole_header,
)
from analyzer.guest.layouts.mbr import DYNAMIC, SIGNATURE, SIZE, Mbr, parse_mbr
from analyzer.guest.layouts.partitions import Part, logical_parts, parts_of_mbr, parts_of_table
from vhdx.structures.constants import SECTOR_SIZES

_POOLS = {
    UUID("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"): "the database of dynamic disks",
    UUID("af9b60a0-1431-4f62-bc68-3311714a69ad"): "a volume of dynamic disks",
    UUID("e75caf8f-f680-4cee-afa3-b001e56efc2d"): "a part of a storage pool",
}
_DYNAMIC = "attach the clone to another system than the original's, where the disk manager can import it"


@dataclass(frozen=True, slots=True)
class _Copy:
    """One of the two: header and entries, both whole."""

    name: str
    header: GptHeader
    table: bytes

    @property
    def at(self) -> int:
        """The byte of the disk at which the header stands."""
        return self.header.here * self.header.sector_size


def renew_tables(work: CloneWorkspace) -> list[Part]:
    """Make the identities of the disk and its partitions anew; returns the volumes that the tables name."""
    mbr = parse_mbr(work.read(0, SIZE))
    if mbr:
        _renew_mbr(work, mbr)
    copies = _copies(work)
    _renew_gpt(work, copies)
    return [*_gpt_parts(copies), *(_mbr_parts(work, mbr) if mbr else [])]


def _gpt_parts(copies: Sequence[_Copy]) -> list[Part]:
    first = next(iter(copies), None)
    return list(parts_of_table(first.table, first.header.entry_size, first.header.sector_size)) if first else []


def _mbr_parts(work: CloneWorkspace, mbr: Mbr) -> list[Part]:
    return [*parts_of_mbr(mbr, work.sector_size), *logical_parts(mbr, work.sector_size, work.read)]


def _renew_mbr(work: CloneWorkspace, mbr: Mbr) -> None:
    """A signature of zeros is none: Windows gives the disk one when it is attached."""
    if any(entry.kind == DYNAMIC for entry in mbr.entries):
        work.kept.append(Kept("a dynamic disk's database", 0, "it names its disks in a place of its own", _DYNAMIC))
    if not any(mbr.signature):
        return
    front, new = bytearray(work.read(0, SIZE)), work.serial("mbr signature", mbr.signature)
    front[SIGNATURE] = new
    work.patch([(0, bytes(front))])
    what = "the disk signature of the master boot record"
    work.changes.append(Change(what, (SIGNATURE.start,), _signature(mbr.signature), _signature(new)))


def _signature(raw: bytes) -> str:
    return f"{int.from_bytes(raw, 'little'):08x}"


def _copies(work: CloneWorkspace) -> list[_Copy]:
    """The copies that are whole: the second where the first says it is, or else in the last sector."""
    sector = work.sector_size
    first = _copy(work, "the primary GPT", sector)
    last = first.header.other * sector if first else (work.size // sector - 1) * sector
    second = _copy(work, "the backup GPT", last) if last != sector else None
    copies = [copy for copy in (first, second) if copy]
    if copies and not second:
        _keep(work, "the backup GPT", last)
    if not first:
        _tell_no_primary(work, is_gpt=bool(copies))
    return copies


def _tell_no_primary(work: CloneWorkspace, *, is_gpt: bool) -> None:
    """That the primary copy is no good, or stands where disks with other sectors have it."""
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


def _copy(work: CloneWorkspace, name: str, at: int) -> _Copy | None:
    header = parse_whole_header(work.read(at, work.sector_size))
    if header is None or header.here * work.sector_size != at:
        return None
    table = work.read(header.table_start, header.table_length)
    return _Copy(name, header, table) if header.fits(table) else None


def _renew_gpt(work: CloneWorkspace, copies: Sequence[_Copy]) -> None:
    if not work.patch(list(chain.from_iterable(_pieces(work, copy) for copy in copies))):
        text = "its headers and entries lie upon one another, or upon the master boot record"
        work.kept.append(Kept("the GPT", work.sector_size, text, "repair it with gdisk"))
        return
    work.changes += _guid_changes(work, copies)
    for copy in copies[:1]:
        for entry in parse_entries(copy.table, copy.header.entry_size):
            if entry.kind in _POOLS:
                text = f"it is {_POOLS[entry.kind]}, which has identities of its own"
                work.kept.append(Kept("a partition", entry.first * work.sector_size, text, _DYNAMIC))


def _pieces(work: CloneWorkspace, copy: _Copy) -> list[Piece]:
    header = copy.header
    entries = parse_entries(copy.table, header.entry_size)
    table = build_table(
        copy.table, header.entry_size, {entry.index: work.guid("partition", entry.guid) for entry in entries}
    )
    disk = work.guid("gpt disk", UUID(bytes_le=header.disk_guid))
    return [(header.table_start, table), (copy.at, build_header(header, disk, table))]


def _guid_changes(work: CloneWorkspace, copies: Sequence[_Copy]) -> list[Change]:
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
