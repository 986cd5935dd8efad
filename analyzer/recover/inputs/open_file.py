"""One input file: opened as far as it can be, or what is known of it and why it cannot; and the maps it is read by."""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from construct import ConstructError

from analyzer.linkage.record import Condition, FileRecord, with_structures
from analyzer.progress import Stage, no_stage
from analyzer.recover.inputs.bad_sectors import CarefulSource
from analyzer.recover.rebuild.job import rebuild_image, rebuild_tables
from analyzer.recover.rebuild.workspace import BitmapPolicy, Certainty, Rebuilt, RebuiltImage
from analyzer.recovery_map.disk import masked, standing_or_doubt
from analyzer.recovery_map.note import map_finding
from vhdx.contents import Structures
from vhdx.errors import ChainError, NotRegularFileError, VhdxError
from vhdx.image import Image, image_of
from vhdx.ranges import NO_RANGES, Range, Ranges
from vhdx.source import ByteSource, SourceFrom, read_if_possible
from vhdx.source_map import BESIDE, SourceMapError, SourceMaps, files_of, is_source_map
from vhdx.structures.constants import BAT_REGION, HEADER_AREA_SIZE, HEADER_OFFSETS, HEADER_SIZE, MIB
from vhdx.structures.disk import DiskParameters
from vhdx.structures.header import judge_headers
from vhdx.structures.identifier import SIGNATURE
from vhdx.structures.lookalikes import is_archive

# What a system says of a medium that fails.
_MEDIUM = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADMSG, errno.EOVERFLOW, errno.ETIMEDOUT}

Opener = Callable[[Path], ByteSource]
"""What opens a file: the maps of ddrescue that it is read by, or what a test puts in their place."""


class UnclearMapError(ChainError):
    """A map was given that could be of several files, or of none."""

    path: Path
    files: tuple[Path, ...]

    def __str__(self) -> str:
        which = f"could be of {', '.join(map(str, self.files))}" if self.files else "fits none of the files named"
        return f"{self.path} is a map of ddrescue that {which}; say which file it is of with --source-map FILE=MAP"


def take_maps(inputs: Sequence[Path], maps: SourceMaps) -> tuple[tuple[Path, ...], SourceMaps]:
    """The inputs that are no maps, and the maps with those among the inputs; raises UnclearMapError."""
    given = [path for path in inputs if is_source_map(path)]
    files = tuple(path for path in inputs if path not in given)
    return files, SourceMaps((*maps.given, *((_file_of(path, files), path) for path in given)))


def _file_of(path: Path, files: Sequence[Path]) -> Path:
    """The file that a map is of."""
    found = files_of(path, files)
    if len(found) != 1:
        raise UnclearMapError(path, tuple(found))
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(RebuiltImage):
    """A file that was named. `reason` says why it cannot be read as an image."""

    path: Path
    source: CarefulSource | None
    """The open file; None when the system would not open it. Whoever has this closes it."""
    record: FileRecord
    """Identity and linkage, as far as they are known: they give a file its place that cannot be read."""
    reason: str = ""
    error: VhdxError | None = None
    """What `reason` comes from."""
    recovered: Ranges = NO_RANGES
    """What an earlier recovery, which wrote this file, has in its map as lost or stale."""

    @property
    def is_no_file(self) -> bool:
        """Whether no file could be opened by what was named: a wrong name, or map, not a medium that fails."""
        cause = self.error.__cause__ if self.error and self.source is None else None
        refused = isinstance(cause, OSError) and cause.errno not in _MEDIUM
        return refused or isinstance(cause, ValueError) or isinstance(self.error, NotRegularFileError | SourceMapError)

    def close(self) -> None:
        """Close the file."""
        if self.source is not None:
            self.source.close()


def open_carefully(
    file: Path | Structures,
    opener: Opener = BESIDE.source,
    bitmaps: BitmapPolicy = BitmapPolicy.AUTO,
    *,
    is_alone: bool = False,
    stage: Stage = no_stage,
) -> Opened:
    """Open one file for recovery, or take one that is open; never raises for what it holds or for what its medium does.

    A header, region table or part of the block table that cannot be read counts as invalid: its copy is taken, or the
    blocks that it was about are lost. What is lost is rebuilt from the best evidence at hand; `bitmaps` says what
    becomes of blocks whose sector bitmap is beyond that, and `is_alone` that no other layer is there to be had. `stage`
    hears of the steps that take long.
    """
    if isinstance(file, Structures):
        return _looked_into(file, bitmaps, stage, is_alone=is_alone)
    try:
        structures = careful_structures(file, opener)
    except VhdxError as error:
        return Opened(path=file, source=None, record=_unknown(file), reason=str(error), error=error)
    return _looked_into(structures, bitmaps, stage, is_alone=is_alone)


