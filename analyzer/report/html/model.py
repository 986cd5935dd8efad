"""What a report says, before anybody thinks of how it looks."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from analyzer.check.result import Checked, common_folder
from analyzer.convert.cells import sha256_of
from analyzer.examine.describe import ImageDescription, LayerDescription, describe_image, describe_layers
from analyzer.examine.dump import Section, sections
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
class FilePart:
    """One file: what it is, unless it cannot be opened, and its structures; none where they are left out.

    `layer` is its place in the chain, None where no chain was opened.
    """

    path: Path
    layer: int | None
    image: ImageDescription | None
    structures: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """The SHA-256 of the flat disk, or the reason why it has none."""

    sha256: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a page says. `layers` and `map` are empty where no chain was opened; `failure` says why it failed."""

    leaf: Path
    version: str
    """Of the tool."""
    checked: tuple[Checked, ...]
    files: tuple[FilePart, ...]
    """Base first."""
    layers: tuple[LayerDescription, ...] = ()
    map: DiskMap | None = None
    digest: Digest | None = None
    failure: str = ""
    looked_at: tuple[str, ...] = ()
    """Each place where a parent was looked for in vain."""
    made: datetime = field(default_factory=lambda: datetime.now(UTC))


def report_of_chain(chain: Chain, checked: Checked, version: str, digest: Digest | None = None) -> Report:
    """The report of a chain that opens. Reads tables alone, no data; raises what reading raises."""
    depth = len(chain.layers)
    # A page of 256 layers stays small: test_a_page_of_256_layers_and_one_of_64_tib_stay_small.
    shown = [min(number, depth - 1 - number) < MOST_LAYERS // 2 for number in range(depth)]
    return Report(
        leaf=chain.path,
        version=version,
        checked=(checked,),
        files=tuple(
            FilePart(image.path, number, describe_image(image), _structures(image.structures) if shown[number] else ())
            for number, image in enumerate(chain.layers)
        ),
        layers=describe_layers(chain),
        map=map_of(chain.size, chain.windows()),
        digest=digest,
    )


def report_of_failure(checked: Checked, version: str, failure: VhdxError, opened: Opener) -> Report:
    """The report of a leaf whose chain cannot be opened: the reason, and what the leaf, as `opened` gives it, holds.

    Raises InputOutputError and NotRegularFileError where the leaf cannot be read at all.
    """
    summary, tried = describe_error(failure), tuple[str, ...]()
    if isinstance(failure, ParentNotFoundError):
        summary, tried = failure.summary, tuple(f"{place}: {why}" for place, why in failure.tried)
    return Report(
        leaf=checked.path,
        version=version,
        checked=(checked,),
        files=(_file(checked.path, opened),),
        failure=summary,
        looked_at=tried,
    )


def report_of_checks(checked: Sequence[Checked], version: str, opened: Opener) -> Report:
    """The report of subjects by themselves, without chain or map: findings, and what `opened` shows of each file.

    Raises InputOutputError and NotRegularFileError where a file cannot be read at all.
    """
    leaf = checked[0].path if len(checked) == 1 else common_folder(checked)
    paths = dict.fromkeys(path for subject in checked for path in subject.files)
    files = tuple(_file(path, opened) for path in islice(paths, MOST_LAYERS))
    return Report(leaf=leaf, version=version, checked=tuple(checked), files=files)


def digest_of(disk: Disk, progress: Progress = no_progress) -> Digest:
    """The SHA-256 of a flat disk; reads all of it. What cannot be known is a reason, and no error."""
    try:
        return Digest(sha256_of(disk, progress))
    except VhdxError as error:
        return Digest(None, str(error))


def _file(path: Path, opened: Opener) -> FilePart:
    with closing(opened(path)) as structures:
        try:
            description = describe_image(image_of(structures))
        except VhdxError:  # the structures say why, each for itself
            description = None
        return FilePart(path, None, description, _structures(structures))


def _structures(structures: Structures) -> tuple[Section, ...]:
    found = sections(structures, PARTS)
    return tuple(replace(section, records=tuple(islice(section.records, _MOST_RECORDS))) for section in found)
