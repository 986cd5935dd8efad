"""Region tables: from their twin, by the flip that explains them, and the second like the first."""

from analyzer.check.diagnosis.flipped_bits import FlippedCopy, flips_of_region_tables
from analyzer.repair.workspace import Workspace
from vhdx.findings import Severity
from vhdx.structures.constants import REGION_TABLE_OFFSETS, REGION_TABLE_SIZE
from vhdx.structures.region import RegionTablePair, check_region_tables, judge_region_tables


def fix_region_tables(work: Workspace) -> None:
    """Make both copies valid and equal."""
    pages = tuple(work.read(offset, REGION_TABLE_SIZE) for offset in REGION_TABLE_OFFSETS)
    pair = judge_region_tables((pages[0], pages[1]))
    flips = {flipped.copy: flipped for flipped in flips_of_region_tables(work.view)}
    if pair.current_copy is None:
        _by_flips(work, flips)
    elif any(pair.flaws):
        bad = 1 - pair.current_copy
        seen = f"; besides, {flips[bad].flip.what}" if bad in flips and flips[bad].page == pages[1 - bad] else ""
        _from_twin(work, "REG-03", bad, f"copy {2 - bad} has a matching checksum{seen}")
    elif pages[0] != pages[1]:
        _of_two(work, pair, pages)


def _by_flips(work: Workspace, flips: dict[int, FlippedCopy]) -> None:
    for flipped in flips.values():
        title = f"region table copy {flipped.copy + 1}: {flipped.flip.what}"
        evidence = (
            "of all single errors in the table this one alone makes its checksum match, and the entries make sense"
        )
        work.fix("REG-04", title, evidence, (flipped.at, flipped.page))
    if len(flips) == 1:
        fix_region_tables(work)


def _of_two(work: Workspace, pair: RegionTablePair, pages: tuple[bytes, ...]) -> None:
    """Both are valid and differ: the first one serves, unless it alone breaks a rule."""
    if pair.copies[0].checksum == pair.copies[1].checksum:
        return
    sound = [_is_sound(page, work.view.size) for page in pages]
    bad = 0 if sound == [False, True] else 1
    if any(sound):
        _from_twin(work, "REG-05", bad, f"both have matching checksums; copy {2 - bad} serves and breaks no rule")


def _is_sound(page: bytes, file_size: int) -> bool:
    found = check_region_tables(judge_region_tables((page, page)), file_size)
    return not any(finding.severity is Severity.ERROR for finding in found)


def _from_twin(work: Workspace, code: str, bad: int, evidence: str) -> None:
    page = work.read(REGION_TABLE_OFFSETS[1 - bad], REGION_TABLE_SIZE)
    title = f"region table copy {bad + 1} is written anew from copy {2 - bad}"
    work.fix(code, title, evidence, (REGION_TABLE_OFFSETS[bad], page))
