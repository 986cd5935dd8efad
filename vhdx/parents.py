"""Who the parent is: by the locator's paths, then by identity among the folders that the user points at."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path, PureWindowsPath
from uuid import UUID

from vhdx.contents import Opener, Structures, open_structures
from vhdx.errors import (
    AmbiguousParentError,
    ChainError,
    CorruptFileError,
    FileInUseError,
    InputOutputError,
    NotRegularFileError,
    OutputError,
    ParentMismatchError,
    ParentNotFoundError,
    ShortReadError,
    require,
)
from vhdx.image import Image, image_of, open_image
from vhdx.paths import Mapping, Refused, locate
from vhdx.source import file_identity, read_at
from vhdx.structures.constants import MAX_CHAIN_DEPTH
from vhdx.structures.header import check_copies
from vhdx.structures.identifier import SIGNATURE, check_length

MOST_FILES = 100_000
"""Entries of a folder that are looked at: a mistyped --search / must end."""


class OnMismatch(Enum):
    """What to do with a parent whose identity is not the one that the child names."""

    REFUSE = "refuse"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where parents may be found."""

    parents: Sequence[Path] = ()
    """Files given outright, from the leaf's parent to the base; they come before every search."""
    folders: Sequence[Path] = ()
    """Folders whose files are tried by identity, after the child's own; those of their subfolders last."""
    mappings: Sequence[Mapping] = ()
    """Where folders of the old host are now."""
    on_mismatch: OnMismatch = OnMismatch.REFUSE
    opened: Opener = open_structures
    """How files are opened."""


class Found(Enum):
    """How a parent was found."""

    GIVEN = "given"
    PATH = "path"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Link:
    """A parent, opened, and how it belongs to its child."""

    parent: Image
    found: Found
    wanted: tuple[UUID, ...]
    """The identities that the child accepts."""

    @property
    def matches(self) -> bool:
        """The parent's identity is one that the child accepts."""
        return self.parent.data_write_guid in self.wanted


@dataclass
class _Tried:
    """Every place looked at, with what was wrong there; the files that may still be taken stay open."""

    child: Image
    wanted: tuple[UUID, ...]
    opened: Opener
    places: list[tuple[str, str]] = field(default_factory=list)
    mismatch: Structures | None = None
    """The first file where the parent should be that has another identity."""
    damaged: Structures | None = None
    """The first one there whose identity cannot be read."""
    in_use: FileInUseError | None = None
    """The first one there that another program has open."""
    kept: list[Structures] = field(default_factory=list)

    def candidate(self, path: Path) -> Structures:
        """The structures of a file, which stays open until the search ends, or `drop`."""
        self.kept.append(self.opened(path))
        return self.kept[-1]

    def drop(self, structures: Structures) -> None:
        """Close a file that cannot be the parent."""
        self.kept.remove(structures)
        structures.close()


def find_parent(child: Image, search: Search, given: Path | None) -> Link:
    """Open the parent of a differencing image.

    Raises ParentNotFoundError with every place looked at, ParentMismatchError, AmbiguousParentError, and whatever
    opening the parent raises; CorruptFileError when the locator is damaged and no parent is given.
    """
    if given is not None:
        return _given(child, given, search)
    # Only now: whoever opens the child alone, or names its parent, does not need the locator to be sound.
    require(child.path, child.locator_flaws)
    tried = _Tried(child, _wanted(child), search.opened)
    try:
        link = _find(tried, search)
        tried.kept.remove(link.parent.structures)
        return link
    finally:
        for structures in tried.kept:
            structures.close()


def _find(tried: _Tried, search: Search) -> Link:
    # A path is what the writer meant; identity finds what was moved or renamed. Both have to have the identity, and a
    # stranger at the path does not end the search: test_a_stranger_at_the_path_does_not_hide_the_parent_elsewhere.
    if (parent := _by_path(tried, search.mappings)) is not None:
        return Link(image_of(parent), Found.PATH, tried.wanted)
    if (twin := _by_identity(tried, search.folders)) is not None:
        return Link(image_of(twin), Found.IDENTITY, tried.wanted)
    return _last_resort(tried, search.on_mismatch)


