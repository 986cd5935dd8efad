"""Sectors of the block table that cannot be, from the log: before the table has to tell what disk it is of."""

from analyzer.repair.draft import Draft
from analyzer.repair.headers import headers_of
from analyzer.salvage.bench import Bench
from analyzer.salvage.logged import newest_pages
from analyzer.salvage.model import Certainty
from analyzer.salvage.regions import has_metadata, region_of
from analyzer.salvage.shape import entries_of, is_noise
from analyzer.wording import plural
from vhdx.replay import open_log
from vhdx.structures.constants import BAT_REGION, LOG_SECTOR_SIZE

_SECTOR = 512


def table_from_log(bench: Bench) -> None:
    """Lay the log's newest copies over sectors of the block table that are zeros or noise, where metadata are lost.

    With metadata there is a better way: the table itself then tells what in it is damaged.
    """
    bat = region_of(bench, BAT_REGION)
    if bat is None or has_metadata(bench):
        return
    pages = newest_pages(open_log(bench.view, headers_of(Draft(bench.view)).current), bat.file_offset, bat.end)
    mended = {at: _mended(bench.read(at, LOG_SECTOR_SIZE), page.content) for at, page in pages.items()}
    changes = [(at, page) for at, page in sorted(mended.items()) if page != bench.read(at, LOG_SECTOR_SIZE)]
    if not changes:
        return
    bench.lay(*changes)
    bench.doubt_all()
    how = f"sectors of zeros and noise come back from the log, in {plural(len(changes), 'page')}"
    bench.note("BAT", how, Certainty.LIKELY, "the log has copies of these pages, in which the sectors are sound")


def _mended(now: bytes, logged: bytes) -> bytes:
    starts = range(0, len(now), _SECTOR)
    return b"".join(_better(now[at : at + _SECTOR], logged[at : at + _SECTOR]) for at in starts)


def _better(now: bytes, logged: bytes) -> bytes:
    is_lost = not any(now) or is_noise(entries_of(now))
    return logged if is_lost and not is_noise(entries_of(logged)) else now
