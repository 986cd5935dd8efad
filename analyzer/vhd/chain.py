"""A chain of VHD files, read as the one disk that they make up: its parents found, each link verified."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from analyzer.vhd.image import VhdImage, footer_at, open_vhd
from analyzer.vhd.structures import Footer
from vhdx.errors import (
    AmbiguousParentError,
    ChainError,
    ChainLoopError,
    ChainTooDeepError,
    ParentMismatchError,
    ParentNotFoundError,
    UnusedParentsError,
)
from vhdx.findings import Finding, Severity
from vhdx.layers import LayeredDisk
from vhdx.parents import MOST_FILES, OnMismatch, Search
from vhdx.paths import Refused, locate
from vhdx.source import file_identity
from vhdx.source_map import BESIDE, SourceMaps
from vhdx.structures.constants import MAX_CHAIN_DEPTH


class _ParentNotFoundError(ParentNotFoundError):
    """See ParentNotFoundError."""

    identity: ClassVar[str] = "unique id"


class _ParentMismatchError(ParentMismatchError):
    """See ParentMismatchError."""

    identity: ClassVar[str] = "unique id"


class ParentWrittenSinceError(ChainError):
    """The parent has the identity that the child names, and another time stamp: it was written since."""

    child: Path
    parent: Path
    text = (
        "{parent} has another time stamp than {child} names: it was written since, so what is read may be a mixture; "
        "name the right parent with --parent, or take this one with --on-mismatch accept"
    )


@dataclass(frozen=True, eq=False, repr=False)
class VhdChain(LayeredDisk[VhdImage]):
    """VHD files from base (layer 0) to leaf, whose links were verified. A single base is a chain of one."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """See Disk; also each parent that was accepted although it is not the one that the child names."""
        links = zip(self.layers[1:], self.layers, strict=False)
        accepted = (_accepted(child, parent) for child, parent in links if not fits(child, parent))
        return (*accepted, *(finding for layer in self.layers for finding in layer.findings))


def open_vhd_chain(path: Path, where: Search | None = None, maps: SourceMaps = BESIDE) -> VhdChain:
    """Open a VHD and all its parents, read-only, and verify each link.

    Raises ChainError (parent not found, another, written since, loop, depth), CorruptFileError and the other errors of
    `open_vhd` for any layer.
    """
    search = where or Search()
    with ExitStack() as stack:
        layers = [stack.enter_context(open_vhd(path, maps))]
        for given in (*search.parents, *[None] * MAX_CHAIN_DEPTH):
            if not layers[0].has_parent:
                break
            layers.insert(0, stack.enter_context(find_parent(layers[0], search, given, maps)))
            if layers[0].source.identity in {layer.source.identity for layer in layers[1:]}:
                raise ChainLoopError(layers[0].path)
        if layers[0].has_parent:
            raise ChainTooDeepError(path, MAX_CHAIN_DEPTH)
        if unused := search.parents[len(layers) - 1 :]:
            raise UnusedParentsError(layers[0].path, tuple(unused))
        stack.pop_all()
    return VhdChain(tuple(layers))


def fits(child: VhdImage, parent: VhdImage) -> bool:
    """The parent is the one that the child names, and as it was then, as far as the child says when."""
    return parent.footer.unique_id == _wanted(child) and _is_as_then(child, parent.footer)


def _is_as_then(child: VhdImage, parent: Footer) -> bool:
    # Windows itself leaves the time stamp out: dfvfs's fat-differential.vhd, made by it, has 0.
    stamp = child.header.parent_time_stamp if child.header else 0
    return stamp in (0, parent.time_stamp)


def _wanted(child: VhdImage) -> UUID:
    return child.header.parent_unique_id if child.header else UUID(int=0)


def _accepted(child: VhdImage, parent: VhdImage) -> Finding:
    text = (
        f"{parent.path} was accepted as the parent of {child.path} although it is not as the child names it; what is "
        "read may be a mixture"
    )
    code = "VHD-07" if parent.footer.unique_id == _wanted(child) else "CHN-02"
    return Finding(code, Severity.WARNING, text, path=child.path)


def find_parent(child: VhdImage, search: Search, given: Path | None, maps: SourceMaps = BESIDE) -> VhdImage:
    """Open the parent of a differencing file: the one that is given, the one at its paths, or the one of its identity.

    Raises ChainError where there is none, or another, and as `open_vhd` does for the parent.
    """
    tried: list[tuple[str, str]] = []
    place = given or _place(child, search, tried)
    if place is None:
        hint = next((path for _, path in child.parent_paths()), "")
        raise _ParentNotFoundError(child.path, _wanted(child), hint, tuple(tried))
    parent = open_vhd(place, maps)
    if fits(child, parent) or search.on_mismatch is OnMismatch.ACCEPT:
        return parent
    parent.close()
    if parent.footer.unique_id == _wanted(child):
        raise ParentWrittenSinceError(child.path, place)
    raise _ParentMismatchError(child.path, place, (_wanted(child),), parent.footer.unique_id)


def _place(child: VhdImage, search: Search, tried: list[tuple[str, str]]) -> Path | None:
    """Where the parent is: by the child's paths, by identity, else a stranger at one of the paths."""
    at_paths = list(_at_paths(child, search, tried))
    for place, footer in at_paths:
        if footer.unique_id == _wanted(child):
            return place
    found = _by_identity(child, search.folders, tried)
    return found or next((place for place, _ in at_paths), None)


def _at_paths(child: VhdImage, search: Search, tried: list[tuple[str, str]]) -> Iterator[tuple[Path, Footer]]:
    """The VHD files where the child says that its parent is."""
    for key, text in child.parent_paths():
        place = locate(text, child.path.parent, search.mappings)
        footer = None if isinstance(place, Refused) else footer_at(place)
        if isinstance(place, Refused):
            tried.append((f"{key} {text}", place.reason))
        elif footer is None:
            tried.append((f"{key} {text}", "no VHD is there"))
        else:
            yield place, footer


def _by_identity(child: VhdImage, folders: Sequence[Path], tried: list[tuple[str, str]]) -> Path | None:
    """The file with the identity that the child names, in its own folder, then below those of the search.

    Raises AmbiguousParentError where several have it, and the time stamp does not tell which is meant.
    """
    for folder, names in (
        (child.path.parent, child.path.parent.glob("*")),
        *((one, one.rglob("*")) for one in folders),
    ):
        files = sorted(islice(names, MOST_FILES))
        footers = {path: footer for path in files if (footer := footer_at(path))}
        same = [path for path, footer in footers.items() if footer.unique_id == _wanted(child)]
        # Copies of one disk share its id: the one is meant that is as it was when the child was made.
        same = [path for path in same if _is_as_then(child, footers[path])] or same
        if len({file_identity(path) for path in same}) > 1:
            raise AmbiguousParentError(child.path, _wanted(child), tuple(same))
        if same:
            return same[0]
        tried.append((f"{folder}/", f"no file of the {len(files)} there has the identity"))
    return None
