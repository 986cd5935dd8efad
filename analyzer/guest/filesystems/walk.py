"""The walk over the folders of a volume, whoever tells what is in each."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from analyzer.guest.filesystems.record import ORPHANS, FileKind, FileRecord, FileState, Include

# No path can be so deep on any system; folders that contain one another are.
_MOST_DEPTH = 4096


class Begun(NamedTuple):
    """A folder: the files that follow, up to the next one, are in it."""

    record: FileRecord


class Said(NamedTuple):
    """What is wrong at a path."""

    path: str
    text: str


Item = Begun | FileRecord | Said


class Walkable(Protocol):
    """A volume, folder by folder."""

    def root(self) -> Iterator[Item]:
        """The topmost folder."""
        ...

    def entries(self, include: Include, folder: FileRecord) -> Iterator[Item]:
        """What is in one folder, in the order of the file system."""
        ...

    def is_part(self) -> bool:
        """Whether there may be files that no folder leads to, although all folders could be read."""
        ...

    def unreached(self, include: Include, seen: set[int], named: set[int]) -> Iterator[Item]:
        """What a walk did not come to: the records are there, the names that led to them are lost or overwritten.

        First folders, with what is in them; then files of which no folder has a name any more. `seen` are the addresses
        of folders that were listed, `named` those of files.
        """
        ...


def walk(volume: Walkable, include: Include, top: FileRecord | None, *, is_torn: bool = False) -> Iterator[Item]:
    """Every folder from `top` (the root) down, each once, with what is in it; memory grows with folders alone.

    With `is_torn` folders may be older than what is in them, though each can be listed: of a disk of two halves so
    six of 120 files came back that no folder names.
    """
    seen, named = set[int](), set[int]()
    for item in volume.root() if top is None else (top,):
        for found in below(volume, item, include, seen, named) if isinstance(item, FileRecord) else (item,):
            is_torn = is_torn or _is_torn(found)
            yield found
    if (top is None or not top.path) and (is_torn or volume.is_part()):
        yield from volume.unreached(include, seen, named)


def below(volume: Walkable, top: FileRecord, include: Include, seen: set[int], named: set[int]) -> Iterator[Item]:
    """A folder and all folders below it that are not among those `seen`, which grow, as what is `named` does."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if folder.address in seen:
            yield Said(folder.path, "the folder is also elsewhere, or inside itself: it is listed once")
            continue
        seen.add(folder.address)
        yield Begun(folder)
        inside: list[FileRecord] = []
        for item in volume.entries(include, folder):
            yield item
            if not isinstance(item, FileRecord):
                continue
            named.add(item.address)
            if not _is_open_folder(item):
                continue
            if item.path.count("/") > _MOST_DEPTH:
                yield Said(item.path[:200], "folders are nested too deeply: what is below is not listed")
            elif item.path != ORPHANS or include is Include.DELETED:  # what is in it takes a look at all inodes
                inside.append(item)
        waiting.extend(reversed(inside))


def _is_torn(item: Item) -> bool:
    """Whether a folder could not be listed whole, or not at all."""
    if isinstance(item, FileRecord):
        return item.kind is FileKind.DIRECTORY and item.state is FileState.ALLOCATED and bool(item.obstacle)
    return isinstance(item, Said)


def _is_open_folder(record: FileRecord) -> bool:
    is_open = record.state is not FileState.OVERWRITTEN and record.obstacle is None
    return record.kind is FileKind.DIRECTORY and (is_open or record.state is FileState.ALLOCATED)
