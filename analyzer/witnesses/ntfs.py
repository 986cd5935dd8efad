"""What an NTFS volume says of its bytes: records and blocks of indexes are whole and name their place; files end.

Linux-NTFS project, "NTFS Documentation".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from analyzer.guest.layouts import ntfs
from analyzer.guest.layouts.ntfs import (
    NtfsBoot,
    NtfsData,
    bitmap_of,
    index_block_size,
    index_holds,
    record_holds,
    runs_of,
)
from analyzer.guest.usage.model import Known
from analyzer.guest.usage.ntfs import FIRST_FILE, NtfsUsage
from analyzer.witnesses.model import Claims, Statement, Testimony

# A million records are looked at.
_MOST_RECORDS = 1 << 20
_PAGE = 4096
# Bytes of one index that are looked at.
_MOST_INDEX = 1 << 24


def claims_of_ntfs(known: Known, plain: Known, boot: NtfsBoot) -> Claims | None:
    """What the volume says; `plain` shows what is there where `known` shows a copy in its place."""
    usage = NtfsUsage(known, boot)
    if not usage.is_sane:
        return None
    return _Testimony(usage, plain).claims()


@dataclass(frozen=True)
class _Testimony(Testimony):
    usage: NtfsUsage
    plain: Known

    @property
    def _boot(self) -> NtfsBoot:
        return self.usage.boot

    def metadata(self) -> Iterator[Statement]:
        """See Testimony."""
        for at in (0, self._boot.backup):
            raw = None if at is None else self.plain.read(at, ntfs.SIZE)
            if raw is not None and at is not None:
                found = ntfs.parse_boot(raw)
                yield at, ntfs.SIZE, found is not None and found.serial == self._boot.serial
        size, number = max(_PAGE, self._boot.record_size), 0
        for part in self.usage.table:
            for at, raw in self.plain.pieces(part.start, part.length):
                for start in range(0, len(raw or b""), size) if number < _MOST_RECORDS else ():
                    first = number + (at + start) // self._boot.record_size
                    yield from self._records(part.start + at + start, (raw or b"")[start : start + size], first)
            number += part.length // self._boot.record_size

    @cached_property
    def _in_use(self) -> bytes:
        """The bitmap of $MFT, as far as it can be read: records that were never used may be zeros."""
        first = next(iter(self.usage.table), None)
        raw = self.plain.read(first.start, self._boot.record_size) if first else None
        found = bitmap_of(raw) if raw else None
        if isinstance(found, NtfsData):
            parts = self.usage.written(found.runs(), min(found.initialized, _MOST_RECORDS // 8))
            return b"".join(self.plain.read(part.start, part.length) or bytes(part.length) for part in parts)
        return found or b""

    def _is_expected(self, number: int) -> bool:
        byte = number // 8
        return byte < len(self._in_use) and bool(self._in_use[byte] >> number % 8 & 1)

    def _records(self, place: int, page: bytes, first: int) -> Iterator[Statement]:
        size, holds = self._boot.record_size, True
        records = [page[at : at + size] for at in range(0, len(page) - size + 1, size)]
        for index, raw in enumerate(records):
            if not any(raw):
                holds &= not self._is_expected(first + index)
            elif not record_holds(raw, first + index):
                holds = False
            elif (head := ntfs.parse_record(raw)) and head.is_in_use:
                for data in runs_of(raw):
                    yield from self._index(data) if data.is_index else ()
                    if not data.is_index and first + index >= FIRST_FILE:
                        self._note(first + index, data)
        if any(page) or not holds:
            yield place, len(page), holds

    def _index(self, data: NtfsData) -> Iterator[Statement]:
        """The blocks of a folder's index."""
        cluster, block = self._boot.cluster_size, 0
        at = data.first * cluster
        for part in self.usage.written(data.runs(), min(data.initialized, _MOST_INDEX)):
            block = block or index_block_size(self.plain.read(part.start, _PAGE) or b"")
            for start in range(part.start, part.end - block + 1, block):
                raw = self.plain.read(start, block)
                if raw is not None:
                    yield start, block, index_holds(raw, at + start - part.start, cluster)
            at += part.length

    def _note(self, number: int, data: NtfsData) -> None:
        """Where a file is and, where its last cluster was written, where it ends."""
        cluster, last = self._boot.cluster_size, data.size - 1
        for number_in_part, place, count in data.placed():
            first = data.first + number_in_part
            start, length = place * cluster, count * cluster
            self.contents.append((start, length, number))
            is_last = data.is_plain and data.first == 0 and first * cluster <= last < first * cluster + length
            if is_last and data.initialized >= data.size:
                at = start + last - first * cluster
                self.ends.append((at, start + (last // cluster - first + 1) * cluster - at, number))
