"""Where the structures of a file stand, and logs as genuine writers leave them: with images of the block table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fixtures import ImageSpec, LogSpec, PageWrite
from fixtures import constants as c
from fixtures.bat import bat_writes, bitmap_writes
from fixtures.encoder import encode_header
from fixtures.identity import guid
from fixtures.metadata import items
from fixtures.placement import Placement

KIB, SECTOR = 1 << 10, 512
STEPS = 5
"""How many entries of a log wrote the table, each with more blocks than the one before."""
Range = tuple[int, int]
"""(offset, length) in bytes of the file."""
_ITEMS = {
    c.FILE_PARAMETERS: "file parameters",
    c.VIRTUAL_DISK_SIZE: "virtual disk size",
    c.VIRTUAL_DISK_ID: "virtual disk id",
    c.LOGICAL_SECTOR_SIZE: "logical sector size",
    c.PHYSICAL_SECTOR_SIZE: "physical sector size",
    c.PARENT_LOCATOR: "parent locator",
}


def parts_of(spec: ImageSpec) -> Iterator[tuple[str, Range]]:
    """Every structure of a file by its name; of the block table each sector that is in use."""
    place = Placement.of(spec)
    yield "identifier", (0, 64 * KIB)
    yield "header 1", (64 * KIB, c.PAGE)
    yield "header 2", (128 * KIB, c.PAGE)
    yield "region table 1", (192 * KIB, 64 * KIB)
    yield "region table 2", (256 * KIB, 64 * KIB)
    yield "log", (place.log, spec.log_length)
    yield from (("newest log entry", each) for each in _newest_entry(spec, place.log))
    yield "metadata", (place.metadata, c.MIB)
    yield "metadata table", (place.metadata, 64 * KIB)
    at = place.metadata + 64 * KIB
    for item, content in items(spec).items():
        yield f"item {_ITEMS[item]}", (at, len(content.data))
        at += len(content.data)
    yield "BAT", (place.bat, place.bat_length)
    table = table_of(spec, list(spec.blocks))
    for at in range(0, len(table), SECTOR):
        if any(table[at : at + SECTOR]):
            yield f"BAT sector {at // SECTOR}", (place.bat + at, SECTOR)
    for start in place.bitmaps.values():
        yield "bitmap", (start, c.MIB)
        yield "first page of the bitmap", (start, c.PAGE)
        yield "first sector of the bitmap", (start, SECTOR)


def _newest_entry(spec: ImageSpec, at: int) -> Iterator[Range]:
    sessions = (*spec.old_logs, *((spec.log,) if spec.log else ()))
    for session in sessions[-1:]:
        lengths = [c.PAGE * (1 + len(entry)) for entry in session.entries]
        yield at + session.start + sum(lengths[:-1]), lengths[-1]


def table_of(spec: ImageSpec, blocks: Sequence[int]) -> bytes:
    """The block table, whole, with the entries of these blocks and of the bitmaps that they need."""
    place = Placement.of(spec)
    table = bytearray(place.bat_length)
    held = replace(spec, blocks={number: spec.blocks[number] for number in blocks})
    for at, entry in bat_writes(held, place.blocks, place.bitmaps):
        table[at : at + len(entry)] = entry
    return bytes(table)


def with_closed_log(spec: ImageSpec) -> ImageSpec:
    """The file with a log whose session wrote the table in steps, and the bitmaps at last, and was closed."""
    return replace(spec, old_logs=(_session(spec, "closed", list(spec.blocks)),))


def with_live_log(spec: ImageSpec, late: int) -> ImageSpec:
    """The file with a closed session, and a live one that has the last `late` blocks, as the table has."""
    numbers = list(spec.blocks)
    old = _session(spec, "closed", numbers[:-late])
    entries = (_pages(spec, numbers[: -late // 2]), _pages(spec, numbers))
    start = sum(c.PAGE * (1 + len(entry)) for entry in old.entries)
    log = LogSpec(guid=guid("live"), entries=entries, start=start, first_sequence=old.first_sequence + len(old.entries))
    return replace(spec, old_logs=(old,), log=log)


def as_a_host_left_it(content: bytes, spec: ImageSpec, late: int) -> bytes:
    """The file with its table as it was before its last `late` blocks, and its older header from before the log."""
    place = Placement.of(spec)
    header = encode_header(replace(spec, log=None), spec.headers[0], place.log)
    table = table_of(spec, list(spec.blocks)[:-late])
    for at, part in ((c.HEADER_OFFSETS[0], header), (place.bat, table)):
        content = content[:at] + part + content[at + len(part) :]
    return content


def _session(spec: ImageSpec, seed: str, blocks: Sequence[int]) -> LogSpec:
    counts = [len(blocks) * step // STEPS for step in range(1, STEPS + 1)]
    entries = [_pages(spec, blocks[:count]) for count in counts]
    entries[-1] += _bitmap_pages(spec)
    return LogSpec(guid=guid(seed), entries=tuple(entries), tail_entry=STEPS - 1)


def _pages(spec: ImageSpec, blocks: Sequence[int]) -> tuple[PageWrite, ...]:
    at, table = Placement.of(spec).bat, table_of(spec, blocks)
    used = (offset for offset in range(0, len(table), c.PAGE) if any(table[offset : offset + c.PAGE]))
    return tuple(PageWrite(at + offset, table[offset : offset + c.PAGE]) for offset in used)


def _bitmap_pages(spec: ImageSpec) -> tuple[PageWrite, ...]:
    pages: dict[int, bytearray] = {}
    for chunk, start in Placement.of(spec).bitmaps.items():
        for place, data in bitmap_writes(spec, chunk):
            for at in range(place, place + len(data)):
                page = pages.setdefault((start + at) // c.PAGE * c.PAGE, bytearray(c.PAGE))
                page[(start + at) % c.PAGE] = data[at - place]
    return tuple(PageWrite(at, bytes(page)) for at, page in sorted(pages.items()))