def _wanted(child: Image) -> tuple[UUID, ...]:
    return child.locator.linkages if child.locator else ()


def _given(child: Image, path: Path, search: Search) -> Link:
    link = Link(open_image(path, opened=search.opened), Found.GIVEN, _wanted(child))
    if not link.matches and search.on_mismatch is OnMismatch.REFUSE:
        found = link.parent.data_write_guid
        link.parent.close()
        raise ParentMismatchError(child.path, path, link.wanted, found)
    return link


def _by_path(tried: _Tried, mappings: Sequence[Mapping]) -> Structures | None:
    child = tried.child
    for key, text in child.locator.paths if child.locator else ():
        place = locate(text, child.path.parent, mappings)
        if isinstance(place, Refused):
            tried.places.append((f"{key} {text}", place.reason))
            continue
        found = _try(tried, place)
        if isinstance(found, Structures):
            return found
        tried.places.append((f"{key} {text} -> {place}" if str(place) != text else f"{key} {text}", found))
    return None


def _try(tried: _Tried, path: Path) -> Structures | str:
    """The file at `path`, or why it is not the parent."""
    try:
        structures = tried.candidate(path)
        found = identity_of(structures)
    except NotRegularFileError:
        return "not a regular file"
    except InputOutputError as error:
        tried.in_use = tried.in_use or (error if isinstance(error, FileInUseError) else None)
        return error.reason
    except CorruptFileError as error:
        tried.damaged = tried.damaged or structures
        return error.finding.message
    if found in tried.wanted:
        return structures
    if found is None:
        tried.damaged = tried.damaged or structures
        return "not a VHDX file"
    tried.mismatch = tried.mismatch or structures
    return f"has another identity, {found}"


def _by_identity(tried: _Tried, folders: Sequence[Path]) -> Structures | None:
    own = tried.child.path.parent
    folders = [own, *(folder for folder in folders if os.path.realpath(folder) != os.path.realpath(own))]
    # Subfolders last: a copy in one of them does not make the parent that is in the folder ambiguous.
    found = _matches(tried, (path for one in folders for path in _files_of(one, tried, is_named=one is not own)))
    found = found or _matches(tried, (path for one in folders[1:] for path in _files_below(one, tried)))
    if len(found) > 1:
        raise AmbiguousParentError(tried.child.path, tried.wanted[0], tuple(match.file.path for match in found))
    return found[0] if found else None


def _matches(tried: _Tried, paths: Iterable[Path]) -> list[Structures]:
    # A file under two names, or in two folders by a link, is one candidate and not an ambiguity.
    known = {None, file_identity(tried.child.path)}
    found: list[Structures] = []
    for path in paths:
        identity = file_identity(path)
        if identity not in known and (match := _match(tried, path)) is not None:
            known.add(identity)
            found.append(match)
            if len(found) > 1:
                tried.drop(match)  # its path is enough to say so
    return found


def _files_below(folder: Path, tried: _Tried) -> list[Path]:
    """The files of all subfolders of one that the user named; links and what cannot be listed are passed over."""
    files = list(islice(_below(folder), MOST_FILES))
    tried.places.append((f"{folder}/", f"no file of the {len(files)} in its subfolders has the identity"))
    return files


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in islice(os.walk(folder), MOST_FILES):
        folders.sort()  # the order of the walk, the same every time
        if place != os.fspath(folder):
            yield from filter(os.path.isfile, (Path(place, name) for name in sorted(names)))


