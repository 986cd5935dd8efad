"""NTFS: where the records of files stand, and how far their data was written."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from analyzer.guest.filesystems.record import Extent
from analyzer.guest.filesystems.volume_reader import View
from analyzer.guest.layouts.ntfs import NtfsBoot
from analyzer.guest.layouts.ntfs_records import parse_data
from vhdx.ranges import Range


class NtfsLayout:
    """NTFS: records in $MFT, whose own runs say where they are."""

    def __init__(self, view: View, boot: NtfsBoot, runs: Iterable[tuple[int, int, int]]) -> None:
        """`runs` of $MFT's data: (cluster, clusters, first cluster of the stream)."""
        self._view, self._record, cluster = view, boot.record_size, boot.cluster_size
        self._extents = sorted((at * cluster, view.start + place * cluster, n * cluster) for place, n, at in runs)
        self._offsets = [offset for offset, _, _ in self._extents]

    def record_places(self, address: int) -> list[Range]:
        """See Layout."""
        offset, end = address * self._record, (address + 1) * self._record
        places, index = [], max(0, bisect_right(self._offsets, offset) - 1)
        for at, start, length in self._extents[index:]:
            lower, upper = max(offset, at), min(end, at + length)
            if at >= end:
                break
            if lower < upper:
                places.append(Range(start + lower - at, upper - lower))
        return places

    def table_places(self, extents: Iterable[Extent]) -> Iterator[Range]:  # noqa: ARG002 - see Layout
        """None: what a file has stands in its records."""
        return iter(())

    def initialized(self, address: int) -> int | None:
        """How far the data of a file was ever written, bytes; past that it reads as zeros, whatever stands there.

        None where its record does not say: the data is in the record, or described in another one.
        """
        places, view = self.record_places(address), self._view
        raw = b"".join(view.read(start - view.start, length) for start, length in places)
        data = parse_data(raw)
        return data.initialized if data else None

    def sequence_of(self, address: int) -> int:  # noqa: ARG002 - see Layout
        """The reader gives it."""
        return 0
