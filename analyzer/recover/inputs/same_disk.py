"""Files of the same disk that nothing links to a recovery, and a base that may be of another: what to say of them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from uuid import UUID

from analyzer.recover.inputs.layers import Level, Presence
from analyzer.recover.inputs.open_file import Opened
from analyzer.text import safe
from vhdx.contents import Opener, open_structures
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.parents import Search

_NAMES = {".vhdx", ".avhdx"}
# A folder of backups has thousands of files; each costs one read of its headers.
_MOST_TRIED, _MOST_TOLD = 1000, 4


def of_the_same_disk(levels: Sequence[Level], search: Search) -> Iterator[Finding]:
    """What to say where nothing is below the lowest file, although files of its disk are where parents may be."""
    child = next((level for level in levels if level.image is not None and level.path is not None), None)
    if levels[0].presence is not Presence.MISSING or child is None or child.image is None or child.path is None:
        return
    wanted = _id_of(child.image)
    used = {level.path for level in levels if level.path}
    folders = dict.fromkeys((child.path.parent, *search.folders))
    others = (path for folder in folders for path in islice(_disks_in(folder), _MOST_TRIED) if path not in used)
    names = [str(path) for path in others if wanted and _disk_of(path, search.opened) == wanted]
    if names:
        shown = f"{', '.join(map(safe, names[:_MOST_TOLD]))}{' and more' if len(names) > _MOST_TOLD else ''}"
        text = (
            f"of the same disk, and linked to none of the files: {shown}; name them as well, or a base with "
            "--assume-base, and what they hold is stale instead of lost"
        )
        yield Finding("CHN-10", Severity.WARNING, text, path=child.path)


def is_layer_beside(path: Path, levels: Sequence[Level]) -> bool:
    """Whether a file is a VHDX of the disk that is recovered, by its virtual disk id: no output may take its place."""
    ids = {_id_of(level.image) for level in levels if level.image} - {None}
    return path.is_file() and _disk_of(path) in ids


def of_another_disk(base: Opened, levels: Sequence[Level]) -> Iterator[Finding]:
    """What to say when a base that is assumed may be another disk: its virtual disk id, its size."""
    images = [level.image for level in levels if level.image]
    place = next((number for number, image in enumerate(images) if image.path == base.path), len(images))
    if place + 1 >= len(images):
        return
    below, above = images[place], images[place + 1]
    mine, child = below.parameters, above.parameters
    facts = []
    if mine.disk_id != child.disk_id:
        facts.append(f"its virtual disk id is {mine.disk_id}, that of {safe(above.path)} is {child.disk_id}")
    if mine.size != child.size:
        facts.append(f"its disk has {mine.size} bytes, that of {safe(above.path)} has {child.size}")
    if facts:
        text = f"the base that is assumed may be another disk's: {'; '.join(facts)}"
        advice = "look for one of the same disk with `vhdx scan`; what this one gives is in the map as stale"
        yield Finding("CHN-02", Severity.WARNING, text, path=base.path, advice=advice)


def _disks_in(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in _NAMES)
    except OSError:
        return


def _id_of(image: Image) -> UUID | None:
    """The virtual disk's id; None where it is not set, which tells nothing."""
    return image.parameters.disk_id if image.parameters.disk_id.int else None


def _disk_of(path: Path, opened: Opener = open_structures) -> UUID | None:
    """The virtual disk's id; None of a file that cannot be read."""
    try:
        with open_image(path, opened=opened) as image:
            return _id_of(image)
    except (VhdxError, OSError):
        return None
