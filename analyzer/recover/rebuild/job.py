"""One file rebuilt: structure after structure, in the order in which one leads to the next."""

from dataclasses import replace

from analyzer.progress import Stage, no_stage
from analyzer.recover.rebuild.bat import rebuild_blocks
from analyzer.recover.rebuild.headers import check_single_header, rebuild_headers, rebuild_identifier, replay_log
from analyzer.recover.rebuild.metadata import (
    metadata_by_logged_table,
    metadata_from_log,
    rebuild_both,
    rebuild_metadata,
)
from analyzer.recover.rebuild.regions import rebuild_regions
from analyzer.recover.rebuild.without_bat import rebuild_without_bat
from analyzer.recover.rebuild.workspace import BitmapPolicy, RebuildWorkspace, RebuiltImage
from vhdx.contents import Structures
from vhdx.errors import CorruptFileError, ShortReadError
from vhdx.image import Image, image_of
from vhdx.ranges import Range, Ranges
from vhdx.structures.constants import HEADER_AREA_SIZE
from vhdx.structures.disk import DiskParameters


def rebuild_image(
    structures: Structures,
    *,
    bitmaps: BitmapPolicy = BitmapPolicy.AUTO,
    is_alone: bool = False,
    kin: DiskParameters | None = None,
    stage: Stage = no_stage,
) -> RebuiltImage:
    """The image of a file, its lost structures rebuilt from the best evidence at hand; the file is never changed.

    A file that opens is returned as it is, with nothing rebuilt. What a file holds never raises; InputOutputError
    does, when the medium fails. With `is_alone` there are no other layers, so that a disk of which nothing but its
    volumes is left can be taken as one without a parent; `kin` is what the disk is by the other files of its chain.
    `stage` hears of the steps that take long.
    """
    image = _opened(structures)
    if isinstance(image, Image):
        return RebuiltImage(image=image)
    if structures.file.size < HEADER_AREA_SIZE:
        return RebuiltImage(lost=(image,))
    work = RebuildWorkspace.of(structures)
    work.stage = stage
    rebuild_headers(work)
    check_single_header(work)
    replay_log(work)
    metadata_from_log(work)
    rebuild_regions(work)
    rebuild_metadata(work)
    metadata_by_logged_table(work)
    rebuild_both(work)
    rebuild_without_bat(work, by_volumes=is_alone, kin=kin)
    rebuild_identifier(work)
    return _finished(work, bitmaps)


def _opened(structures: Structures) -> Image | str:
    """The image, or the sentence why there is none; raises InputOutputError."""
    try:
        return image_of(structures)
    except (CorruptFileError, ShortReadError) as error:
        return error.summary


def rebuild_tables(
    structures: Structures, *, bitmaps: BitmapPolicy = BitmapPolicy.AUTO, stage: Stage = no_stage
) -> RebuiltImage:
    """As `rebuild_image`, for a file that opens: lost parts of its block table and of its sector bitmaps alone."""
    work = RebuildWorkspace.of(structures)
    work.stage = stage
    check_single_header(work)
    replay_log(work)
    return _finished(work, bitmaps)


def _finished(work: RebuildWorkspace, bitmaps: BitmapPolicy) -> RebuiltImage:
    image = _opened(work.structures)
    if isinstance(image, Image):
        rebuild_blocks(work, image, bitmaps)
        image = _opened(work.structures)
    if isinstance(image, str):
        return RebuiltImage(lost=(*work.lost, f"the disk: {image}"))
    doubted, guessed = (Ranges.of(ranges).within(Range(0, image.size)) for ranges in (work.doubted, work.guessed))
    return RebuiltImage(
        image=replace(image, file=work.source), rebuilt=tuple(work.rebuilt), lost=tuple(work.lost), doubted=doubted,
        guessed=guessed
    )  # fmt: skip
