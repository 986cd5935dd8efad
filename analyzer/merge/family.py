"""The other files beside a chain that were made upon one of its layers, found by identity."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from uuid import UUID

from analyzer.merge.model import Family
from vhdx.chain import Chain
from vhdx.contents import open_structures
from vhdx.errors import VhdxError
from vhdx.image import Image
from vhdx.parents import MOST_FILES
from vhdx.source import file_identity, read_if_possible
from vhdx.structures.identifier import SIGNATURE

MERGED = ".merged"
"""What is added to the name of a file that was merged."""


def find_family(chain: Chain, layer: int) -> Family:
    """Who else in the folders of the parent and the leaf was made upon layer `layer` of the chain or one above it.

    A file that cannot be read is no obstacle: nothing can be made of it anyway.
    """
    lower = chain.layers[layer + 1].locator
    changed = {chain.layers[layer].data_write_guid, *(lower.linkages if lower else ())}
    changed |= {image.data_write_guid for image in chain.layers[layer + 1 : -1]}
    own = {file_identity(image.path) for image in chain.layers}
    siblings, grandchildren, leftovers = list[Path](), list[Path](), list[Path]()
    for path, linkages in _children(chain.layers[number].path.parent for number in range(layer, len(chain.layers))):
        if file_identity(path) in own:
            continue
        if changed & set(linkages):
            (leftovers if path.name.endswith(MERGED) else siblings).append(path)
        elif chain.leaf.data_write_guid in linkages:
            grandchildren.append(path)
    return Family(siblings=tuple(siblings), grandchildren=tuple(grandchildren), leftovers=tuple(leftovers))


def children_beside(image: Image) -> tuple[Path, ...]:
    """The differencing files in the folder of a file that were made upon it."""
    found = _children([image.path.parent])
    return tuple(path for path, linkages in found if image.data_write_guid in linkages)


def parents_named(beside: Path) -> Iterator[tuple[UUID, Path]]:
    """The identities that other files in the folder of a file name as their parents', each with the file.

    It is for a file that does not open, whose own identity is not known. A folder that cannot be listed names none.
    """
    own = file_identity(beside)
    with suppress(OSError):
        found = _children([beside.parent])
        yield from ((linkage, path) for path, linkages in found if file_identity(path) != own for linkage in linkages)


def _children(folders: Iterable[Path]) -> Iterator[tuple[Path, tuple[UUID, ...]]]:
    """The differencing files of the folders, each with the identities that its parent may have."""
    for folder in sorted({os.path.realpath(folder) for folder in folders}):
        for path in sorted(islice(Path(folder).iterdir(), MOST_FILES)):
            if path.is_file() and (linkages := _linkages(path)):
                yield path, linkages


def _linkages(path: Path) -> tuple[UUID, ...]:
    with suppress(VhdxError), closing(open_structures(path)) as structures:
        is_vhdx = read_if_possible(structures.file, 0, len(SIGNATURE)) == SIGNATURE
        if is_vhdx and (locator := structures.locator.value):
            return locator.linkages
    return ()


def retired_name(path: Path) -> Path:
    """What a merged file is called that is kept."""
    return path if path.name.endswith(MERGED) else path.with_name(path.name + MERGED)
