"""How many bytes each layer holds, and how many of them a leaf still shows: from tables alone, no payload is read.

Own bytes are those that a file's DATA, ZERO and TRIM runs cover: what it says itself, zeros included. Of these, a byte
still shows when at least one leaf above (or the file itself, when it is a leaf) would read it here: no layer between
hides it. A leaf shows all that it holds.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from analyzer.scan.forest import Tree
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.ranges import MOST, NO_RANGES, Range, Ranges, covered, union
from vhdx.runs import Kind, RunTable

KEPT_RANGES = 1 << 12
"""Ranges of one file that are kept while all files are read, 16 bytes each; a file of more is read once again."""
MOST_RANGES = 1 << 20
"""Ranges of one file that are laid together with those of others; what a file of more still shows is not known."""
MOST_SLOTS = 1 << 24
"""Entries of a block table that are gone through: 16 TiB of blocks of 1 MiB."""

WhyLost = Callable[[int], tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Bytes of the disk that a layer holds; None is not known. `lost` cannot be read, or nobody knows what it was."""

    own: int | None = None
    shown: int | None = None
    lost: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """What one file holds, by itself."""

    weight: Weight
    own: Ranges | None
    """Where; None when that is not known, or more than was to be kept."""
    size: int
    """Bytes of the disk."""
    is_large: bool = False
    """There are more ranges than were to be kept."""


UNKNOWN = Layer(Weight(), None, 0)


def weigh(tree: Tree, layers: Mapping[Path, Layer], again: Callable[[Path, int], Layer]) -> dict[Path, Weight]:
    """What each file of a tree holds and still shows, from what each holds by itself.

    `again` measures a large file once more, with that many ranges kept; only trees of several files need it.
    """
    hidden: dict[Path, Ranges | None] = {}
    weights = {}
    for member in reversed(tree.members):  # a child comes before its parent
        layer = layers.get(member.path, UNKNOWN)
        if layer.is_large and len(tree.members) > 1:
            layer = again(member.path, MOST_RANGES)
        # What no leaf above sees is hidden on every way up. None: it is not known, or nothing is above.
        ways = [ranges for child in member.children if (ranges := hidden.pop(child)) is not None]
        above = covered(ways, at_least=len(ways)) if ways and len(ways) == len(member.children) else None
        shown = layer.weight.own
        if member.children:
            shown = (layer.own - above).size if layer.own is not None and above is not None else None
        weights[member.path] = replace(layer.weight, shown=shown)
        hidden[member.path] = None
        is_asked = member.parent is not None  # by a file below it
        if is_asked and layer.own is not None and (above is not None or not member.children):
            past_end = Ranges.of([Range.between(layer.size, MOST)])  # there it hides everything
            hidden[member.path] = covered([layer.own, past_end, above or NO_RANGES], at_least=1)
    return weights


def measure(image: Image, most: int = KEPT_RANGES) -> Layer:
    """What an image holds, at most `most` ranges of it kept; never raises for what the file holds."""
    if image.geometry.slots_in_base > MOST_SLOTS:
        return UNKNOWN
    return measure_disk(image, partial(_why_lost, image), most)


def measure_disk(image: Disk, why_lost: WhyLost, most: int = KEPT_RANGES) -> Layer:
    """What one file holds, as `measure` has it; `why_lost` gives the code and a clause for a byte that is LOST."""
    try:
        return _measured(image, why_lost, most)
    except VhdxError as error:  # changed since, or a table that the medium does not give
        finding = Finding("FID-11", Severity.ERROR, str(error), path=image.path)
        return Layer(Weight(findings=(finding,)), None, 0)


def measure_file(path: Path, most: int) -> Layer:
    """What a file holds; never raises for what is in it."""
    with suppress(VhdxError), open_image(path) as image:
        return measure(image, most)
    return UNKNOWN


def _measured(image: Disk, why_lost: WhyLost, most: int) -> Layer:
    parts: list[RunTable] = []
    own = lost = kept = 0
    first_lost: int | None = None
    for table in image.windows():
        held = table.select((table.kind != Kind.HOLE) & (table.kind != Kind.LOST))
        gone = table.of_kind(Kind.LOST)
        own, lost, kept = own + int(held.length.sum()), lost + int(gone.length.sum()), kept + len(held)
        if len(gone) and first_lost is None:
            first_lost = int(gone.start[0])
        if kept <= most:
            parts.append(held)
    findings = () if first_lost is None else (_lost(image, first_lost, lost, why_lost),)
    ranges = None if kept > most else union(part.ranges for part in parts)
    return Layer(Weight(own=own, lost=lost, findings=findings), ranges, image.size, is_large=kept > most)


def _lost(image: Disk, start: int, lost: int, why_lost: WhyLost) -> Finding:
    """That bytes of the disk are gone, and why the first of them is."""
    code, why = why_lost(start)
    message = f"{lost} bytes of the disk cannot be known, the first at {start}: {why}"
    return Finding(code, Severity.ERROR, message, path=image.path, disk_start=start)


def _why_lost(image: Image, start: int) -> tuple[str, str]:
    flaws = image.table.flaws_of_block(image.geometry.block_at(start))
    flaw = next((flaw for flaw in flaws if flaw.severity is Severity.ERROR), None)
    return (flaw.code, flaw.message) if flaw else ("BAT-01", "its table entry is not valid")
