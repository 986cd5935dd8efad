"""A checkpoint chain: base, differencing files, leaf, read as the one disk that they make up."""

import logging
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from vhdx.contents import Opener, open_structures
from vhdx.disk_items import items_of_disk
from vhdx.errors import (
    ChainLoopError,
    ChainTooDeepError,
    CorruptFileError,
    NoSuchLayerError,
    SectorSizeMismatchError,
    UnusedParentsError,
)
from vhdx.findings import Finding, Severity
from vhdx.image import Image, lookup_of, open_image
from vhdx.layers import LayeredDisk
from vhdx.parents import Link, OnMismatch, Search, parents_of
from vhdx.paths import Mapping
from vhdx.reader import Find
from vhdx.source import FileSource
from vhdx.source_map import BESIDE, SourceMaps
from vhdx.structures.constants import MAX_CHAIN_DEPTH
from vhdx.structures.metadata import MetadataItem

_log = logging.getLogger("vhdx")


@dataclass(frozen=True, slots=True)
class StateName:
    """A file, and the layer of its chain that is meant: None is the file's own state."""

    path: Path
    layer: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`PATH`, or `PATH@N` for layer N (0 is the base) of its chain; a file of that whole name comes first."""
        match = re.fullmatch(r"(.+)@(\d+)", text, re.DOTALL)
        if match is None or Path(text).exists():
            return cls(Path(text))
        return cls(Path(match[1]), int(match[2]))


@dataclass(frozen=True, eq=False, repr=False)
class Chain(LayeredDisk[Image]):
    """Images from base (layer 0) to leaf, whose links were verified. A single base is a chain of one."""

    links: tuple[Link, ...]
    """How each layer's parent was found: link n joins layer n + 1 to layer n."""

    @property
    def items(self) -> tuple[MetadataItem, ...]:
        """What the leaf says of the disk beside its parameters; raises as `items_of_disk` does."""
        return items_of_disk(self.leaf.structures)

    @property
    def mismatches(self) -> tuple[Finding, ...]:
        """The links that were accepted although the parent's identity is not the one that the child names."""
        return tuple(
            Finding(
                "CHN-02",
                Severity.WARNING,
                f"{link.parent.path} was accepted as the parent of {child.path} although its identity "
                f"{link.parent.data_write_guid} is not the one it was made from; what is read may be a mixture",
                path=child.path,
            )
            for child, link in zip(self.layers[1:], self.links, strict=True)
            if not link.matches
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What opening found in any layer that is no error, and the links that do not match."""
        return self.mismatches + tuple(finding for layer in self.layers for finding in layer.findings)

    def upto(self, layer: int) -> Self:
        """The state of one layer: the chain that ends there. Raises NoSuchLayerError."""
        return replace(super().upto(layer), links=self.links[:layer])

    def layer_of(self, path: Path) -> int:
        """The layer that a path names; raises NoSuchLayerError."""
        for number, layer in enumerate(self.layers):
            # By file too: people name a layer by another path than the locator did.
            if path == layer.path or (path.exists() and path.samefile(layer.path)):
                return number
        raise NoSuchLayerError(self.path, str(path), len(self.layers))

    def lookup(self) -> Find | None:
        """See `Image.lookup`."""
        return lookup_of([*zip(self.layers, self.views, strict=True)], self.size)


def open_chain(
    path: Path | str,
    *,
    parents: Sequence[Path | str] | Path | str = (),
    search: Sequence[Path | str] | Path | str = (),
    mappings: Sequence[str] = (),
    on_mismatch: OnMismatch | str = OnMismatch.REFUSE,
    source_maps: SourceMaps = BESIDE,
    opened: Opener | None = None,
) -> Chain:
    r"""Open a leaf and all its parents, read-only, and verify each link.

    `parents` are given outright, from the leaf's parent to the base. `search` are folders whose files are tried by
    identity, after the child's own. `mappings` say where folders of the old host are: `C:\VMs=/mnt/nas`. `source_maps`
    are maps of GNU ddrescue that are not beside the files that they are of. `opened` opens the files, as one does
    that has them open already.

    Raises ChainError (parent not found, mismatch, loop, depth, sector sizes), CorruptFileError and the other errors
    of `open_image` for any layer, ValueError for a mapping or an `on_mismatch` that is none.
    """
    where = Search(
        parents=_paths(parents),
        folders=_paths(search),
        mappings=[Mapping.parse(text) for text in mappings],
        on_mismatch=OnMismatch(on_mismatch),
        opened=opened or partial(open_structures, maps=source_maps),
    )
    with ExitStack() as stack:
        leaf = open_image(path, opened=where.opened)
        stack.callback(leaf.close)
        links, growth = list[Link](), Growth(leaf)
        try:
            for link in parents_of(leaf, where):
                stack.callback(link.parent.close)
                links.append(link)
                growth.take(link.parent)
        except CorruptFileError as error:
            raise CorruptFileError(error.path, error.finding, leaf.path) from error
        unused = where.parents[len(links) :]
        if unused:
            raise UnusedParentsError(links[-1].parent.path if links else leaf.path, tuple(unused))
        stack.pop_all()
    layers = (leaf, *(link.parent for link in links))
    chain = Chain(tuple(reversed(layers)), tuple(reversed(links)))
    for finding in chain.mismatches:
        _log.warning("%s: %s", finding.path, finding)
    return chain


def _paths(given: Sequence[Path | str] | Path | str) -> list[Path]:
    """Paths as a list; a single one, which Python would take apart into letters, is a list of one."""
    return [Path(given)] if isinstance(given, (str, Path)) else [Path(path) for path in given]


class Growth:
    """A chain as it is opened from its leaf down, which refuses what cannot belong below the layers that it has."""

    def __init__(self, leaf: Image) -> None:
        """The chain of the leaf alone."""
        self._leaf = self._lowest = leaf
        self._depth, self._known = 1, {_identity(leaf)}

    def take(self, parent: Image) -> None:
        """Take the parent of the lowest layer; raises ChainLoopError, ChainTooDeepError, SectorSizeMismatchError."""
        child, self._lowest, identity = self._lowest, parent, _identity(parent)
        self._depth += 1
        if identity in self._known:
            raise ChainLoopError(parent.path)
        self._known.add(identity)
        if self._depth > MAX_CHAIN_DEPTH:
            raise ChainTooDeepError(self._leaf.path, MAX_CHAIN_DEPTH)
        if child.sector_size != parent.sector_size:
            raise SectorSizeMismatchError(child.path, child.sector_size, parent.path, parent.sector_size)


def _identity(image: Image) -> object:
    return image.file.identity if isinstance(image.file, FileSource) else id(image.file)
