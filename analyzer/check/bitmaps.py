"""The sector bitmaps that a differencing file needs, chunk by chunk ([MS-VHDX] 2.4)."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from analyzer.guest.layouts import exfat, gpt, ntfs
from analyzer.judgement.bitmaps import findings_of_bitmaps, wiped_blocks
from analyzer.text import plural
from vhdx.findings import Finding, Severity
from vhdx.ranges import Column
from vhdx.source import read_at
from vhdx.structures.constants import SECTOR_BITMAP_SIZE
from vhdx.table import BlockTable

SECTION = "2.4"
_SIGNATURES = (
    ntfs.SIGNATURE,
    gpt.SIGNATURE,
    b"FILE0",
    b"MSDOS5.0",
    exfat.SIGNATURE,
    b"\x7fELF",
    b"vhdxfile",
    b"metadata",
    b"PK\x03\x04",
)
# Fewer bytes do not have enough of each value to tell noise from an unusual bitmap.
_ENOUGH_BYTES = 32 << 10
# Of 8 bits of entropy in a byte: what compressed or encrypted data has, and no bitmap of clustered sectors.
# Derivation: 32 KiB of random bytes have 7.99 bits of entropy, text and programs 4 to 6.5. Bytes of a bitmap whose
# sectors are set in clusters are mostly 0 and 255, which are left out, and powers of two at the edges, which are few
# values.
_RANDOM_BITS = 7.5
# Text has other bytes too; bitmaps of clusters are far from it, since 0 and 255 are no letters.
_MOSTLY_TEXT = 0.95
_ALL_SET, _ALL_WORD = 0xFF, (1 << 64) - 1


def check_bitmaps(table: BlockTable) -> Iterator[Finding]:
    """Everything about the bitmaps of partially present blocks."""
    full, ratio, marks = 0, table.geometry.chunk_ratio, list[tuple[Column, npt.NDArray[np.bool_]]]()
    for chunk, blocks in table.partial_blocks():
        if any(flaw.severity is Severity.ERROR for flaw in table.flaws_of_bitmap(chunk)):  # said with the block table
            continue
        at = table.bitmap_entry(chunk).file_offset
        raw = np.frombuffer(read_at(table.source, at, SECTOR_BITMAP_SIZE), np.uint8)
        counts = np.bitwise_count(raw.view(np.uint64)).reshape(ratio, -1).sum(1, np.int64)[blocks]
        full += int(np.count_nonzero(counts == table.geometry.block_size // table.geometry.sector_size))
        marks.append((chunk * ratio + blocks, counts > 0))
        yield from _check_tail(table, chunk, blocks, raw)
        if reason := looks_like_data(raw):
            text = f"the sector bitmap of chunk {chunk} looks like the content of a disk ({reason})"
            start, size = chunk * table.geometry.chunk_size, table.geometry.chunk_size
            yield Finding(
                "SBM-03", Severity.ERROR, text, at, SECTOR_BITMAP_SIZE, SECTION,
                disk_start=start, disk_length=min(size, table.geometry.size - start),
            )  # fmt: skip
    yield from findings_of_bitmaps(table, wiped_blocks(table, marks))
    empty = sum(int(np.count_nonzero(~marked)) for _, marked in marks)
    if full or empty:
        has_all, has_none = plural(full, "block", "has", "have"), plural(empty, "block", "has", "have")
        text = f"of the partially present ones {has_all} all sectors marked, and {has_none} none"
        yield Finding("SBM-01", Severity.NOTE, text, None, None, SECTION)


def _check_tail(
    table: BlockTable, chunk: int, blocks: npt.NDArray[np.int64], raw: npt.NDArray[np.uint8]
) -> Iterator[Finding]:
    """Bits of the last block behind the disk's end."""
    geometry = table.geometry
    last = geometry.block_count - 1
    # Only the last block can pass the disk's end, so only its bits can.
    if chunk != last // geometry.chunk_ratio or last % geometry.chunk_ratio not in blocks:
        return
    end = -(-(geometry.size - chunk * geometry.chunk_size) // geometry.sector_size)
    upto = (last % geometry.chunk_ratio + 1) * geometry.block_size // geometry.sector_size
    beyond = int(np.unpackbits(raw[end // 8 : upto // 8], bitorder="little")[end % 8 :].sum())
    if beyond:
        text = f"{plural(beyond, 'sector', 'is', 'are')} marked as this file's behind the disk's end"
        at = table.bitmap_entry(chunk).file_offset + end // 8
        yield Finding("SBM-02", Severity.WARNING, text, at, (upto - end) // 8, SECTION)


def looks_like_data(raw: npt.NDArray[np.uint8]) -> str:
    """Why a bitmap cannot be one: a signature, text or noise; "" when it may well be."""
    front = raw[:4096].tobytes()
    signature = next((mark for mark in _SIGNATURES if mark in front), None)
    if signature:
        return f"it holds {signature.decode('latin-1')!r}"
    words = raw.view(np.uint64)  # most are all zeros or all ones: what is left is looked at by bytes
    raw = words[(words != 0) & (words != _ALL_WORD)].view(np.uint8)
    mixed = raw[(raw != 0) & (raw != _ALL_SET)]
    if len(mixed) < _ENOUGH_BYTES:
        return ""
    counts = np.bincount(mixed, minlength=256)
    if counts[32:127].sum() > _MOSTLY_TEXT * len(mixed):
        return "it is text"
    share = counts[counts > 0] / len(mixed)
    return "it is noise" if -(share * np.log2(share)).sum() > _RANDOM_BITS else ""
