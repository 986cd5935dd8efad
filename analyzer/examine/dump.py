"""The structures of a file as they are in it, each copy, damaged or not.

Nothing here needs a file that opens: each part is read by itself, and what stops one does not stop the next.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from vhdx.contents import Structures, open_structures
from vhdx.errors import VhdxError, located
from vhdx.findings import Finding
from vhdx.image import Image, image_of
from vhdx.parsed import Parsed
from vhdx.runs import Kind
from vhdx.structures.bat import OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import HEADER_OFFSETS, METADATA_REGION, MIB, REGION_TABLE_OFFSETS
from vhdx.structures.fields import Copies
from vhdx.structures.log import Write
from vhdx.table import BlockTable

PARTS = ("identifier", "headers", "regions", "metadata", "locator", "log", "bat", "bitmap")
# Damaged blocks whose flaws are listed one by one.
_MOST_FLAWS = 1000
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """One structure: its records as they are made, what is wrong with it, and what kept it from being read."""

    name: str
    records: Iterable[Record]
    findings: tuple[Finding, ...] = ()
    error: str | None = None


def dump(path: Path, parts: Sequence[str] = PARTS) -> Iterator[Section]:
    """The sections that `parts` names; raises InputOutputError and NotRegularFileError for the file itself."""
    with closing(open_structures(path)) as structures:
        yield from sections(structures, parts)


def sections(structures: Structures, parts: Sequence[str] = PARTS) -> Iterator[Section]:
    """As `dump`, of a file that is open and may have been read already."""
    for part in parts:
        try:
            section = _READERS[part](structures)
            yield replace(section, findings=tuple(located(structures.file.path, section.findings)))
        except VhdxError as error:  # what stops one part does not stop the next
            yield Section(part, (), (), str(error))


def _identifier(structures: Structures) -> Section:
    identifier = structures.identifier.get()
    record = {"offset": 0, "signature": identifier.signature.decode("latin-1"), "creator": identifier.creator}
    return Section("identifier", [record], structures.identifier.findings)


def _headers(structures: Structures) -> Section:
    pair = structures.headers.get()
    records = [
        _of_copy(pair, copy, HEADER_OFFSETS) | asdict(header) | {"signature": header.signature.decode("latin-1")}
        for copy, header in enumerate(pair.copies)
    ]
    return Section("headers", records, structures.headers.findings)


def _of_copy(pair: Copies[Any], copy: int, offsets: Sequence[int]) -> dict[str, Any]:
    is_valid, is_current = not pair.flaws[copy], pair.current_copy == copy
    return {"copy": copy + 1, "offset": offsets[copy], "valid": is_valid, "current": is_current}


def _regions(structures: Structures) -> Section:
    pair = structures.regions.get()
    records = [
        _of_copy(pair, copy, REGION_TABLE_OFFSETS)
        | {"signature": table.signature.decode("latin-1"), "checksum": table.checksum, "reserved": table.reserved}
        | {"entry_count": table.entry_count}
        | {"entries": [asdict(entry) | {"name": entry.name} for entry in table.entries]}
        for copy, table in enumerate(pair.copies)
    ]
    return Section("regions", records, structures.regions.findings)


def _metadata(structures: Structures) -> Section:
    if structures.metadata == Parsed():
        where = "is listed" if structures.region(METADATA_REGION) is None else "is inside the file"
        return Section("metadata", (), (), f"no metadata region {where}; see `vhdx dump FILE regions`")
    table, disk = structures.metadata.get(), structures.parameters
    records: list[Record] = [asdict(entry) | {"name": entry.name} for entry in table.entries]
    if disk.value is not None:
        records.append(asdict(disk.value) | {"is_fixed": disk.value.is_fixed, "has_parent": disk.value.has_parent})
    return Section("metadata", records, structures.metadata.findings + disk.findings)


def _locator(structures: Structures) -> Section:
    locator = structures.locator
    if error := locator.error or structures.metadata.error:
        raise error
    records = [
        {"key": entry.key, "value": entry.value, "key_offset": entry.key_offset, "value_offset": entry.value_offset}
        for entry in (locator.value.entries if locator.value else ())
    ]
    return Section("locator", records, locator.findings)


def _log(structures: Structures) -> Section:
    log, header = structures.log.get(), structures.header
    # Of a closed log nothing is applied, whatever sequence its entries form [2.3.2].
    active = set(log.active) if header is not None and header.log_is_live else set[int]()
    records = (
        {"at": at, "live": at in active}
        | asdict(placed.header)
        | {"signature": "loge", "writes": [*map(_write_record, placed.writes())]}
        for at, placed in zip(log.places, map(log.entry, log.places), strict=True)
    )
    return Section("log", records, structures.log.findings)


def _write_record(write: Write) -> Record:
    kind = "zero" if write.data is None else "data"
    return {"kind": kind, "file_offset": write.file_offset, "length": write.length}


def _bat(structures: Structures) -> Section:
    image = image_of(structures)
    table = image.table
    damaged = (block for blocks in table.damaged_blocks() for block in blocks.tolist())
    flaws = dict.fromkeys(flaw for block in islice(damaged, _MOST_FLAWS) for flaw in table.flaws_of_block(block))
    return Section("bat", _bat_records(table), tuple(flaws))


def _bat_records(table: BlockTable) -> Iterator[Record]:
    for first, entries in table.used_entries():
        for index in entries.nonzero()[0].tolist():
            slot, value = first + index, int(entries[index]) & (1 << 64) - 1
            chunk, block = table.geometry.chunk_and_block(slot)
            place = {"sector_bitmap": chunk} if block is None else {"block": block}
            state, at = BlockState(value & STATE_MASK), (value >> OFFSET_SHIFT) * MIB
            yield {"slot": slot, **place, "state": state.name.lower(), "file_offset": at, "raw": f"{value:016x}"}


def _bitmap(structures: Structures) -> Section:
    return Section("bitmap", _bitmap_records(image_of(structures)))


def _bitmap_records(image: Image) -> Iterator[Record]:
    """The sectors that a differencing file holds itself, as runs."""
    if not image.has_parent:
        return
    sector = image.sector_size
    for table in image.windows():
        for run in table:
            if run.kind is not Kind.HOLE:
                yield {"sector": run.start // sector, "sectors": run.length // sector, "kind": run.kind.name.lower()}


_READERS: Mapping[str, Callable[[Structures], Section]] = {
    "identifier": _identifier,
    "headers": _headers,
    "regions": _regions,
    "metadata": _metadata,
    "locator": _locator,
    "log": _log,
    "bat": _bat,
    "bitmap": _bitmap,
}
