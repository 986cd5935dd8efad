"""One VHD file, opened read-only: its footer, header and table of blocks, and its runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.vhd.structures import (
    FOOTER_SIZE,
    HEADER_SIZE,
    SECTOR,
    UNUSED,
    DiskType,
    DynamicHeader,
    Footer,
    check_dynamic_header,
    check_footer,
    parent_path,
    parse_dynamic_header,
    parse_footer,
)
from vhdx.allocation import MOST_RUNS, cut_at_file_end, cut_unreadable
from vhdx.errors import (
    InputOutputError,
    NotRegularFileError,
    NotRescuedError,
    located,
    require,
)
from vhdx.findings import Finding, Severity
from vhdx.layers import LayerFile
from vhdx.parsed import Parsed
from vhdx.runs import Kind, RunTable, concatenate
from vhdx.source import FileSource, read_at, read_if_possible, unreadable_of
from vhdx.source_map import BESIDE, SourceMaps

# Blocks of a window, and how many of these may have a bitmap to look at: at most 262,144 runs of one sector each.
_BLOCKS_AT_ONCE, _BITMAPS_AT_ONCE = 1 << 16, 64
_MOST_PATH = 64 << 10
"""Bytes of a locator that are read: a path of Windows has 32,767 characters at most."""
_MOST_ENTRIES = 1 << 26
"""Entries of a table that are read: 2040 GiB in blocks of 32 KiB, and 512 MiB of memory for a file that lies."""


@dataclass(frozen=True, eq=False, repr=False)
class VhdImage(LayerFile):
    """One VHD, opened and judged."""

    source: FileSource
    footer: Footer
    header: DynamicHeader | None
    """None: a fixed disk."""
    table: npt.NDArray[np.int64]
    """For each block the sector that its bitmap begins at, UNUSED for none; LOST where `_flaws` has a reason."""
    flaws: dict[int, str]
    """Why an entry cannot be right, by block, as a clause."""
    findings: tuple[Finding, ...] = ()
    sector_size = SECTOR

    @property
    def size(self) -> int:
        """Bytes of the disk, as the footer has them: cylinders, heads and sectors are rounded."""
        return self.footer.current_size

    @property
    def has_parent(self) -> bool:
        """It is a differencing file."""
        return self.footer.disk_type is DiskType.DIFFERENCING

    def parent_paths(self) -> Iterator[tuple[str, str]]:
        """Each name of the parent that the file has: where it is from, and the path as Windows writes it."""
        for one in self.header.locators if self.header else ():
            raw = read_if_possible(self.source, one.offset, min(one.length, _MOST_PATH))
            if path := parent_path(one.platform, raw):
                yield one.platform.decode("ascii"), path
        if self.header and self.header.parent_name:
            yield "name", self.header.parent_name

    def layer_windows(
        self,
        layer: int,
        view: int,
        start: int,
        end: int,
        *,
        limit: int = MOST_RUNS,  # noqa: ARG002 - its windows are small
    ) -> Iterator[RunTable]:
        """See LayerFile."""
        upto, position = min(end, view, self.size), start
        while position < upto:
            table = self._window(position, upto, layer)
            yield cut_unreadable(cut_at_file_end(table, self.source.size, SECTOR), unreadable_of(self.source), SECTOR)
            position = table.end
        if position < end:
            yield RunTable.filled(position, end, Kind.ZERO, layer)

    def why_lost(self, start: int) -> str:
        """Why the byte at `start` of the disk is LOST, a clause for the end of a sentence."""
        if self.header and (flaw := self.flaws.get(start // self.header.block_size)):
            return flaw
        return "the file ends before it, or was not read there"

    def _window(self, start: int, end: int, layer: int) -> RunTable:
        if self.header is None:
            return RunTable.of([(start, end - start, Kind.DATA, layer, start)])
        size = self.header.block_size
        first = start // size
        entries = self.table[first : min(first + _BLOCKS_AT_ONCE, -(-end // size))]
        used = np.flatnonzero(entries != UNUSED)
        if len(used) > _BITMAPS_AT_ONCE:
            entries, used = entries[: used[_BITMAPS_AT_ONCE]], used[:_BITMAPS_AT_ONCE]
        upto = (first + len(entries)) * size
        parts, position = list[RunTable](), first * size
        for block in (used + first).tolist():
            parts.append(RunTable.filled(position, block * size, Kind.HOLE, layer))
            parts.append(self._block(self.header, block, layer))
            position = (block + 1) * size
        parts.append(RunTable.filled(position, upto, Kind.HOLE, layer))
        return concatenate(parts).clip(start, min(end, upto))

    def _block(self, header: DynamicHeader, block: int, layer: int) -> RunTable:
        """The runs of a block that is there: its sectors by the bitmap, whose first bit is the most significant one."""
        size, place = header.block_size, int(self.table[block]) * SECTOR
        bitmap = b"" if block in self.flaws else self._bitmap(place, size // SECTOR // 8 or 1)
        if not bitmap:
            return RunTable.filled(block * size, (block + 1) * size, Kind.LOST, layer)
        bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=size // SECTOR)
        edges = np.concatenate(([0], np.flatnonzero(bits[1:] != bits[:-1]) + 1, [len(bits)])) * SECTOR
        kind = np.where(bits[edges[:-1] // SECTOR], np.int64(Kind.DATA), np.int64(Kind.HOLE))
        offset = np.where(kind == Kind.DATA, edges[:-1] + place + header.bitmap_size, 0)
        return RunTable(edges[:-1] + block * size, np.diff(edges), kind, np.full_like(kind, layer), offset)

    def _bitmap(self, place: int, length: int) -> bytes:
        """The bitmap at a place of the file; nothing where it was not read, or the file ends."""
        try:
            return read_at(self.source, place, length) if place + length <= self.source.size else b""
        except NotRescuedError:
            return b""


def open_vhd(path: Path, maps: SourceMaps = BESIDE) -> VhdImage:
    """Open a VHD of version 1, read-only.

    Raises CorruptFileError for the first rule that is broken, NotRegularFileError, InputOutputError, ShortReadError.
    """
    source: FileSource = maps.source(path)
    try:
        read = read_vhd(source)
        require(path, (found for found in read.findings if found.code != "VHD-06"))
        return read.get()
    except BaseException:
        source.close()
        raise


def read_vhd(source: FileSource) -> Parsed[VhdImage]:
    """The image in a file, None where there is none that can be read, and everything that is wrong with it.

    Raises InputOutputError, ShortReadError where the medium fails.
    """
    found, findings = _footer(source)
    if found is None:
        return Parsed(None, tuple(located(source.path, findings)))
    footer, at = found
    findings += check_footer(footer, at)
    header, table, flaws = None, np.zeros(0, np.int64), dict[int, str]()
    if footer.disk_type is not DiskType.FIXED:
        header = parse_dynamic_header(read_if_possible(source, footer.data_offset, HEADER_SIZE))
        if header is not None:
            findings += check_dynamic_header(header, footer, source.size)
        else:
            text = "the header of a dynamic disk is damaged, or not where the footer says"
            findings.append(Finding("VHD-05", Severity.ERROR, text, footer.data_offset, HEADER_SIZE))
    if header and not any(one.severity is Severity.ERROR for one in findings):
        table, more = _table(source, footer, header)
        flaws, flawed = judge_table(table, header, source.size)
        findings += [*more, *flawed]
    findings = list(located(source.path, findings))
    is_lost = any(one.severity is Severity.ERROR and one.code != "VHD-06" for one in findings)
    return Parsed(None if is_lost else VhdImage(source, footer, header, table, flaws, tuple(findings)), tuple(findings))


def footer_at(path: Path) -> Footer | None:
    """The footer of a file that is a VHD; None for what is none, and for what cannot be read."""
    try:
        with FileSource(path) as source:
            found, _ = _footer(source)
            return found[0] if found else None
    except (NotRegularFileError, InputOutputError):
        return None


def _footer(source: FileSource) -> tuple[tuple[Footer, int] | None, list[Finding]]:
    """The footer that is believed, with its place, and what is wrong with the footer and its copy in front."""
    end = max(0, source.size - FOOTER_SIZE)
    # A footer of Virtual PC before 2004 lacks its last byte, which is reserved.
    last = read_if_possible(source, end, min(FOOTER_SIZE, source.size))
    footer = parse_footer(last) or parse_footer(last[1:] + b"\0")
    copy = parse_footer(read_if_possible(source, 0, FOOTER_SIZE))
    if footer is None and copy is None:
        text = "neither the end of the file nor its front is a footer that can be believed"
        return None, [Finding("VHD-01", Severity.ERROR, text, end, FOOTER_SIZE)]
    if footer is None and copy is not None:
        text = "the footer at the end is damaged or cut off; its copy in front is read instead"
        return (copy, 0), [Finding("VHD-02", Severity.WARNING, text, end, FOOTER_SIZE)]
    if footer is not None and copy != footer and footer.disk_type is not DiskType.FIXED:
        text = "the copy of the footer in front is damaged, or another; the footer at the end is read"
        return (footer, end), [Finding("VHD-03", Severity.WARNING, text, 0, FOOTER_SIZE)]
    return (footer, end) if footer else None, []


def _table(source: FileSource, footer: Footer, header: DynamicHeader) -> tuple[npt.NDArray[np.int64], list[Finding]]:
    """The entries of the blocks that the disk has, unused those that the file does not hold."""
    count = -(-footer.current_size // header.block_size)
    held = min(count, (source.size - header.table_offset) // 4)
    if count > _MOST_ENTRIES:
        text = f"the block table would have {count} entries, more than {_MOST_ENTRIES}"
        return np.zeros(0, np.int64), [Finding("VHD-05", Severity.ERROR, text, header.table_offset)]
    if held < count:
        text = f"the file ends inside its block table, of which {count - held} entries of {count} are not there"
        return np.zeros(0, np.int64), [Finding("VHD-05", Severity.ERROR, text, source.size)]
    raw = read_at(source, header.table_offset, count * 4)
    return np.frombuffer(raw, ">u4").astype(np.int64), []


def judge_table(
    table: npt.NDArray[np.int64], header: DynamicHeader, file_size: int
) -> tuple[dict[int, str], list[Finding]]:
    """Why entries of the table cannot be right, as a clause for each of their blocks, and the findings.

    No block begins inside a structure or past the end of the file, and none shares its room with another.
    """
    used = np.flatnonzero(table != UNUSED)
    place, room = table[used] * SECTOR, header.bitmap_size + header.block_size
    table_end = header.table_offset + len(table) * 4
    inside = (place < FOOTER_SIZE + HEADER_SIZE) | ((place + room > header.table_offset) & (place < table_end))
    beyond = place + header.bitmap_size >= file_size
    order = np.argsort(place, kind="stable")
    shared = np.zeros(len(used), bool)
    close = np.diff(place[order]) < room
    shared[order[1:]] |= close
    shared[order[:-1]] |= close
    reasons = (
        (inside, "its entry of the block table points into the file's own structures"),
        (beyond & ~inside, "its entry of the block table points past the end of the file"),
        (shared & ~inside & ~beyond, "another entry of the block table claims the same place"),
    )
    flaws = {block: why for marks, why in reasons for block in used[marks].tolist()}
    return flaws, [
        Finding("VHD-06", Severity.ERROR, f"{marks.sum()} of {len(used)} blocks are lost: {why}", header.table_offset)
        for marks, why in reasons
        if marks.any()
    ]
