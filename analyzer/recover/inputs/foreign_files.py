"""Files that are no level of the disk: no VHDX at all, copies, and others that nothing links."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from uuid import UUID

from analyzer.recover.inputs.layers import Level, Presence
from analyzer.recover.inputs.open_file import Opened
from analyzer.recover.inputs.segments import called, names_as_parent
from analyzer.text import listed, safe
from vhdx.contents import Opener, open_structures
from vhdx.errors import ChainError, ShortReadError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.parents import Search
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, extents_of, read_at
from vhdx.structures.constants import HEADER_AREA_SIZE, HEADER_OFFSETS, MIB, REGION_TABLE_OFFSETS

_SIGNS = {0: b"vhdxfile"} | dict.fromkeys(HEADER_OFFSETS, b"head") | dict.fromkeys(REGION_TABLE_OFFSETS, b"regi")
# What metadata and log begin with, on a MiB boundary.
_LATER_SIGNS = (b"metadata", b"loge")
# MiB of a file in which these are looked for; writers put both in front of the data.
_SEARCHED = 64
_NAMES = (".vhdx", ".avhdx", ".vhds")
_PIECE = 4 * MIB
# A folder of backups has thousands of files; each costs one read of its headers.
_MOST_TRIED = 1000


class CopiesDifferError(ChainError):
    """Two files say that they are one and the same, and are not."""

    first: Path
    second: Path
    offset: int
    text = (
        "{first} and {second} have one identity and differ, first at byte {offset}: only one can be a layer of the "
        "disk; name the one that is to be used (`vhdx check` and `vhdx hash` tell more of each)"
    )


def drop_foreign_and_duplicate_files(files: Sequence[Opened]) -> tuple[list[Opened], list[Finding]]:
    """Pass over what is no VHDX and what is a copy: the files that are levels, and what is said of the others.

    Raises CopiesDifferError where copies are not the same.

    Where no file at all can be read nothing is passed over: what is wrong with each is the answer then.
    """
    # With nothing readable, to pass over files would leave an empty answer instead of the reasons.
    if not any(file.image for file in files):
        return list(files), []
    foreign = [file for file in files if _is_foreign(file, files)]
    used: list[Opened] = []
    copies: list[Finding] = []
    # What opens, and needed no help, comes first; of equals, what was named first.
    others = (file for file in files if file not in foreign)
    for file in sorted(others, key=lambda file: (file.image is None, len(file.rebuilt) + len(file.lost))):
        identity = file.record.identity
        if twin := next((other for other in used if identity and identity == other.record.identity), None):
            copies.append(_copy(file, twin))
        elif twin := next((other for other in used if _is_torn_copy(file, other)), None):
            text = f"its front is damaged, and all that follows is, byte for byte, {twin.path}: that one is used"
            copies.append(Finding("CHN-08", Severity.WARNING, text, path=file.path, advice="name one of them"))
        else:
            used.append(file)
    text = "not a VHDX (no signature found): ignored"
    advice = "leave it out, or name the file that was meant; one that was wiped counts when it ends in .vhdx or .avhdx"
    passed = [Finding("FID-01", Severity.WARNING, text, 0, 8, "2.2.1", path=one.path, advice=advice) for one in foreign]
    return [file for file in files if file in used], [*passed, *copies]


def _is_foreign(file: Opened, files: Iterable[Opened]) -> bool:
    """Nothing in a file tells that it is a VHDX, and neither its name does nor another file that names it."""
    if file.image is not None or file.source is None or called(file).endswith(_NAMES):
        return False
    # A child names its parent: a wiped file of that name is the layer that is missing, whatever is in it.
    # test_a_wiped_file_of_the_name_that_the_orphan_asks_for_is_the_missing_layer.
    is_named = any(names_as_parent(other, file) for other in files)
    later = ((at, sign) for at in range(MIB, _SEARCHED * MIB, MIB) for sign in _LATER_SIGNS)
    return not is_named and not any(
        _may_begin(file.source.below, at, sign) for at, sign in chain(_SIGNS.items(), later)
    )


def _may_begin(source: ByteSource, at: int, sign: bytes) -> bool:
    """Whether a structure shows there; where the medium fails one may."""
    if at + len(sign) > source.size:
        return False
    try:
        return read_at(source, at, len(sign)) == sign
    except ShortReadError:
        return False
    except VhdxError:
        return True


def _is_torn_copy(file: Opened, other: Opened) -> bool:
    """Whether a file that lost its identity with its headers is the same as another behind the header area."""
    if file.record.identity is not None or other.image is None or file.source is None or other.source is None:
        return False
    first, second = other.source.below, file.source.below
    if first.size != second.size or first.size <= HEADER_AREA_SIZE:
        return False
    try:
        return next(_differences(first, second, HEADER_AREA_SIZE), None) is None
    except VhdxError:
        return False


def _copy(file: Opened, used: Opened) -> Finding:
    """What is said of a copy that is passed over; raises CopiesDifferError."""
    if file.image is None:
        text = f"it has the identity of {used.path} and cannot be read: that one is used"
    elif (file.rebuilt or file.lost) and not (used.rebuilt or used.lost):
        text = f"it has the identity of {used.path} and is damaged: that one is used"
    elif _are_the_same(file, used):
        text = f"it is a copy of {used.path}, byte for byte: that one is used"
    else:
        text = f"it has the identity of {used.path}, and could not be compared with it to the end: that one is used"
    return Finding("CHN-08", Severity.WARNING, text, path=file.path, advice="name one of them")


def _are_the_same(file: Opened, used: Opened) -> bool:
    """Whether both could be read to the end and are the same; raises CopiesDifferError where they are not."""
    if file.source is None or used.source is None:
        return False
    first, second = used.source.below, file.source.below
    try:
        apart = next(_differences(first, second), None)
    except VhdxError:  # the medium of one fails
        return False
    if apart is not None:
        raise CopiesDifferError(used.path, file.path, apart)
    return True


def _differences(first: ByteSource, second: ByteSource, begin: int = 0) -> Iterator[int]:
    """Where two files differ: the first byte of each piece that is not the same, and where the shorter one ends."""
    end = min(first.size, second.size)
    for held in Ranges.of(chain(extents_of(first), extents_of(second))).within(Range.between(begin, end)):
        for at in range(held.start, held.end, _PIECE):
            one, two = (read_at(source, at, min(_PIECE, held.end - at)) for source in (first, second))
            if one != two:
                yield at + next(n for n in range(len(one)) if one[n] != two[n])
    if first.size != second.size:
        yield end


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
        text = (
            f"of the same disk, and linked to none of the files: {listed(map(safe, names))}; name them as "
            "well, or a base with --assume-base, and what they hold is stale instead of lost"
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
