"""A child joined to its parent anew: what its parent locator says, rewritten (the job of Windows' Set-VHD)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from uuid import UUID

from analyzer.convert.model import parent_locator
from analyzer.repair.plan import finished
from analyzer.repair.structures import update_headers
from analyzer.repair.workspace import RepairPlan, Workspace
from vhdx.chain import Chain, open_chain
from vhdx.errors import (
    ChainTooDeepError,
    IdentityDiffersError,
    OutputError,
    OwnAncestorError,
    OwnParentError,
    ParentNotFoundError,
    SectorSizeMismatchError,
)
from vhdx.findings import Finding, Severity
from vhdx.identities import Identities, random_identities
from vhdx.image import Image, image_from
from vhdx.parents import Found
from vhdx.paths import locate
from vhdx.ranges import Range, Ranges
from vhdx.source import FileSource, file_identity
from vhdx.structures import locator as keys
from vhdx.structures.constants import (
    MAX_CHAIN_DEPTH,
    MAX_ITEM_SIZE,
    MAX_TABLE_ENTRIES,
    METADATA_REGION,
    METADATA_TABLE_SIZE,
    NIL,
    PARENT_LOCATOR,
)
from vhdx.structures.locator import ParentLocator, build_locator
from vhdx.structures.metadata import ITEM_FLAGS, MetadataEntry, build_metadata_table
from vhdx.structures.region import RegionEntry

Pairs = list[tuple[str, str]]
# The length of a text in a locator has 16 bits, and UTF-16 needs an even number.
_LONGEST_TEXT = (1 << 16) - 2
_ENTRY_SIZE = 32  # head and entries of the metadata table alike, [MS-VHDX] 2.6.1


class Identity(Enum):
    """What to do when the parent has another identity than the child names."""

    REFUSE = "refuse"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relink:
    """What is wanted. `windows_path` is the parent's on the host that will use the file; folders help to find parents.

    `place` is where the changed file will be: relative paths count from its folder.
    """

    parent: Path
    place: Path
    identity: Identity = Identity.REFUSE
    windows_path: str = ""
    search: Sequence[Path] = ()
    mappings: Sequence[str] = ()
    identities: Identities = random_identities


def plan_relink(source: FileSource, wish: Relink) -> RepairPlan:
    """The patches that make the child in `source` name its parent.

    Raises IdentityDiffersError, SectorSizeMismatchError, OwnAncestorError, ChainTooDeepError, OutputError for a file
    that has no parent, whose log is live or whose metadata has no room; and what opening either chain raises.
    """
    child = image_from(source)
    if source.identity == file_identity(wish.parent):
        raise OwnParentError(source.path, wish.parent)
    _require_child(child)
    with open_chain(wish.parent, search=wish.search, mappings=wish.mappings) as chain:
        _require_fitting(child, source, chain, wish)
        pairs = _new_pairs(child.locator, chain.leaf, wish)
        moved = chain.leaf.data_write_guid not in _linkages(child.locator)
    work = Workspace.of(child.structures)
    if child.locator is None or child.locator_flaws or pairs != _pairs_of(child.locator):
        code, what = ("CHN-02", "identity and place") if moved else ("CHN-01", "place")
        _rewrite(work, child, build_locator(pairs), code, f"the parent locator names the {what} of {wish.parent}")
        if moved:
            text = f"{wish.parent} was accepted as the parent though the child was not made from it"
            mixture = Finding("CHN-02", Severity.WARNING, f"{text}; the disk may be a mixture", section="2.6.2.6")
            work.unfixable.append(mixture)
        update_headers(work, code, "its parent locator changes", wish.identities)
    return finished(work, lambda _, path: _require_linked(path, wish))


def _require_child(child: Image) -> None:
    if not child.has_parent:
        raise OutputError(child.path, "it is no differencing file, so it has no parent", "name a checkpoint (.avhdx)")
    if child.log_was_replayed:  # replayed later, it would write over the new locator
        advice = f"apply it first with `vhdx repair {child.path} --in-place`, or --output COPY"
        raise OutputError(child.path, "its log is dirty", advice)


def _require_fitting(child: Image, source: FileSource, chain: Chain, wish: Relink) -> None:
    parent = chain.leaf
    files = {file_identity(layer.path) for layer in chain.layers}
    if source.identity in files or (wish.place.exists() and file_identity(wish.place) in files):
        is_itself = file_identity(wish.place) == file_identity(parent.path)
        raise (OwnParentError if is_itself else OwnAncestorError)(wish.place, parent.path)
    if len(chain.layers) >= MAX_CHAIN_DEPTH:
        raise ChainTooDeepError(child.path, MAX_CHAIN_DEPTH)
    if child.sector_size != parent.sector_size:
        raise SectorSizeMismatchError(child.path, child.sector_size, parent.path, parent.sector_size)
    wanted = _linkages(child.locator)
    if parent.data_write_guid not in wanted and wish.identity is Identity.REFUSE:
        raise IdentityDiffersError(child.path, parent.path, wanted, parent.data_write_guid)


def _linkages(locator: ParentLocator | None) -> tuple[UUID, ...]:
    return locator.linkages if locator else ()


def _pairs_of(locator: ParentLocator | None) -> Pairs:
    """The keys and values that can be read, each key once."""
    return list(locator.pairs.items()) if locator else []


def _new_pairs(locator: ParentLocator | None, parent: Image, wish: Relink) -> Pairs:
    """The locator's pairs in their order, with the paths of the parent's place and, where accepted, its identity.

    Paths that cannot be known here are kept only when the relative path stays as it was: then nothing has moved.
    """
    old = dict(_pairs_of(locator))
    new = dict(parent_locator(parent.path, wish.place, parent.data_write_guid))
    if wish.windows_path:
        new[keys.ABSOLUTE_PATH] = wish.windows_path
    elif keys.ABSOLUTE_PATH not in old and old.get(keys.RELATIVE_PATH) == new.get(keys.RELATIVE_PATH):
        new.pop(keys.ABSOLUTE_PATH, None)  # the child does without, and nothing has moved
    _require_reachable(new, parent, wish)
    if parent.data_write_guid in _linkages(locator):
        del new[keys.LINKAGE]
    elif keys.LINKAGE2 in old:
        new[keys.LINKAGE2] = f"{{{NIL}}}"
    if old.get(keys.RELATIVE_PATH) != new.get(keys.RELATIVE_PATH):
        for path in (keys.RELATIVE_PATH, keys.VOLUME_PATH, keys.ABSOLUTE_PATH):
            old.pop(path, None)
    return list((old | new).items())


def _require_reachable(pairs: dict[str, str], parent: Image, wish: Relink) -> None:
    """Refuse names that no reader of the locator would come back with."""
    for value in pairs.values():
        if len(value.encode("utf-16-le", "replace")) > _LONGEST_TEXT:
            raise OutputError(parent.path, "its path is too long for a parent locator", "move it to a shorter one")
    relative = pairs.get(keys.RELATIVE_PATH)
    found = locate(relative, wish.place.parent, ()) if relative else parent.path
    if not isinstance(found, Path) or file_identity(found) != file_identity(parent.path):
        raise OutputError(parent.path, "a Windows path cannot name it", "rename it, or move it beside the child")


def _rewrite(work: Workspace, child: Image, item: bytes, code: str, title: str) -> None:
    """Put the item into the metadata region and its place into the table."""
    region = child.regions.current.find(METADATA_REGION)
    if region is None:  # the image is open, so it is there
        raise OutputError(child.path, "it has no metadata region", "use another copy of the file")
    entry = child.metadata.find(PARENT_LOCATOR) or MetadataEntry(PARENT_LOCATOR, 0, 0, ITEM_FLAGS[PARENT_LOCATOR], 0)
    place = _place(child, region, entry, len(item))
    table = work.read(region.file_offset, METADATA_TABLE_SIZE)
    changed = _table_with(child, replace(entry, offset=place, length=len(item)))
    stays = place == entry.offset
    padded = item.ljust(entry.length, b"\0") if stays else item
    where = "in its place" if stays else f"in free room of the metadata region, {place} bytes from its start"
    evidence = f"the parent was opened with its whole chain; the new item of {len(item)} bytes stands {where}"
    changes = ((region.file_offset + place, padded), (region.file_offset, changed + table[len(changed) :]))
    work.fix(code, title, evidence, *changes)


def _table_with(child: Image, entry: MetadataEntry) -> bytes:
    """The table's front, up to the end of its last entry, with this entry in it."""
    metadata, known = child.metadata, child.metadata.find(PARENT_LOCATOR)
    entries = tuple(entry if other is known else other for other in metadata.entries)
    if known is None:
        entries = (*entries, entry)
    if len(entries) > MAX_TABLE_ENTRIES:
        raise OutputError(child.path, "its metadata table is full", "merge it instead (`vhdx merge --parent FILE`)")
    page = build_metadata_table(replace(metadata, entry_count=len(entries), entries=entries))
    return page[: (len(entries) + 1) * _ENTRY_SIZE]


def _place(child: Image, region: RegionEntry, own: MetadataEntry, length: int) -> int:
    """Where `length` bytes fit: where the item is, else the first free room of the region, bytes from its start."""
    others = (Range(entry.offset, entry.length) for entry in child.metadata.entries if entry != own)
    free = Ranges.of(others).gaps(Range.between(METADATA_TABLE_SIZE, region.length))
    if length <= MAX_ITEM_SIZE:
        if own.length and free.covers(Range(own.offset, length)):
            return own.offset
        for room in free:
            if room.length >= length:
                return room.start
    reason = f"its metadata region has no room for a parent locator of {length} bytes"
    raise OutputError(child.path, reason, "shorten the parent's path, or merge the file instead")


def _require_linked(path: Path, wish: Relink) -> None:
    """Open the chain by what the locator says; raises ChainError when that does not lead to the parent wanted."""
    with open_chain(path, search=wish.search, mappings=wish.mappings) as chain:
        link = chain.links[-1]
        if link.found is not Found.PATH or file_identity(link.parent.path) != file_identity(wish.parent):
            tried = (str(link.parent.path), f"found by {link.found.value}, not by the new path")
            raise ParentNotFoundError(path, link.parent.data_write_guid, str(wish.parent), (tried,))
