"""What restore points are made of: a chain, whose files prove what did not change, or a disk that proves nothing."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid5

from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.convert.create import BLOCK_SIZES, PHYSICAL_SECTOR
from analyzer.nbd.disk import NbdDisk
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.image import Image
from vhdx.lost import FillZeros
from vhdx.ranges import Range, Ranges, joined
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable
from vhdx.source import FileSource, changed_at
from vhdx.structures.disk import DiskType
from vhdx.structures.header import Header

# Where the front of a disk has what distinguishes it from others: the boot sector with the signature of an MBR or the
# serial number of a volume; the GUID of a GPT behind its magic, in sectors of either size; the UUID of an ext volume.
_BOOT_SECTOR, _FRONT = 512, 4096 + 512
_GPT, _GPT_GUID = b"EFI PART", slice(56, 72)
_EXT, _EXT_MAGIC, _EXT_UUID = b"\x53\xef", 1080, slice(1128, 1144)

_DISKS = UUID("5f1f3b39-0d0c-4b69-9d3a-1c8b7a4c9e52")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a VHDX that is restored gets from the disk; sizes are bytes."""

    physical_sector_size: int
    block_size: int
    disk_id: UUID


def traits_of(disk: Disk) -> Traits:
    """Those of a chain; else what Windows gives a new disk, and an id made of the disk's own front."""
    if isinstance(disk, Chain):
        return _traits(disk.leaf, disk.base)
    sector = max(disk.sector_size, PHYSICAL_SECTOR)
    return Traits(physical_sector_size=sector, block_size=BLOCK_SIZES[DiskType.DYNAMIC], disk_id=disk_id_of(disk))


def _traits(leaf: Image, base: Image) -> Traits:
    one, block_size = leaf.parameters, base.parameters.block_size
    return Traits(physical_sector_size=one.physical_sector_size, block_size=block_size, disk_id=one.disk_id)


def disk_id_of(disk: Disk) -> UUID:
    """An id for a disk that has none: the same every night, and another one for another disk.

    The path alone will not do: today's /dev/sdb is not yesterday's, and retention would give up the points of the one
    for those of the other. Where a disk is partitioned anew it counts as another one, which keeps a point too long.
    """
    front = Reader(disk, FillZeros()).read(0, min(_FRONT, disk.size))
    own = [front[:_BOOT_SECTOR]]
    own += [front[at:][_GPT_GUID] for at in (512, 4096) if front[at:].startswith(_GPT)]
    own += [front[_EXT_UUID]] if front[_EXT_MAGIC:].startswith(_EXT) else []
    digest = hashlib.sha256(b"".join((disk.size.to_bytes(8, "little"), *own))).hexdigest()
    return uuid5(_DISKS, digest)


def states_of(disk: Disk) -> Sequence[Disk]:
    """The states that points can be made of, base first: of a chain that of each layer."""
    return [disk.upto(layer) for layer in range(len(disk.layers))] if isinstance(disk, Chain) else [disk]


def records_of(disk: Disk) -> tuple[LayerRecord, ...]:
    """A record for each layer, base first, without claims yet. Raises what reading the front of a disk raises."""
    if not isinstance(disk, Chain):
        return (_of_disk(disk),)
    matches = (True, *(link.matches for link in disk.links))
    return tuple(replace(_of_layer(image), matches=fits) for image, fits in zip(disk.layers, matches, strict=True))


def with_claims(records: Sequence[LayerRecord], disk: Disk, chunk_size: int) -> tuple[LayerRecord, ...]:
    """The records of a disk with their claims; tables are read for it, and no data."""

    def claimed(number: int) -> Iterator[Range]:
        held = (table.select((table.kind == Kind.DATA) | (table.kind == Kind.LOST)) for table in disk.windows())
        for one in _own_tables(disk, number) if isinstance(disk, Chain) else held:
            yield from Ranges.between(one.start // chunk_size, -(-(one.start + one.length) // chunk_size))

    return tuple(replace(one, claims=tuple(joined(claimed(number)))) for number, one in enumerate(records))


def _own_tables(chain: Chain, number: int) -> Iterator[RunTable]:
    """Where layer `number` hides the one below, as far as the chain's disk goes."""
    tables = chain.layers[number].layer_windows(number, chain.views[number], 0, chain.size)
    return (table.select(table.kind != Kind.HOLE) for table in tables)


def _of_disk(disk: Disk) -> LayerRecord:
    status = None
    with suppress(OSError, ValueError):  # a drive of Windows, or an export, has no status
        status = disk.path.stat()
    record = _record(disk.path, status, traits_of(disk), disk.size)
    return replace(record, path=str(disk.address)) if isinstance(disk, NbdDisk) else record


def _of_layer(image: Image) -> LayerRecord:
    status = image.path.stat() if isinstance(image.file, FileSource) else None
    entries = image.locator.entries if image.locator else ()
    locator = {entry.key: entry.value for entry in entries if entry.key and entry.value is not None}
    return replace(
        _record(image.path, status, _traits(image, image), image.file.size),
        disk_size=image.size,
        data_write_guid=str(image.data_write_guid),
        file_write_guid=str(image.header.file_write_guid),
        log_was_replayed=image.log_was_replayed,
        headers=tuple(_plain_header(header) for header in image.headers.copies),
        locator=locator if image.locator else None,
    )


def _record(path: Path, status: os.stat_result | None, traits: Traits, size: int) -> LayerRecord:
    """The record of a file that says nothing of its content."""
    return LayerRecord(
        name=path.name,
        path=str(path.absolute()),
        file_size=size,
        modified_ns=status.st_mtime_ns if status else None,
        changed_ns=changed_at(status) if status else None,
        inode=str(status.st_ino) if status and status.st_ino else None,
        disk_size=size,
        block_size=traits.block_size,
        disk_id=str(traits.disk_id),
        data_write_guid="",
        file_write_guid="",
        log_was_replayed=False,
        headers=(),
        locator=None,
        matches=True,
        claims=(),
    )


def _plain_header(header: Header) -> dict[str, int | str]:
    values = {name: getattr(header, name) for name in Header.__slots__}
    plain = {name: value if isinstance(value, int) else str(value) for name, value in values.items()}
    return plain | {"signature": header.signature.hex()}
