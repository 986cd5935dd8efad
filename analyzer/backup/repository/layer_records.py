"""What a layer of a chain is known by, and which chunks of the disk it claims: the proof that it needs no reading."""

from dataclasses import dataclass, replace

from vhdx.ranges import Range


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
