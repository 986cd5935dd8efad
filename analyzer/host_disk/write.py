"""VHDX files taken out of the disk of a host, each beside a map of what of its disk is in doubt, or lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from construct import ConstructError

from analyzer.convert.disks import RawDisk
from analyzer.guest.extract.names import Names
from analyzer.guest.filesystems.content import Content, Piece
from analyzer.host_disk.model import HostedFile, Origin, PlacedSource
from analyzer.recovery_map.commit import name_with_map
from analyzer.recovery_map.mapfile import CARVED, Row, Status, mapfile_lines
from vhdx.errors import VhdxError
from vhdx.image import Image, image_from
from vhdx.ranges import Range
from vhdx.runs import Kind
from vhdx.sink import Existing, Sink
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import MIB
from vhdx.targets import check_space, check_target, make_folder

_UNKNOWN = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was taken out, or why it was not."""

    file: HostedFile
    target: Path | None
    reason: str | None = None


def write_files(disk: RawDisk, files: Sequence[HostedFile], folder: Path, existing: Existing) -> Iterator[Written]:
    """Write each file to `folder` under its own name, made safe; all names are checked before the first is written.

    Of a file that no folder has any more nothing is proved: the map beside it has all of its disk in doubt, and lost
    what others have now. Raises OutputError, InputOutputError, NoSpaceError.
    """
    names = Names()
    targets = {file.start: folder / names.give(file.name) for file in files if file.reason is None}
    if targets:
        make_folder(folder)
    for target in targets.values():
        check_target(target, [disk.path], existing)
    if targets:
        check_space(folder / "_", sum(_stored(file) for file in files if file.reason is None))
    for file in files:
        yield _written(disk, file, targets.get(file.start), existing)


def _stored(file: HostedFile) -> int:
    return sum(extent.length for extent in file.extents)


def _written(disk: RawDisk, file: HostedFile, target: Path | None, existing: Existing) -> Written:
    if target is None:
        return Written(file, None, file.reason)
    with Sink(target, existing=existing) as sink:
        sink.make_sparse()
        try:
            for piece in _pieces(disk.source, file):
                if any(piece.data):
                    sink.write_at(piece.offset, piece.data)
        except VhdxError as error:  # a file that its file system does not give; the others come out
            if file.origin is not Origin.FILE:
                raise
            return Written(file, None, str(error))
        sink.set_size(file.size)
        if file.origin is Origin.FILE:
            sink.commit()
        else:
            name_with_map(sink, _map_lines(disk, file))
    return Written(file, target)


def _pieces(source: ByteSource, file: HostedFile) -> Iterator[Piece]:
    if file.of_volume and file.record and file.record.data and file.origin is Origin.FILE:
        yield from Content(file.of_volume, file.record, file.record.data).pieces()
        return
    placed = PlacedSource(source, file)
    for extent in file.extents:
        for part in Range(extent.offset, min(extent.length, file.size - extent.offset)).pieces(MIB):
            yield Piece(part.start, read_at(placed, *part))


def _map_lines(disk: RawDisk, file: HostedFile) -> Iterator[str]:
    """The map of what a file shows: all of it in doubt, what others have now lost.

    Of a file that does not open nobody knows how large its disk is. The map is then about none: `vhdx recover`, which
    alone reads such a file, takes all of it for doubtful.
    """
    note = f"{CARVED}{disk.path.name!a} at byte {file.start}, by its {_SAID[file.origin]}"
    try:
        image = image_from(PlacedSource(disk.source, file))
    except (VhdxError, ConstructError, ValueError, KeyError, MemoryError):  # as in `search`
        return mapfile_lines([(Range(0, max(1, file.size)), Status.STALE)], _UNKNOWN, note=note)
    return mapfile_lines(_rows(image), str(image.data_write_guid), note=note)


def _rows(image: Image) -> Iterator[Row]:
    for table in image.layer_windows(0, image.size, 0, image.size):
        for run in table:
            yield Range(run.start, run.length), Status.LOST if run.kind is Kind.LOST else Status.STALE


_SAID = {Origin.FILE: "name", Origin.DELETED: "record", Origin.STRUCTURE: "structure"}
