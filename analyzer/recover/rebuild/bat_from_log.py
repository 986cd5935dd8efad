"""Metadata that a damaged block table cannot tell: the log's copies of the table stand in while they are looked for."""

from analyzer.check.diagnosis.logged_entries import readable_pages
from analyzer.recover.rebuild.bat_shape import entries_of, is_noise
from analyzer.recover.rebuild.metadata import METADATA_LOST, rebuild_metadata
from analyzer.recover.rebuild.regions import has_metadata, region_of
from analyzer.recover.rebuild.workspace import RebuildWorkspace
from vhdx.structures.constants import BAT_REGION, LOG_SECTOR_SIZE, METADATA_REGION

_SECTOR = 512


def metadata_by_logged_table(work: RebuildWorkspace) -> None:
    """Metadata that serves, found with the log's newest copies over sectors of the table that are zeros or noise.

    The table itself stays as it is: once the disk is known, it tells better what in it is damaged.
    """
    bat, region = region_of(work, BAT_REGION), region_of(work, METADATA_REGION)
    if bat is None or region is None or has_metadata(work):
        return
    trial = RebuildWorkspace(work.view)
    pages = readable_pages(work.structures.log.get(), bat.file_offset, bat.end)
    trial.patch(*((at, _fixed(work.read(at, LOG_SECTOR_SIZE), page.content)) for at, page in sorted(pages.items())))
    rebuild_metadata(trial)
    if not has_metadata(trial):
        return
    work.patch((region.file_offset, trial.read(region.file_offset, region.length)))
    work.rebuilt += trial.rebuilt
    work.lost[:] = [text for text in work.lost if not text.startswith(METADATA_LOST)] + trial.lost
    work.doubted += trial.doubted
    work.parent_is_open = trial.parent_is_open


def _fixed(now: bytes, logged: bytes) -> bytes:
    starts = range(0, len(now), _SECTOR)
    return b"".join(_better(now[at : at + _SECTOR], logged[at : at + _SECTOR]) for at in starts)


def _better(now: bytes, logged: bytes) -> bytes:
    # Zeros may be right: then the logged copy is older. This is a trial to find the disk's size, and is discarded
    # afterwards.
    is_lost = not any(now) or is_noise(entries_of(now))
    return logged if is_lost and not is_noise(entries_of(logged)) else now