def careful_structures(path: Path, opener: Opener = BESIDE.source) -> Structures:
    """The structures of a file whose medium may fail; raises as `opener` does."""
    opened = opener(path)
    begin = _begin_in(opened)
    source = CarefulSource(SourceFrom(opened, begin) if begin else opened)
    source.judge(Range(0, HEADER_AREA_SIZE))
    return Structures(source)


def _begin_in(source: ByteSource) -> int:
    """The byte at which a VHDX begins that has something else in front of it; 0 of every other file.

    Tools that copy devices leave a sector or a header of their own there. An archive is no such file.
    """
    front = read_if_possible(source, 0, min(source.size, MIB))
    if is_archive(front):
        return 0
    begins = (begin for begin in range(0, len(front), 512) if front.startswith(SIGNATURE, begin))
    return next((begin for begin in begins if begin == 0 or _has_header(source, begin)), 0)


def _has_header(source: ByteSource, begin: int) -> bool:
    first, second = (read_if_possible(source, begin + offset, HEADER_SIZE) for offset in HEADER_OFFSETS)
    whole = len(first) == len(second) == HEADER_SIZE
    return whole and judge_headers((first, second)).current_copy is not None


def _looked_into(structures: Structures, bitmaps: BitmapPolicy, stage: Stage, *, is_alone: bool) -> Opened:
    try:
        return _opened(structures, _with_tables(structures, image_of(structures), bitmaps, stage))
    except VhdxError as error:
        found = RebuiltImage()
        with suppress(VhdxError):
            found = rebuild_image(structures, bitmaps=bitmaps, is_alone=is_alone, stage=stage)
        return _opened(structures, found, str(error), error)
    except (ConstructError, ValueError, KeyError, MemoryError) as error:  # what no check foresaw
        reason = f"{structures.file.path} cannot be read: {error}; use another copy of the file"
        return _opened(structures, RebuiltImage(), reason)


def with_help(
    file: Opened, bitmaps: BitmapPolicy, stage: Stage, *, kin: DiskParameters | None = None, is_alone: bool = False
) -> Opened:
    """A file that does not open by itself, by what the others of its chain tell of its disk: see `rebuild_image`."""
    if file.source is None:
        return file
    structures, found = Structures(file.source), RebuiltImage()
    with suppress(VhdxError):
        found = rebuild_image(structures, bitmaps=bitmaps, is_alone=is_alone, kin=kin, stage=stage)
    return _opened(structures, found) if found.image else file


def _with_tables(structures: Structures, image: Image, bitmaps: BitmapPolicy, stage: Stage) -> RebuiltImage:
    """A file that opens; of its block table and its bitmaps parts may be lost all the same."""
    _judge_table(structures, image)
    try:
        found = rebuild_tables(structures, bitmaps=bitmaps, stage=stage)
    except VhdxError:  # the medium fails where a structure would have to be looked for
        found = RebuiltImage()
    if found.image is not None and (found.rebuilt or found.lost):
        image = replace(image, source=found.image.source, table=found.image.table)
    return replace(found, image=image)


def _judge_table(structures: Structures, image: Image) -> None:
    """What cannot be read of the block table counts as invalid entries from now on."""
    bat = image.regions.current.find(BAT_REGION)
    if bat is not None:
        _careful(structures).judge(Range(bat.file_offset, bat.length))


def _careful(structures: Structures) -> CarefulSource:
    source = structures.file
    return source if isinstance(source, CarefulSource) else CarefulSource(source)


def _opened(structures: Structures, found: RebuiltImage, reason: str = "", error: VhdxError | None = None) -> Opened:
    """What was found of a file; of one that cannot be read as an image its headers may still say which it is."""
    source, image, path = _careful(structures), found.image, structures.file.path
    begin: tuple[Rebuilt, ...] = ()
    if image:
        _judge_table(structures, image)
    if image and isinstance(source.below, SourceFrom):
        how = f"read from byte {source.below.start} on: what is in front of it is no part of a VHDX"
        begin = (Rebuilt("file", how, ("its signature and a valid header are there",), Certainty.CERTAIN),)
    image, recovered = _by_its_map(image) if image else (None, NO_RANGES)
    return Opened(
        path=path, source=source, image=image, recovered=recovered,
        record=with_structures(_unknown(path), image.structures if image else structures),
        reason="" if image else reason, error=error,
        rebuilt=(*begin, *found.rebuilt), lost=found.lost, doubted=found.doubted, guessed=found.guessed
    )  # fmt: skip


def _by_its_map(image: Image) -> tuple[Image, Ranges]:
    """The image of an earlier recovery by the map beside it, and what that has as lost or stale."""
    said = map_finding(image.path, image.size)
    if said is None:
        return image, NO_RANGES
    image = replace(image, opening_findings=(*image.opening_findings, said))
    standing = standing_or_doubt(image.path, image.size)
    return masked(image, standing), standing.lost | standing.stale if standing else NO_RANGES


def _unknown(path: Path) -> FileRecord:
    return FileRecord(path=path, condition=Condition.UNREADABLE)
