"""Where single bytes of a disk are: the entries and bits that decide, newest layer first, and no runs of the rest."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct

from vhdx.kernels import DATA, HOLE, LOST, ZERO, kind_of_entry, room_at
from vhdx.source import read_at
from vhdx.structures.bat import ENTRY_SIZE, OFFSET_SHIFT, STATE_MASK, BlockState
from vhdx.structures.constants import MIB, SECTOR_BITMAP_SIZE
from vhdx.table import BlockTable

# Bytes of a bitmap's page: the bits of 16 MiB of a disk.
_PAGE = 4096
# 16 MiB of pages and about as much of pieces, shared out among the layers: however many and however large they are.
_MOST_PAGES, _MOST_PIECES = 1 << 12, 1 << 16
_ENTRY = Struct("<Q")
Found = tuple[int, int, int, int]
"""What the front of a range is, up to which byte of the disk: that byte, kind, layer, file offset."""
_Piece = tuple[int, int, int, int, Callable[[int], bytes]]
"""A layer's part of one: kind, layer, file offset, where its bits are in the file, 0 for none, and the file's pages."""


class Lookup:
    """Finds what a place of the disk is made of. Not to be shared between threads."""

    def __init__(self, layers: Sequence[tuple[BlockTable, int]], size: int) -> None:
        """`layers` are tables, base first, each with the byte of the disk of `size` from which on it shows zeros."""
        self._size, self._sector = size, layers[0][0].geometry.sector_size
        self._length = min(table.geometry.block_size for table, _ in layers)
        share = len(layers)
        self._layers = [_Layer(number, table, view, share) for number, (table, view) in enumerate(layers)][::-1]
        self._pieces = lru_cache(_MOST_PIECES // share)(self._make_pieces)

    def find(self, start: int, end: int) -> Found | None:
        """What the bytes of the disk from `start` on are, as far as they are alike, at most up to `end`.

        None where that is not plain: an entry that is not valid, a block or a bitmap that is not all in the file. There
        the disk's windows are to be asked, which know every rule. Raises as reading a table does.
        """
        number = start // self._length
        origin = number * self._length
        end = min(end, origin + self._length)
        pieces = self._pieces(number)
        if pieces is None:
            return None
        first, last = (start - origin) // self._sector, -((origin - end) // self._sector)
        for kind, layer, place, bits, page in pieces:
            if bits:
                at = bits + first // 8
                raw = page(at // _PAGE)[at % _PAGE : at % _PAGE - (-last // 8) - first // 8]
                ahead = int.from_bytes(raw, "little") >> first % 8
                alike = _alike(ahead, min(len(raw) * 8 - first % 8, last - first))
                if alike < last - first:
                    last = first + alike
                    end = origin + last * self._sector
                if not ahead & 1:
                    continue
            return end, kind, layer, place + start - origin
        return end, HOLE, 0, 0

    def _make_pieces(self, number: int) -> list[_Piece] | None:
        """What each layer has of a piece of the disk, newest first, as far as one decides about all of it."""
        start = number * self._length
        end, found = min(start + self._length, self._size), list[_Piece]()
        for layer in self._layers:
            piece = layer.piece(start, end)
            if piece is None:
                return None
            if piece[0] != HOLE:
                found.append(piece)
                if not piece[3]:
                    break
        return found


def _alike(bits: int, count: int) -> int:
    """How many of the lowest `count` bits are as the lowest one is."""
    different = (~bits if bits & 1 else bits) & (1 << count) - 1
    return (different & -different).bit_length() - 1 if different else count


class _Layer:
    def __init__(self, number: int, table: BlockTable, view: int, share: int) -> None:
        self._number, self._table, self._view, self._forbidden = number, table, view, table.forbidden.tolist()
        self._page = lru_cache(_MOST_PAGES // share)(self._read_page)

    def piece(self, start: int, end: int) -> _Piece | None:
        """What the layer has from `start` to `end`, both in one block; None where that is not plain."""
        table, geometry = self._table, self._table.geometry
        if end > self._view:
            return (ZERO, self._number, 0, 0, self._page) if start >= self._view else None
        block = geometry.block_at(start)
        entry, inside = self._entry(geometry.payload_slot(block)), start - block * geometry.block_size
        kind, place, bits = kind_of_entry(entry), entry >> OFFSET_SHIFT << OFFSET_SHIFT, 0
        if kind == DATA and table.has_parent and entry & STATE_MASK == BlockState.PARTIALLY_PRESENT:
            bitmap = self._entry(geometry.bitmap_slot(block // geometry.chunk_ratio))
            bits = bitmap >> OFFSET_SHIFT << OFFSET_SHIFT
            if kind_of_entry(bitmap) != DATA or self._room(bits, SECTOR_BITMAP_SIZE) < SECTOR_BITMAP_SIZE:
                return None
            bits += start % geometry.chunk_size // geometry.sector_size // 8
        # As `cut_at_file_end` has it: of a block that the file's end cuts off, whole sectors are known.
        known = self._room(place, geometry.block_size) // geometry.sector_size * geometry.sector_size
        if kind == LOST or (kind == DATA and known < inside + end - start):
            return None
        return kind, self._number, place + inside, bits, self._page

    def _entry(self, slot: int) -> int:
        if (slot + 1) * ENTRY_SIZE > self._table.bat_length:
            return BlockState.INVALID_5.value
        page, at = divmod(self._table.bat_offset + slot * ENTRY_SIZE, _PAGE)
        entry: int = _ENTRY.unpack_from(self._page(page), at)[0]
        return entry

    def _room(self, place: int, size: int) -> int:
        """Bytes of the file from `place` on for what is `size` long; negative where that cannot be there."""
        return room_at(place // MIB, size, self._table.source.size, self._forbidden)

    def _read_page(self, page: int) -> bytes:
        source = self._table.source
        return read_at(source, page * _PAGE, min(_PAGE, source.size - page * _PAGE))
