"""Who the parent is: by the locator's paths, then by identity among the folders that the user points at."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from uuid import UUID

from vhdx.errors import (
    AmbiguousParentError,
    CorruptFileError,
    InputOutputError,
    NotRegularFileError,
    ParentMismatchError,
    ParentNotFoundError,
    ShortReadError,
    require,
)
from vhdx.image import Image, open_image
from vhdx.paths import Mapping, Refused, locate
from vhdx.source import FileSource, Opener, file_identity, read_at
from vhdx.structures.constants import HEADER_OFFSETS, HEADER_SIZE, MAX_CHAIN_DEPTH
from vhdx.structures.header import check_copies, judge_headers
from vhdx.structures.identifier import SIGNATURE, check_length

_MOST_FILES = 100_000
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
    """Folders whose files are tried by identity, after the child's own."""
    mappings: Sequence[Mapping] = ()
    """Where folders of the old host are now."""
    on_mismatch: OnMismatch = OnMismatch.REFUSE
    opened: Opener = FileSource
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
    """Every place looked at, with what was wrong there."""

    child: Image
    wanted: tuple[UUID, ...]
    opened: Opener
    places: list[tuple[str, str]] = field(default_factory=list)
    mismatch: tuple[Path, UUID] | None = None
    damaged: Path | None = None
    """A file that stands where the parent should and cannot be opened."""


def find_parent(child: Image, search: Search, given: Path | None) -> Link:
    """Open the parent of a differencing image.

    Raises ParentNotFoundError with every place looked at, ParentMismatchError, AmbiguousParentError, and whatever
    opening the parent raises; CorruptFileError when the locator is damaged and no parent is given.
    """
    if given is not None:
        return _given(child, given, search)
    require(child.path, child.locator_flaws)
    tried = _Tried(child, _wanted(child), search.opened)
    path = next(_by_path(tried, search.mappings), None)
    if path is not None:
        return Link(open_image(path, opened=search.opened), Found.PATH, tried.wanted)
    twin = _by_identity(tried, search.folders)
    if twin is not None:
        return Link(open_image(twin, opened=search.opened), Found.IDENTITY, tried.wanted)
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


def _by_path(tried: _Tried, mappings: Sequence[Mapping]) -> Iterator[Path]:
    child = tried.child
    for key, text in child.locator.paths if child.locator else ():
        place = locate(text, child.path.parent, mappings)
        if isinstance(place, Refused):
            tried.places.append((f"{key} {text}", place.reason))
            continue
        reason = _try(tried, place)
        if reason is None:
            yield place
        else:
            tried.places.append((f"{key} {text} -> {place}" if str(place) != text else f"{key} {text}", reason))


def _try(tried: _Tried, path: Path) -> str | None:
    """Why the file at `path` is not the parent; None when it is."""
    try:
        found = identity_of(path, opened=tried.opened)
    except NotRegularFileError:
        return "not a regular file"
    except InputOutputError as error:
        return error.reason
    except CorruptFileError as error:
        tried.damaged = tried.damaged or path
        return error.finding.message
    if found is None:
        tried.damaged = tried.damaged or path
        return "not a VHDX file"
    if found in tried.wanted:
        return None
    tried.mismatch = tried.mismatch or (path, found)
    return f"has another identity, {found}"


def _by_identity(tried: _Tried, folders: Sequence[Path]) -> Path | None:
    own = tried.child.path.parent
    matches: dict[tuple[int, int] | None, Path] = {}
    for folder in (own, *(folder for folder in folders if os.path.realpath(folder) != os.path.realpath(own))):
        try:
            files = _files_of(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            if folder is not own:  # named by the user: a slip of the pen must not pass for an empty folder
                raise InputOutputError(folder, "list", reason) from error
            tried.places.append((f"{folder}/", f"it cannot be listed: {reason}"))
            continue
        for path in files:
            identity = file_identity(path)
            if identity not in {None, file_identity(tried.child.path)} and _has_identity(path, tried):
                matches.setdefault(identity, path)
        tried.places.append((f"{folder}/", f"no file of the {len(files)} there has the identity"))
    if len(matches) > 1:
        raise AmbiguousParentError(tried.child.path, tried.wanted[0], tuple(matches.values()))
    return next(iter(matches.values()), None)


def _files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir())[:_MOST_FILES] if os.path.isfile(path)]  # noqa: PTH113 - never raises


def _has_identity(path: Path, tried: _Tried) -> bool:
    """Whether a file is one that the child accepts. One that should tell and cannot is noted: it may be the parent."""
    try:
        found = identity_of(path, opened=tried.opened)
    except InputOutputError as error:
        tried.places.append((str(path), f"it cannot be read: {error.reason}"))
        return False
    except (NotRegularFileError, ShortReadError):  # it was replaced, or cut, since the folder was listed
        return False
    except CorruptFileError as error:
        tried.places.append((str(path), error.finding.message))
        return False
    return found in tried.wanted


def identity_of(path: Path, *, opened: Opener = FileSource) -> UUID | None:
    """The data_write_guid of a file, from its headers alone; None when it is no VHDX.

    Raises NotRegularFileError, InputOutputError, CorruptFileError for a VHDX without a valid header.
    """
    with opened(path) as source:
        if source.size < len(SIGNATURE) or read_at(source, 0, len(SIGNATURE)) != SIGNATURE:
            return None
        require(path, check_length(source.size))
        first, second = (read_at(source, offset, HEADER_SIZE) for offset in HEADER_OFFSETS)
    headers = judge_headers((first, second))
    require(path, check_copies(headers))
    return headers.current.data_write_guid


def _last_resort(tried: _Tried, on_mismatch: OnMismatch) -> Link:
    child = tried.child
    if tried.mismatch is None and tried.damaged is not None:
        open_image(tried.damaged, opened=tried.opened).close()  # raises, and says what is wrong with it
    if tried.mismatch is None:
        names = [text for _, text in child.locator.paths] if child.locator else []
        wanted = tried.wanted[0] if tried.wanted else None
        raise ParentNotFoundError(child.path, wanted, names[0] if names else "", tried.places)
    path, found = tried.mismatch
    if on_mismatch is OnMismatch.REFUSE:
        raise ParentMismatchError(child.path, path, tried.wanted, found)
    return Link(open_image(path, opened=tried.opened), Found.PATH, tried.wanted)


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
