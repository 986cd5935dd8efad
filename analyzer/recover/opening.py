"""One input file: opened as far as it can be, or what is known of it and why it cannot."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from construct import ConstructError

from analyzer.recover.faults import CarefulSource
from analyzer.salvage import salvage_image
from analyzer.salvage.model import Certainty
from analyzer.scan.facts import salvaged, with_disk, with_headers, with_locator
from analyzer.scan.record import Condition, FileRecord
from vhdx.errors import VhdxError
from vhdx.image import Image, image_from
from vhdx.source import ByteSource, FileSource
from vhdx.structures.constants import BAT_REGION, HEADER_OFFSETS, MIB

Opener = Callable[[Path], ByteSource]
"""What opens a file: FileSource, or what a test puts in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that was named. `reason` says why it cannot be read as an image, or what was rebuilt so that it can."""

    path: Path
    source: CarefulSource | None
    """The open file; None when the system would not open it. Whoever has this closes it."""
    image: Image | None
    record: FileRecord
    """Identity and linkage, as far as they are known: they give a file its place that cannot be read."""
    reason: str = ""

    def close(self) -> None:
        """Give the file back to the system."""
        below = self.source.below if self.source else None
        if isinstance(below, FileSource):
            below.close()


def open_carefully(path: Path, opener: Opener = FileSource) -> Opened:
    """Open one file for recovery; never raises for what the file holds or for what its medium does.

    A header, region table or part of the block table that cannot be read counts as invalid: its copy is taken, or the
    blocks that it was about are lost.
    """
    try:
        source = CarefulSource(opener(path))
    except VhdxError as error:
        return Opened(path=path, source=None, image=None, record=_unknown(path), reason=str(error))
    source.judged.add(HEADER_OFFSETS[0], MIB)
    image, reason = salvage(source)
    if image is None:
        return Opened(path=path, source=source, image=None, record=salvaged(_unknown(path)), reason=reason)
    bat = image.regions.current.find(BAT_REGION)
    if bat is not None:
        source.judged.add(bat.file_offset, bat.end)
    return Opened(path=path, source=source, image=image, record=_record(image), reason=reason)


def salvage(source: ByteSource) -> tuple[Image | None, str]:
    """The image in a source, and a sentence: why there is none, or what had to be rebuilt; empty when nothing had.

    What is rebuilt counts as known, so it is taken only where all of it is certain. A file with structures that are
    merely likely is a missing layer.
    """
    try:
        return image_from(source), ""
    except VhdxError as error:
        return _rebuilt(source, str(error))
    except (ConstructError, ValueError, KeyError, MemoryError) as error:  # what no check foresaw
        return None, f"{source.path} cannot be read: {error}; use another copy of the file"


def _rebuilt(source: ByteSource, reason: str) -> tuple[Image | None, str]:
    try:
        saved = salvage_image(source)
    except VhdxError:  # the medium fails where a structure would have to be looked for
        return None, reason
    if saved.image is None or any(part.certainty is not Certainty.CERTAIN for part in saved.rebuilt):
        return None, reason
    return saved.image, "rebuilt: " + "; ".join(f"{part.structure} ({part.how})" for part in saved.rebuilt)


def _unknown(path: Path) -> FileRecord:
    return FileRecord(path=path, condition=Condition.UNREADABLE)


def _record(image: Image) -> FileRecord:
    known = with_disk(with_headers(_unknown(image.path), image.headers), image.parameters)
    return with_locator(known, image.locator)
