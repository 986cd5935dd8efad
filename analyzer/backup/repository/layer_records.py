"""What a layer of a chain is known by, and which chunks of the disk it claims: the proof that it needs no reading."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vhdx.chain import Chain
from vhdx.image import Image
from vhdx.ranges import Range
from vhdx.runs import Kind, RunTable
from vhdx.source import FileSource, changed_at
from vhdx.structures.header import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One file of the chain as it was when it was backed up."""

    name: str
    """Of the file, without its folder."""
    path: str
    file_size: int
    modified_ns: int | None
    """Of the file, nanoseconds since 1970; None for what is no file."""
    changed_ns: int | None = None
    """When the system noted the file's last change, in the same unit, where it does; see `vhdx.source.changed_at`."""
    inode: str | None = None
    """The file's number on its file system: it tells a copy under the same path from a file that was written to."""
    disk_size: int
    block_size: int
    disk_id: str
    data_write_guid: str
    """"" of a file that has none: a raw image, a device."""
    file_write_guid: str
    log_was_replayed: bool
    headers: tuple[dict[str, int | str], ...]
    """Both copies, field by field, as they are in the file."""
    locator: dict[str, str] | None
    matches: bool
    """The parent's identity is the one that this layer names; always for a base."""
    claims: tuple[Range, ...]
    """Chunks in which the layer has anything of its own, sorted and disjoint."""

    def same_content(self, other: "LayerRecord") -> bool:
        """Whether two records are of one file that nobody wrote to in between.

        The identity of content and of the file's last opening for writing, its header's number, its size and time.
        Names do not count: a file may be moved. A file without an identity of content, a raw image, is never proved
        to be the same: sizes and times can be put back.
        """
        if not self.data_write_guid:
            return False
        # Of a file that is elsewhere now the time of change says when it was moved or copied. Of one that is where it
        # was, it says that somebody wrote to it, even when its time was put back.
        is_there = (self.path, self.inode) == (other.path, other.inode)
        if is_there and None not in {self.changed_ns, other.changed_ns} and self.changed_ns != other.changed_ns:
            return False
        moved = replace(other, name=self.name, path=self.path, disk_id=self.disk_id, locator=self.locator)
        moved = replace(moved, changed_ns=self.changed_ns, inode=self.inode)
        return replace(moved, matches=self.matches, claims=self.claims) == self


def records_of(chain: Chain) -> tuple[LayerRecord, ...]:
    """A record for each layer, base first, without claims yet."""
    matches = (True, *(link.matches for link in chain.links))
    return tuple(_record(image, matches[number]) for number, image in enumerate(chain.layers))


def own_tables(chain: Chain, number: int) -> Iterator[RunTable]:
    """Where layer `number` hides the one below, as far as the chain's disk goes."""
    tables = chain.layers[number].layer_windows(number, chain.views[number], 0, chain.size)
    return (table.select(table.kind != Kind.HOLE) for table in tables)


def _record(image: Image, matches: bool) -> LayerRecord:  # noqa: FBT001 - a fact, not a choice
    status = image.path.stat() if isinstance(image.file, FileSource) else None
    entries = image.locator.entries if image.locator else ()
    locator = {entry.key: entry.value for entry in entries if entry.key and entry.value is not None}
    return LayerRecord(
        name=image.path.name,
        path=str(image.path.absolute()),
        file_size=image.file.size,
        modified_ns=status.st_mtime_ns if status else None,
        changed_ns=changed_at(status) if status else None,
        inode=str(status.st_ino) if status and status.st_ino else None,
        disk_size=image.size,
        block_size=image.parameters.block_size,
        disk_id=str(image.parameters.disk_id),
        data_write_guid=str(image.data_write_guid),
        file_write_guid=str(image.header.file_write_guid),
        log_was_replayed=image.log_was_replayed,
        headers=tuple(_plain_header(header) for header in image.headers.copies),
        locator=locator if image.locator else None,
        matches=matches,
        claims=(),
    )


def _plain_header(header: Header) -> dict[str, int | str]:
    values = {name: getattr(header, name) for name in Header.__slots__}
    plain = {name: value if isinstance(value, int) else str(value) for name, value in values.items()}
    return plain | {"signature": header.signature.hex()}
