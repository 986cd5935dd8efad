"""What a report says, before anybody thinks of how it looks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from analyzer.check.result import Checked, common_folder
from analyzer.examine.describe import ImageDescription, LayerDescription, describe_image, describe_layers
from analyzer.examine.dump import sections
from analyzer.examine.hash import sha256_of
from analyzer.progress import Progress, no_progress
from analyzer.remedies import describe_error
from analyzer.report.html.disk_map import DiskMap, map_of
from vhdx.chain import Chain
from vhdx.contents import Opener, Structures
from vhdx.disk import Disk
from vhdx.errors import ParentNotFoundError, VhdxError
from vhdx.image import image_of

PARTS = ("identifier", "headers", "regions", "metadata", "locator")
MOST_LAYERS = 32
"""Layers whose structures are shown one by one: the uppermost half of them and the lowest."""
_MOST_RECORDS = 200


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of a file as it stands, and what kept it from being read."""

    name: str
    records: tuple[Mapping[str, Any], ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file: what it is, unless it cannot be opened, and its structures; none where they are left out.

    `layer` is its place in the chain, None where no chain was opened.
    """

    path: Path
    layer: int | None
    image: ImageDescription | None
    structures: tuple[Structure, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """The SHA-256 of something, or the reason why it has none."""

    what: str
    sha256: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """By which version of the tool, and when."""

    version: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the chain cannot be opened: a sentence, and each place where a parent was looked for."""

    sentence: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a page tells. `layers` and `map` are empty where no chain was opened; `failure` says why it failed."""

    leaf: Path
    made: Made
    checked: tuple[Checked, ...]
    files: tuple[FilePart, ...]
    """Base first."""
    layers: tuple[LayerDescription, ...] = ()
    map: DiskMap | None = None
    digests: tuple[Digest, ...] = ()
    failure: Failure | None = None


def report_of_chain(chain: Chain, checked: Sequence[Checked], made: Made, digests: Sequence[Digest] = ()) -> Report:
    """The report of a chain that opens. Reads tables alone, no data; raises what reading raises."""
    return Report(
        leaf=chain.path,
        made=made,
        checked=tuple(checked),
        files=tuple(_files(chain)),
        layers=describe_layers(chain),
        map=map_of(chain.size, chain.windows()),
        digests=tuple(digests),
    )


def report_of_failure(leaf: Path, checked: Sequence[Checked], made: Made, failure: VhdxError, opened: Opener) -> Report:
    """The report of a leaf whose chain cannot be opened: the reason, and what the leaf, as `opened` gives it, holds.

    Raises InputOutputError and NotRegularFileError where the leaf cannot be read at all.
    """
    files = (_file(leaf, opened),)
    return Report(leaf=leaf, made=made, checked=tuple(checked), files=files, failure=_failure(failure))


def report_of_checks(checked: Sequence[Checked], made: Made, opened: Opener) -> Report:
    """The report of subjects by themselves, without chain or map: findings, and what `opened` shows of each file.

    Raises InputOutputError and NotRegularFileError where a file cannot be read at all.
    """
    leaf = checked[0].path if len(checked) == 1 else common_folder(checked)
    paths = dict.fromkeys(path for subject in checked for path in subject.files)
    files = tuple(_file(path, opened) for path in islice(paths, MOST_LAYERS))
    return Report(leaf=leaf, made=made, checked=tuple(checked), files=files)


def digest_of(disk: Disk, what: str, progress: Progress = no_progress) -> Digest:
    """The SHA-256 of a flat disk; reads all of it. What cannot be known is a reason, and no error."""
    try:
        return Digest(what, sha256_of(disk, progress))
    except VhdxError as error:
        return Digest(what, None, str(error))


def _failure(error: VhdxError) -> Failure:
    if isinstance(error, ParentNotFoundError):
        return Failure(error.summary, tuple(f"{place}: {why}" for place, why in error.tried))
    return Failure(describe_error(error))


def _files(chain: Chain) -> Iterator[FilePart]:
    depth = len(chain.layers)
    for number, image in enumerate(chain.layers):
        near_an_end = min(number, depth - 1 - number) < MOST_LAYERS // 2
        yield FilePart(image.path, number, describe_image(image), _structures(image.structures) if near_an_end else ())


def _file(path: Path, opened: Opener) -> FilePart:
    with closing(opened(path)) as structures:
        try:
            description = describe_image(image_of(structures))
        except VhdxError:  # the structures say why, each for itself
            description = None
        return FilePart(path, None, description, _structures(structures))


def _structures(structures: Structures) -> tuple[Structure, ...]:
    return tuple(
        Structure(section.name, tuple(islice(section.records, _MOST_RECORDS)), section.error)
        for section in sections(structures, PARTS)
    )
