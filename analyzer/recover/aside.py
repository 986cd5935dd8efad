"""Files that were named and are passed over, and a base that was named and is of another disk: what is said of them."""

from collections.abc import Iterator, Sequence

from analyzer.recover.faults import CarefulSource
from analyzer.recover.opening import Opened
from analyzer.wording import safe
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures import header, identifier, region
from vhdx.structures.constants import HEADER_OFFSETS, MIB, REGION_TABLE_OFFSETS
from vhdx.structures.metadata import SIGNATURE as METADATA

_NAMES = {".vhdx", ".avhdx"}
_MOST_METADATA = 64
"""MiB of a file at which a metadata table is looked for."""


def set_aside(files: Sequence[Opened]) -> tuple[list[Opened], list[Finding]]:
    """The files that belong to the chain, and what to say of the others: copies of one that is there, and strangers.

    A file that cannot be read and has a VHDX's name, or any sign of one, may be the layer that is missing.
    """
    kept, told = list[Opened](), list[Finding]()
    for file in files:
        twin = next((other for other in kept if _are_copies(file, other)), None)
        if twin is not None:
            text = f"it is, byte for byte, a copy of {safe(twin.path)}, which is taken in its place"
            told.append(Finding("CHN-08", Severity.NOTE, text, path=file.path))
        elif _is_stranger(file):
            text = "nothing in it is of a VHDX, so it is passed over"
            told.append(Finding("FID-01", Severity.WARNING, text, path=file.path))
        else:
            kept.append(file)
    return (kept, told) if kept else (list(files), [])


def another_disk(base: Opened, levels_above: Image | None) -> Iterator[Finding]:
    """What to say when a base that is to be assumed is not of the disk of the layer above it."""
    below, above = base.image, levels_above
    if below is None or above is None:
        return
    ids = below.parameters.disk_id, above.parameters.disk_id
    if ids[0] != ids[1] or below.size != above.size:
        text = (
            f"the base to be assumed has virtual disk id {ids[0]} and {below.size} bytes, the layer above it {ids[1]} "
            f"and {above.size}: it may be another disk's, and what shows of it nonsense"
        )
        yield Finding("CHN-02", Severity.WARNING, text, path=base.path)


def _are_copies(one: Opened, other: Opened) -> bool:
    """Whether two files are the same, all bytes of them; not where either cannot be read."""
    first, second = one.source, other.source
    if not (first and second and one.image and other.image):
        return False
    if (one.image.header, first.size) != (other.image.header, second.size):
        return False
    try:
        return all(
            read_at(first, start, length) == read_at(second, start, length)
            for start, length in sorted({*_pieces(first), *_pieces(second)})
        )
    except VhdxError:
        return False


def _pieces(source: CarefulSource) -> Iterator[tuple[int, int]]:
    """(start, length) of MiB after MiB of a file, those left out that the host's file system has no block for."""
    ranges = source.below.extents() if isinstance(source.below, FileSource) else ((0, source.size),)
    for start, end in ranges:
        for at in range(start // MIB * MIB, end, MIB):
            yield at, min(MIB, source.size - at)


def _is_stranger(file: Opened) -> bool:
    if file.image is not None or file.source is None or file.path.suffix.lower() in _NAMES:
        return False
    return not file.record.identity and not _has_sign(file.source)


def _has_sign(source: ByteSource) -> bool:
    places = [(0, identifier.SIGNATURE)]
    places += [(offset, header.SIGNATURE) for offset in HEADER_OFFSETS]
    places += [(offset, region.SIGNATURE) for offset in REGION_TABLE_OFFSETS]
    places += [(mib * MIB, METADATA) for mib in range(1, _MOST_METADATA)]
    return any(_stands(source, at, magic) for at, magic in places)


def _stands(source: ByteSource, at: int, magic: bytes) -> bool:
    """Whether bytes stand at a place; they may, where the medium fails."""
    if at + len(magic) > source.size:
        return False
    try:
        return read_at(source, at, len(magic)) == magic
    except VhdxError:
        return True