def _files_of(folder: Path, tried: _Tried, *, is_named: bool) -> list[Path]:
    """The files of a folder; raises InputOutputError where one that the user named cannot be listed."""
    try:
        entries = sorted(folder.iterdir())[:MOST_FILES]
    except OSError as error:
        reason = error.strerror or str(error)
        if is_named:  # a slip of the pen must not pass for an empty folder
            raise InputOutputError(folder, "list", reason) from error
        tried.places.append((f"{folder}/", f"it cannot be listed: {reason}"))
        return []
    files = [path for path in entries if os.path.isfile(path)]  # noqa: PTH113 - never raises
    tried.places.append((f"{folder}/", f"no file of the {len(files)} there has the identity"))
    return files


def _match(tried: _Tried, path: Path) -> Structures | None:
    """The file, if it is one that the child accepts. One that should say and cannot is noted: it may be the parent."""
    structures = None
    try:
        structures = tried.candidate(path)
        if identity_of(structures) in tried.wanted:
            return structures
    except InputOutputError as error:
        tried.places.append((str(path), f"it cannot be read: {error.reason}"))
    except CorruptFileError as error:
        tried.places.append((str(path), error.finding.message))
    except (NotRegularFileError, ShortReadError):  # it was replaced, or cut, since the folder was listed
        pass
    if structures is not None:
        tried.drop(structures)
    return None


def identity_of(structures: Structures) -> UUID | None:
    """The data_write_guid of a file, from its headers alone; None when it is no VHDX.

    Raises InputOutputError, ShortReadError, CorruptFileError for a VHDX without a valid header.
    """
    file = structures.file
    if file.size < len(SIGNATURE) or read_at(file, 0, len(SIGNATURE)) != SIGNATURE:
        return None
    require(file.path, check_length(file.size))
    headers = structures.headers.get()
    require(file.path, check_copies(headers))
    return headers.current.data_write_guid


def _last_resort(tried: _Tried, on_mismatch: OnMismatch) -> Link:
    child = tried.child
    if tried.mismatch is None and tried.damaged is not None:
        image_of(tried.damaged)  # raises, and says what is wrong with it
    if tried.mismatch is None and tried.in_use is not None:
        raise tried.in_use
    if tried.mismatch is None:
        names = [text for _, text in child.locator.paths] if child.locator else []
        wanted = tried.wanted[0] if tried.wanted else None
        raise ParentNotFoundError(child.path, wanted, names[0] if names else "", tuple(tried.places))
    found = identity_of(tried.mismatch)
    if on_mismatch is OnMismatch.REFUSE and found is not None:
        raise ParentMismatchError(child.path, tried.mismatch.file.path, tried.wanted, found)
    return Link(image_of(tried.mismatch), Found.PATH, tried.wanted)


def require_linked(child: Path, parent: Path, place: Path) -> None:
    """See that the locator of a new file leads to its parent; raises OutputError about `place`, the file's name to be.

    That is a name that no Windows path can have, or a place that none can lead to.
    """
    root = PureWindowsPath(parent.resolve()).drive
    # A share is never followed, unless somebody says where it is: here it is where this very parent is.
    shares = (Mapping.parse(f"{root}\\={root}\\"),) if root.startswith("\\\\") else ()
    refusal = OutputError(place, f"its locator does not lead to {parent}", "rename the parent, or its folder")
    try:
        with open_image(child) as image:
            link = find_parent(image, Search(mappings=shares), None)
            link.parent.close()
    except ChainError as error:
        raise refusal from error
    if link.found is not Found.PATH or file_identity(link.parent.path) != file_identity(parent):
        raise refusal


def parents_of(leaf: Image, search: Search) -> Iterator[Link]:
    """The parents of `leaf`, nearest first, down to the base; raises as `find_parent` does."""
    given: Iterable[Path | None] = (*search.parents, *[None] * MAX_CHAIN_DEPTH)
    child = leaf
    for path in given:
        if not child.has_parent:
            return
        link = find_parent(child, search, path)
        yield link
        child = link.parent
