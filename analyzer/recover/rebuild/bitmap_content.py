"""Sector bitmaps made anew from what blocks hold: in a checkpoint a sector that was never written is zeros."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from analyzer.judgement.unowned import unowned_in
from analyzer.recover.rebuild.bitmap_parts import UNIT, Part, described, named, parts_of
from analyzer.recover.rebuild.workspace import (
    Certainty,
    RebuildWorkspace,
    entry_for,
    put_entries,
)
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, extents_of, read_if_possible
from vhdx.structures.bat import BlockState
from vhdx.structures.constants import MIB
from vhdx.table import BlockTable

# A bitmap has at most so many bits for each sector that is not zeros; of so many blocks the sectors are compared.
_MOST_ZEROS, _MOST_COMPARED = 16, 256
_PIECE = MIB


def laid_anew(work: RebuildWorkspace, table: BlockTable, blocks: list[int]) -> Iterator[Part]:
    """The parts of bitmaps of zeros, laid behind the file, for blocks whose bitmap has no place and is not found.

    What is laid there makes the file longer: no block may be behind its end.
    """
    for chunk, group in groupby(blocks, key=lambda block: block // table.geometry.chunk_ratio):
        some, slot = list(group), table.geometry.bitmap_slot(chunk)
        place = _standing(work, table, some)
        if place is None:
            work.patch((work.behind, bytes(MIB)))
            place = work.behind - MIB
            yield from parts_of(table, place, some)
        else:
            evidence = "of all room without an owner this alone has every sector of these blocks that is not zeros"
            work.note("sector bitmaps", f"of {named(some)}: at byte {place}", Certainty.LIKELY, evidence)
            work.doubt_blocks(table.geometry.block_size, some)
        put_entries(work, table, {slot: entry_for(BlockState.FULLY_PRESENT, place)})


def _standing(work: RebuildWorkspace, table: BlockTable, blocks: list[int]) -> int | None:
    """The byte of the file at which a bitmap without an entry is: it has all that these blocks hold, and little more.

    A bitmap of other blocks lacks some of it, and what is no bitmap has bits behind the disk's end, or everywhere.
    """
    geometry, now = table.geometry, replace(table, source=work.view)
    share, first = geometry.bits_size, blocks[0] // geometry.chunk_ratio * geometry.chunk_ratio
    end = min(geometry.chunk_ratio, geometry.block_count - first) * share
    places = {block: now.payload_entry(block).file_offset for block in blocks[:_MOST_COMPARED]}
    held = {
        block: bits_of(work.view, Range(at, geometry.block_size), geometry.sector_size) for block, at in places.items()
    }
    found = []
    for mib in (part.start + n for part in unowned_in(now).held for n in range(part.length)):
        raw = read_if_possible(work.view, mib * MIB, MIB)
        pairs = [(raw[(block - first) * share :][:share], bits) for block, bits in held.items()]
        is_all = (
            raw and not any(raw[end:]) and all(int.from_bytes(bits) & ~int.from_bytes(of) == 0 for of, bits in pairs)
        )
        counts = [sum(int.from_bytes(one).bit_count() for one in column) for column in zip(*pairs, strict=True)]
        if is_all and 0 < counts[0] <= counts[1] * _MOST_ZEROS:
            found.append(mib * MIB)
    return found[0] if len(found) == 1 else None


def from_content(work: RebuildWorkspace, table: BlockTable, parts: list[Part]) -> None:
    """Bitmaps made anew by what blocks hold: a sector that was never written is zeros in a checkpoint's block."""
    table = replace(table, source=work.view)
    held, blocks = Ranges.of(extents_of(work.view)), sorted({block for part in parts for block in part.blocks})
    for part in parts:
        begin = part.place - table.bitmap_entry(part.blocks[0] // table.geometry.chunk_ratio).file_offset
        bits = bytearray(work.read(part.place, UNIT))
        for block, sectors in zip(part.blocks, described(table, part.place - begin, part), strict=True):
            first = max(0, block % table.geometry.chunk_ratio * table.geometry.bits_size - begin)
            made = bits_of(work.view, sectors, table.geometry.sector_size) if held.touches(sectors) else b""
            bits[first : first + len(made)] = made
        work.patch((part.place, bytes(bits)))
    if blocks:
        how = f"{named(blocks)}: sectors that are not zeros are taken as the file's, all others as the parent's"
        work.note("sector bitmaps", how, Certainty.LIKELY, "a writer leaves sectors that it never wrote as zeros")
        work.doubt_blocks(table.geometry.block_size, blocks)


def bits_of(source: ByteSource, part: Range, sector: int) -> bytes:
    """A bit for each sector in a range of the file that is not zeros, or cannot be read."""
    bits = []
    for at in range(part.start, part.end, _PIECE):
        length = min(_PIECE, part.end - at)
        data = np.frombuffer(read_if_possible(source, at, length) or b"\1" * length, np.uint8)
        bits.append(data.reshape(-1, sector).any(axis=1))
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes()
