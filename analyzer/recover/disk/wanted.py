"""The ranges of a disk that some of its files need: the important ones first, from a medium that may not last."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analyzer.guest.filesystems.errors import NoSuchFileError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import FileKind, FileRecord
from analyzer.guest.filesystems.volume import Volume
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.recover.disk.filled import FilledDisk
from analyzer.text import listed
from vhdx.errors import VhdxError
from vhdx.ranges import NO_RANGES, GrowingRanges, Range, Ranges, union

# Ranges are rounded to it: a medium loses no less than a sector, and most have sectors of this size.
_GRAIN = 4096


class NothingWantedError(VhdxError):
    """None of the files that were asked for is on the disk, as far as its volumes can be listed."""

    exit_code = 2
    paths: tuple[str, ...]

    def __str__(self) -> str:
        has = f"no volume that can be read has {listed(self.paths)}"
        return f"{has}; `vhdx files` lists what there is, and without --only all is read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for."""

    ranges: Ranges
    """What these files need: their content, their records, and all that was read to find them."""
    files: int
    missing: tuple[str, ...]
    """The paths that lead to nothing."""


class _NotingDisk(ReadableDisk):
    """Remembers what is read: whoever lists these files again needs the same."""

    def __init__(self, disk: FilledDisk) -> None:
        super().__init__(disk, disk.policy)
        self.noted = GrowingRanges()

    def read_best_effort(self, start: int, length: int) -> tuple[bytes, list[Range]]:
        """See BestEffortDisk."""
        self.noted.add(Range(start, length))
        return super().read_best_effort(start, length)


def wanted_of(filled: FilledDisk, paths: Sequence[str]) -> Wanted:
    """What files and folders need, with all that is below these; `2:/path` is one of volume 2.

    Reads what file systems keep of their files, and no content. Raises NothingWantedError, MissingReaderError.
    """
    disk = _NotingDisk(filled.noted())
    volumes = [volume for volume in open_volumes(disk) if volume.is_readable]
    parts, files, missing = list[Ranges](), 0, list[str]()
    for path in paths:
        found = [record for volume in volumes for record in records_at(volume, path)]
        files += sum(record.kind is FileKind.FILE for record in found)
        parts += [Ranges.of((*record.content, *record.metadata)) for record in found]
        if not found:
            missing.append(path)
    if len(missing) == len(paths):
        raise NothingWantedError(tuple(missing))
    ranges = union((*parts, disk.noted.ranges))
    return Wanted(ranges=_rounded(ranges, filled.size), files=files, missing=tuple(missing))


def records_at(volume: Volume, path: str) -> Iterator[FileRecord]:
    """The file at a path, and all that is below it; nothing where the volume has none, or another one is meant."""
    number, colon, rest = path.partition(":")
    if colon and number.isascii() and number.isdigit() and rest.startswith("/"):
        if int(number) != volume.record.number:
            return
        path = rest
    try:
        top = volume.find(path)
    except NoSuchFileError:
        return
    yield top
    if top.kind is FileKind.DIRECTORY:
        yield from volume.walk(top=top)


def _rounded(ranges: Ranges, size: int) -> Ranges:
    if not ranges:
        return NO_RANGES
    start, end = ranges.start // _GRAIN * _GRAIN, -(-ranges.end // _GRAIN) * _GRAIN
    return Ranges.between(start, end).within(Range(0, size))


def paths_in(lines: Iterable[str]) -> Iterator[str]:
    """The paths of a list, one a line; empty lines and those that begin with # are none."""
    return (line for line in (line.rstrip("\r\n") for line in lines) if line.strip() and not line.startswith("#"))
