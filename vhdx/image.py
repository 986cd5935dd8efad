"""One file, opened: its structures required to be without errors, its log replayed in memory."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from vhdx.allocation import MOST_RUNS, scan
from vhdx.contents import Opener, Structures, open_structures
from vhdx.disk import Mask
from vhdx.errors import CorruptFileError, located, require
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry
from vhdx.layers import LayerFile
from vhdx.lookup import Lookup
from vhdx.parsed import Parsed
from vhdx.reader import Find
from vhdx.replay import Log
from vhdx.runs import Kind, RunTable, with_lost
from vhdx.source import ByteSource, FileSource, close_source
from vhdx.source_map import unread_findings
from vhdx.structures.disk import DiskParameters
from vhdx.structures.fields import Copies
from vhdx.structures.header import Header
from vhdx.structures.identifier import Identifier
from vhdx.structures.locator import ParentLocator
from vhdx.structures.metadata import MetadataTable
from vhdx.structures.region import RegionTable
from vhdx.table import BlockTable

Value = TypeVar("Value")
_log = logging.getLogger("vhdx")


@dataclass(frozen=True, eq=False, repr=False)
class Image(LayerFile):
    """One VHDX file, immutable. By itself it reads what it holds; what it leaves to a parent, a chain reads."""

    structures: Structures
    """All that was read of the file to open it; of one that was rebuilt, the structures that it was given."""
    file: ByteSource
    """The file as it is."""
    source: ByteSource
    """The file as it is once its log is replayed; `file` itself when the log is closed."""
    identifier: Identifier
    headers: Copies[Header]
    log: Log
    regions: Copies[RegionTable]
    metadata: MetadataTable
    parameters: DiskParameters
    locator: ParentLocator | None
    locator_flaws: tuple[Finding, ...]
    """What is wrong with the locator: it matters once the parent is wanted."""
    table: BlockTable
    opening_findings: tuple[Finding, ...]
    masks: tuple[Mask, ...] = ()
    """What of this file's disk is not believed, whatever its table says."""

    @property
    def size(self) -> int:
        """Bytes of the virtual disk."""
        return self.parameters.size

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        return self.parameters.logical_sector_size

    @property
    def header(self) -> Header:
        """The current header."""
        return self.headers.current

    @property
    def data_write_guid(self) -> UUID:
        """The identity of what the disk shows; a child names it as its parent_linkage."""
        return self.header.data_write_guid

    @property
    def has_parent(self) -> bool:
        """This is a differencing file."""
        return self.parameters.has_parent

    @property
    def geometry(self) -> Geometry:
        """Blocks, chunks and slots of this file."""
        return self.table.geometry

    @property
    def log_was_replayed(self) -> bool:
        """The log was live; its changes are seen here and are not in the file."""
        return self.header.log_is_live

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error, the locator's flaws included."""
        return self.opening_findings + self.locator_flaws

    def layer_windows(
        self, layer: int, view: int, start: int, end: int, *, limit: int = MOST_RUNS
    ) -> Iterator[RunTable]:
        """See LayerFile."""
        position, upto = start, min(end, view)
        while position < upto:
            aligned = position // self.sector_size * self.sector_size  # tables know sectors, any byte may be asked for
            last = -(-upto // self.sector_size) * self.sector_size
            table = scan(self.table, aligned, last, layer=layer, limit=limit).clip(position, upto)
            for mask in self.masks:
                table = with_lost(table, mask.ranges, layer)
            yield table
            position = table.end
        if position < end:
            yield RunTable.filled(max(start, view), end, Kind.ZERO, layer)

    def lookup(self) -> Find | None:
        """Finds what a place is made of without the runs around it; None where tables alone do not say it."""
        return lookup_of([(self, self.size)], self.size)

    def why_lost(self, start: int) -> str:
        """The reason why byte `start` of the disk cannot be known from this file."""
        masked = (mask.reason for mask in self.masks if mask.holds(start))
        return next(masked, None) or self.table.why_lost(start)

    def require_unchanged(self) -> None:
        """See Disk."""
        if isinstance(self.file, FileSource):
            self.file.require_unchanged()

    def close(self) -> None:
        """Close the file."""
        close_source(self.file)


def lookup_of(layers: Sequence[tuple[Image, int]], size: int) -> Find | None:
    """See `Image.lookup`: of layers of a disk, base first, each with the byte from which on it shows zeros."""
    is_plain = not any(image.masks or len(image.table.unreadable) or image.table.has_overlaps for image, _ in layers)
    if not is_plain or len({image.sector_size for image, _ in layers}) > 1:
        return None
    return Lookup([(image.table, view) for image, view in layers], size).find


def open_image(path: Path | str, *, opened: Opener = open_structures) -> Image:
    """Open one file read-only, by `opened`, judge its structures, and replay a live log in memory.

    Raises CorruptFileError for the first rule that is broken, NotRegularFileError, InputOutputError, ShortReadError.
    """
    structures = opened(Path(path))
    try:
        return image_of(structures)
    except BaseException:
        structures.close()
        raise


def image_from(file: ByteSource) -> Image:
    """The image in a source that is open; raises as `open_image` does, and leaves the source open."""
    return image_of(Structures(file))


def image_of(structures: Structures) -> Image:
    """The image that these structures are of; raises as `open_image` does, and leaves their file open."""
    path = structures.file.path
    found = list(located(path, unread_findings(structures.file, Severity.WARNING)))

    def required(part: Parsed[Value]) -> Value:
        if part.error is not None:
            raise part.error
        found.extend(require(path, part.findings))
        if part.value is None:  # an earlier part's findings say why
            raise CorruptFileError(path, Finding("REG-13", Severity.ERROR, "a structure is missing"))
        return part.value

    identifier, headers, log = required(structures.identifier), required(structures.headers), required(structures.log)
    source, regions = required(structures.replay), required(structures.regions)
    metadata, parameters = required(structures.metadata), required(structures.parameters)
    table, locator = required(structures.table), structures.locator
    if locator.error is not None:
        raise locator.error
    image = Image(
        *(structures, structures.file, source, identifier, headers, log, regions, metadata, parameters),
        *(locator.value, tuple(located(path, locator.findings)), table, tuple(found)),
    )
    for finding in image.findings:
        if finding.severity is Severity.WARNING:
            _log.warning("%s: %s", path, finding)
    return image
