"""An image that `vhdx recover` wrote, read by the map beside it: what the map has as lost is lost, not zeros."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

from analyzer import beside
from analyzer.filesystems.places import Places
from vhdx.disk import Disk
from vhdx.errors import LostDataError, OutputError, VhdxError
from vhdx.findings import Finding
from vhdx.runs import Kind, Run, RunTable, overlay
from vhdx.source import ByteSource

_HEAD = re.compile(rb"# Mapfile\. Created by vhdx recover\r?\n# Disk: ([0-9a-f-]{36}(?: [ -~]+)?)\r?\n")
_ACCOUNT = re.compile(
    rb'\{\s*"schema": "vhdx/1",\s*"tool": \{[^}]*\},\s*"command": "recover"(?!.*"complete": true)', re.DOTALL
)
"""How the account of a recovery begins by which something is lost or stale."""
_HEAD_LENGTH = 1 << 16


class UnusableMapError(VhdxError):
    """The map beside an image cannot be about it."""

    def __init__(self, path: Path, image: Path, reason: str) -> None:
        super().__init__(path, image, reason)
        self.path, self.image, self.reason = path, image, reason

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.reason}, so that what of {self.image} is lost is not known; move the map away to read "
            "the image as it stands"
        )


class MappedDisk(Disk):
    """A disk with ranges cut out of its runs. `lost` and `stale` are what its map says of it."""

    def __init__(self, inner: Disk, map_path: Path, lost: Places, stale: Places) -> None:
        """Read `inner`, which is closed with this."""
        self.inner, self.map, self.lost, self.stale = inner, map_path, lost, stale
        self._mask = _mask_of(lost, inner.size)

    @property
    def path(self) -> Path:
        """See Disk."""
        return self.inner.path

    @property
    def size(self) -> int:
        """See Disk."""
        return self.inner.size

    @property
    def sector_size(self) -> int:
        """See Disk."""
        return self.inner.sector_size

    @property
    def sources(self) -> Sequence[ByteSource]:
        """See Disk."""
        return self.inner.sources

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See Disk."""
        return self.inner.findings

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk: the runs of the image, LOST where the map says so, whatever fills the image there."""
        for table in self.inner.windows(start, end):
            if len(table):
                yield overlay(self._mask.clip(int(table.start[0]), table.end), table)

    def refusal(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is Kind.LOST and self.lost.touch([(run.start, run.length)]):
            return LostDataError(self.path, run.start, run.length, f"{self.map} has it as lost")
        return self.inner.refusal(run)

    def require_unchanged(self) -> None:
        """See Disk."""
        self.inner.require_unchanged()

    def close(self) -> None:
        """See Disk."""
        self.inner.close()


def by_map(disk: Disk) -> Disk:
    """The disk as the map beside its file has it; the disk itself where `vhdx recover` left no map there.

    A map that ddrescue made is about reading the file, not about the disk in it, and is left alone. Raises
    UnusableMapError for a map that is one, and cannot be about this disk.
    """
    found = _map_of(disk.path)
    if found is None:
        return disk
    path, identity = found
    from analyzer.recover.account import Status
    from analyzer.recover.mapfile import read_mapfile

    try:
        stretches = read_mapfile(path, disk.size, identity)
    except OutputError as error:
        raise UnusableMapError(path, disk.path, error.reason) from error
    lost, stale = (
        Places.of((start, end - start) for start, end, found in stretches if found is status)
        for status in (Status.LOST, Status.STALE)
    )
    return MappedDisk(disk, path, lost, stale)


def account_without_map(disk: Disk) -> Path | None:
    """The account that says that the image was recovered and something of it is lost, where its map is not there."""
    for place in dict.fromkeys((disk.path, disk.path.resolve())):
        account = beside.account_of(place)
        if _begins_with(account, _ACCOUNT):
            return account if _map_of(disk.path) is None else None
    return None


def without_map(disk: Disk) -> Disk:
    """The image itself."""
    return disk.inner if isinstance(disk, MappedDisk) else disk


def _map_of(image: Path) -> tuple[Path, str] | None:
    """The map beside an image, or beside what a link leads to, and which disk it is about."""
    for place in dict.fromkeys((image, image.resolve())):
        path = beside.map_of(place)
        if identity := _identity_in(path):
            return path, identity
    return None


def _begins_with(path: Path, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return pattern.match(file.read(_HEAD_LENGTH))
    except OSError:
        return None


def _identity_in(path: Path) -> str | None:
    """Which disk a map of `vhdx recover` is about; None for anything else, and for nothing."""
    found = _begins_with(path, _HEAD)
    return found[1].decode() if found else None


def _mask_of(lost: Places, size: int) -> RunTable:
    """LOST where it is lost, HOLE elsewhere, over the whole disk."""
    edges = [0, *chain.from_iterable((start, start + length) for start, length in lost), size]
    rows = pairwise(edges)
    kinds = (Kind.LOST if number % 2 else Kind.HOLE for number in range(len(edges)))
    return RunTable.of((lower, upper - lower, kind, 0, 0) for (lower, upper), kind in zip(rows, kinds, strict=False)
                       if upper > lower)  # fmt: skip
