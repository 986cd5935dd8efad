"""Files of one chain, in any order, put in order by what links them; where the links fail, with a gap."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from analyzer.linkage.mismatch import Evidence, Verdict, gather_evidence
from analyzer.recover.inputs.layers import Basis, Doubt, Level, Placed, Presence
from analyzer.recover.inputs.open_file import Opened
from analyzer.recover.inputs.segments import (
    Segment,
    by_age,
    is_base,
    is_surely_uppermost,
    names_as_parent,
    require_one_disk,
    segments_of,
)
from vhdx.errors import (
    ChainError,
    CorruptFileError,
    InputOutputError,
    SectorSizeMismatchError,
    ShortReadError,
    VhdxError,
)
from vhdx.image import Image
from vhdx.ranges import Range, Ranges
from vhdx.structures.constants import MAX_DISK_SIZE

_ADVICE = "look for other copies, or use a program that finds files by their content (PhotoRec) on what is left"


class NothingToRecoverError(ChainError):
    """None of the files can be read as an image."""

    reasons: tuple[str, ...]
    advice: str = _ADVICE

    def __str__(self) -> str:
        return f"no file can be read: {'; '.join(self.reasons)}; {self.advice}"


class NothingSoundError(NothingToRecoverError):
    """Each of the files is damaged beyond use, or is no VHDX."""

    exit_code = CorruptFileError.exit_code


class NothingReadableError(NothingToRecoverError):
    """The system opens, or reads, none of the files."""

    exit_code = InputOutputError.exit_code


def _nothing(files: Sequence[Opened]) -> NothingToRecoverError:
    codes = {file.error.exit_code if file.error else ChainError.exit_code for file in files}
    # Where one thing is wrong with all of the files it is not the chain.
    kinds = (kind for kind in (NothingSoundError, NothingReadableError) if codes == {kind.exit_code})
    findings = [file.error.finding if isinstance(file.error, CorruptFileError) else None for file in files]
    # A search by content helps with a wiped disk; an archive or a web page under a disk's name wants another way.
    ways_out = [
        found.advice for found in findings if found and found.code == "FID-01" and "vhdx recover" not in found.advice
    ]
    advice = "; ".join(dict.fromkeys(ways_out)) if len(ways_out) == len(files) else _ADVICE
    return next(kinds, NothingToRecoverError)(tuple(map(_why_unreadable, files)), advice)


def _why_unreadable(file: Opened) -> str:
    """Why a file cannot be read, without the advice to recover it: that is what is being done."""
    return file.error.summary if isinstance(file.error, CorruptFileError | ShortReadError) else file.reason


class UnusedBaseError(ChainError):
    """A base is to be assumed, and the files have one."""

    assumed: Path
    base: Path
    text = "{base} is taken as the base already; leave {base} or --assume-base {assumed} out"


def order(files: Sequence[Opened], assumed: Opened | None = None) -> tuple[Level, ...]:
    """The levels, base first. `assumed` is a base that the user takes although no link leads to it.

    Raises SeveralLeavesError, SeveralDisksError, UnusedBaseError, ChainLoopError, NothingToRecoverError.
    """
    if not any(file.image for file in files):
        raise _nothing(files)
    segments = by_age(segments_of(files))
    require_one_disk(segments)
    if assumed is not None and is_base(segments[-1].bottom):
        raise UnusedBaseError(assumed.path, segments[-1].bottom.path)
    levels: list[Level] = []
    for number, segment in enumerate(segments):
        below = segments[number + 1] if number + 1 < len(segments) else None
        levels += _levels_of(segment, *_place_among(number, segments))
        levels += _between(segment.bottom, below.top if below else None, assumed)
    return tuple(reversed(levels))


def _place_among(number: int, segments: Sequence[Segment]) -> tuple[str, Placed]:
    """Why a segment stands where it does among the others."""
    segment = segments[number]
    if len(segments) == 1:
        return "no file names it as its parent", Placed.BY_LINK
    if is_base(segment.bottom):
        return "it ends in the base" if len(segment.files) > 1 else "it is a base", Placed.BY_LINK
    if not number:
        return _place_on_top(segments)
    # A file whose locator is lost could be any layer. It takes the one place where something is missing.
    if not segment.bottom.record.linkages:
        return "nothing tells its place, it is taken for the layer that is missing", Placed.BY_LINK
    return "only its name and the time of its last change tell its place among the others", Placed.BY_TIME


def _place_on_top(segments: Sequence[Segment]) -> tuple[str, Placed]:
    if not is_surely_uppermost(segments):
        return "only its name and the time of its last change tell that it is the uppermost", Placed.BY_TIME
    if not segments[0].bottom.record.linkages:
        return "nothing tells its place, it may be newer than all others: leave it out if it is not", Placed.BY_LINK
    return "no file names it as its parent, and no other file can be above it", Placed.BY_LINK


def _levels_of(segment: Segment, evidence: str, placed: Placed) -> list[Level]:
    top = _level(segment.top, evidence, placed)
    # Times do not survive every copy. If the order is wrong, every byte may be: so the whole level is in doubt, and
    # what it shows is stale. test_two_gaps_in_one_chain_leave_nothing_known_for_no_link_tells_which_part_is_newer.
    if placed is Placed.BY_TIME:
        top = replace(top, doubts=(Doubt(Basis.ORDER, Ranges.of([Range(0, MAX_DISK_SIZE)])), *top.doubts))
    lower = (
        _level(file, f"{child.path.name} names its identity as the parent's") for child, file in pairwise(segment.files)
    )
    return [top, *lower]


def _level(file: Opened, evidence: str, placed: Placed = Placed.BY_LINK) -> Level:
    image = file.image
    if image is None:
        evidence += f"; it cannot be read: {_why_unreadable(file)}"
    elif file.rebuilt:
        evidence += f"; rebuilt: {', '.join(dict.fromkeys(part.structure for part in file.rebuilt))}"
    return Level(
        presence=Presence.UNREADABLE if image is None else Presence.PRESENT,
        evidence=evidence,
        image=image,
        path=file.path,
        identity=file.record.identity,
        placed=placed,
        rebuilt=file.rebuilt,
        lost=file.lost,
        doubts=(
            Doubt(Basis.RECOVERED, file.recovered),
            Doubt(Basis.CHOSEN, file.guessed),
            Doubt(Basis.REBUILT, file.doubted),
        ),
    )


def _between(child: Opened, parent: Opened | None, assumed: Opened | None) -> list[Level]:
    """The gap below a file whose parent is not there, if there is one, and what the user puts below it."""
    if is_base(child):
        return []
    if parent is not None:
        return _gap(child, parent)
    if assumed is None:
        return _missing(child)
    taken = _level(assumed, "it was named as the base to be assumed, no link leads to it")
    return [*_gap(child, assumed), taken, *([] if is_base(assumed) else _missing(assumed))]


def _gap(child: Opened, parent: Opened) -> list[Level]:
    """What separates two files: nothing when the evidence says that they may be read as one disk."""
    if parent.image is None:  # the file that cannot be read is taken for the one that is missing: it is a gap itself
        return []
    if parent.record.identity is None and names_as_parent(child, parent):
        text = f"{child.path.name} names a file called {parent.path.name}, whose identity is lost: nothing proves it"
        return [Level(presence=Presence.DOUBT, evidence=text, identity=_wanted(child))]
    was_parent = parent.record.previous_identity in child.record.linkages
    evidence = _evidence(child, parent) if was_parent or names_as_parent(child, parent) else None
    if evidence is None or (not was_parent and evidence.verdict is Verdict.WRONG_PARENT):
        return _missing(child)
    if was_parent and evidence.verdict in {Verdict.SAFE, Verdict.MERGED}:
        return []
    changed = "was changed since" if was_parent else f"is not, or no longer, what {child.path.name} was made from"
    text = f"{parent.path.name} {changed}: {evidence}"
    return [Level(presence=Presence.DOUBT, evidence=text, identity=_wanted(child), verdict=evidence.verdict)]


def _evidence(child: Opened, parent: Opened) -> Evidence | None:
    """What the content says of two files; None where one is not there, or its medium fails where it would be."""
    if child.image is None or parent.image is None:
        return None
    try:
        return gather_evidence(child.image, parent.image)
    except VhdxError:
        return None


def _missing(child: Opened) -> list[Level]:
    """The gap of a parent that is not there. A file of which nothing is known is a gap itself and needs no second."""
    wanted = _wanted(child)
    if wanted is None and child.image is None:
        return []
    if wanted is None:
        text = f"{child.path.name} does not tell which parent it was made from"
        return [Level(presence=Presence.MISSING, evidence=text)]
    names = ", ".join(place.text for place in child.record.places[:1])
    named = f" ({names})" if names else ""
    text = f"{child.path.name} was made from a file with the identity {wanted}{named}, which is not there"
    return [Level(presence=Presence.MISSING, evidence=text, identity=wanted)]


def _wanted(child: Opened) -> UUID | None:
    return child.record.linkages[0] if child.record.linkages else None


def require_one_sector_size(images: Sequence[Image]) -> None:
    """Files that count in different sectors cannot be one disk: raises SectorSizeMismatchError."""
    for child, parent in pairwise(images):
        if child.sector_size != parent.sector_size:
            raise SectorSizeMismatchError(child.path, child.sector_size, parent.path, parent.sector_size)
