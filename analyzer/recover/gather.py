"""The files of a recovery: those that were named, and the parents that can be found from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from analyzer.evidence import Verdict, gather_evidence
from analyzer.recover.levels import Level, Placed, Presence
from analyzer.recover.opening import Opened, Opener, open_carefully
from analyzer.recover.order import order
from analyzer.recover.strays import Sorted, sort_out
from analyzer.salvage import BitmapPolicy
from vhdx.errors import CorruptFileError, ParentMismatchError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.parents import OnMismatch, Search, find_parent
from vhdx.source import FileSource, file_identity
from vhdx.structures.constants import MAX_CHAIN_DEPTH

How = Callable[[Path], Opened]
"""Opens a file as this recovery wants it."""
_CODES = {Presence.MISSING: "CHN-10", Presence.DOUBT: "CHN-02", Presence.UNREADABLE: "FID-11"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The files, all of them open, and the levels that they make up, base first."""

    files: tuple[Opened, ...]
    levels: tuple[Level, ...]
    sorted: Sorted
    """What of the files is no level, and why."""
    assumed: tuple[Finding, ...] = ()
    """What speaks against the base that is assumed."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is missing or in doubt, and what opening found in the files that are there."""
        above = (*self.levels[1:], None)
        gaps = tuple(_finding(gap, child) for gap, child in zip(self.levels, above, strict=True) if gap.image is None)
        guessed = tuple(_guess(level) for level in self.levels if level.placed is Placed.BY_TIME)
        opened = tuple(finding for level in self.levels if level.image for finding in level.image.findings)
        return self.sorted.findings + gaps + guessed + self.assumed + opened

    @property
    def changed(self) -> tuple[Finding, ...]:
        """The files that somebody wrote to, or cut, since they were opened."""
        return tuple(finding for file in self.files if (finding := _change(file)))

    def close(self) -> None:
        """Give all files back to the system."""
        for file in self.files:
            file.close()


def _finding(gap: Level, child: Level | None) -> Finding:
    """What is said of a gap: about the file that cannot be read, else about the one that has lost its parent."""
    path = gap.path or (child.path if child else None)
    return Finding(_CODES[gap.presence], Severity.WARNING, gap.evidence, path=path)


def _guess(level: Level) -> Finding:
    text = f"the order of the files is not certain here: {level.evidence}; what is known above a gap depends on it"
    return Finding("CHN-10", Severity.WARNING, text, path=level.path, advice="name the files of the chain between them")


def _against(base: Opened, levels: Sequence[Level]) -> Iterator[Finding]:
    """What tells that the base that is assumed may be another disk: its virtual disk id, its size."""
    images = [level.image for level in levels if level.image]
    place = next((n for n, image in enumerate(images) if base.image and image.path == base.path), len(images))
    if place + 1 >= len(images):
        return
    mine, child = images[place].parameters, images[place + 1].parameters
    facts = []
    if mine.disk_id != child.disk_id:
        facts.append(f"its virtual disk id is {mine.disk_id}, that of {images[place + 1].path} is {child.disk_id}")
    if mine.size != child.size:
        facts.append(f"its disk has {mine.size} bytes, that of {images[place + 1].path} has {child.size}")
    if facts:
        text = f"the base that is assumed may be another disk: {'; '.join(facts)}"
        advice = "look for one of the same disk with `vhdx scan`; what this one gives is in the map as stale"
        yield Finding("CHN-02", Severity.WARNING, text, path=base.path, advice=advice)


def _change(file: Opened) -> Finding | None:
    below = file.source.below if file.source else None
    try:
        if isinstance(below, FileSource):
            below.require_unchanged()
    except VhdxError:
        text = "the file was changed while it was read: what was taken from it may be a mixture of two states"
        return Finding("FID-11", Severity.WARNING, text, path=file.path, advice="run again once nothing writes to it")
    return None


def gather(
    inputs: Sequence[Path],
    search: Search,
    assumed: Path | None = None,
    opener: Opener = FileSource,
    *,
    bitmaps: BitmapPolicy = BitmapPolicy.LOST,
) -> Gathered:
    """Open the inputs, find what parents can be found, and put all in order; files that do not open are gaps.

    Raises what `sort_out` and `order` raise.
    """
    how = partial(open_carefully, opener=opener, bitmaps=bitmaps)
    files: list[Opened] = []
    base: Opened | None = None
    try:
        for path in (*inputs, *search.parents):
            _take(files, path, how)
        _find_parents(files, replace(search, parents=(), on_mismatch=OnMismatch.REFUSE), assumed, how)
        base = how(assumed) if assumed else None
        found = sort_out(files)
        levels = order(found.files, base)
        against = tuple(_against(base, levels)) if base else ()
    except BaseException:
        for file in (*files, *([base] if base else [])):
            file.close()
        raise
    return Gathered(files=(*files, *([base] if base else [])), levels=levels, sorted=found, assumed=against)


def _take(files: list[Opened], path: Path, how: How) -> Opened | None:
    """Open a file and add it, unless it is there already."""
    identity = file_identity(path)
    if any(path == file.path or (identity and identity == file_identity(file.path)) for file in files):
        return None
    files.append(how(path))
    return files[-1]


def _find_parents(files: list[Opened], search: Search, assumed: Path | None, how: How) -> None:
    """Add the parent of every file whose parent is not among them, as far as parents can be found.

    One that is in doubt is left out when the user has said which base to assume.
    """
    waiting = list(files)
    for _ in range(MAX_CHAIN_DEPTH):
        orphans = [file for file in waiting if file.image and file.image.has_parent and not _has_parent(file, files)]
        places = [place for file in orphans if (place := _place_of_parent(file, search, assumed))]
        waiting = [found for place in places if (found := _take(files, place, how))]
        if not waiting:
            return


def _has_parent(child: Opened, files: Sequence[Opened]) -> bool:
    return any(file.record.identity in child.record.linkages for file in files if file is not child)


def _place_of_parent(child: Opened, search: Search, assumed: Path | None) -> Path | None:
    """Where the file is that is the parent, or was it; None where nobody knows."""
    if child.image is None:
        return None
    try:
        link = find_parent(child.image, search, None)
    except ParentMismatchError as error:
        return error.parent if assumed is None and _is_plausible(child, error.parent) else None
    except CorruptFileError as error:
        return error.path if error.path != child.path else None
    except VhdxError:
        return None
    link.parent.close()
    return link.parent.path


def _is_plausible(child: Opened, path: Path) -> bool:
    """Whether a file that stands where the parent should is the same disk, at another time."""
    parent = open_carefully(path)
    try:
        if child.image is None or parent.image is None:
            return False
        return gather_evidence(child.image, parent.image).verdict is not Verdict.WRONG_PARENT
    except VhdxError:
        return False
    finally:
        parent.close()
