"""An image that `vhdx recover` wrote, read by the map beside it: what the map has as lost is lost, not zeros."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.recovery_map.beside import accounts_beside, front_of, maps_beside
from analyzer.recovery_map.mapfile import Status, is_of_carved, is_own_mapfile, read_mapfile
from analyzer.text import size
from vhdx.chain import Chain
from vhdx.disk import Disk, Mask, MaskedDisk
from vhdx.errors import OutputError, VhdxError
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Range, Ranges, union
from vhdx.runs import Kind

_HEAD = re.compile(rb"# Mapfile\. Created by vhdx recover\r?\n# Disk: ([0-9a-f-]{36}(?: [ -~]+)?)\r?\n")
# How the account of a recovery begins, and that of one by which something is lost or stale.
_BEGIN = rb'\{\s*"schema": "vhdx/1",\s*"tool": \{[^}]*\},\s*"command": "recover"'
_OF_ANY, _ACCOUNT = re.compile(_BEGIN), re.compile(_BEGIN + rb'(?!.*"complete": true)', re.DOTALL)
# All comments of a map are in front; a file of another program is refused without reading it whole.
_HEAD_LENGTH = 1 << 16


class UnusableMapError(VhdxError):
    """What is in the place of an image's map cannot be used; `account` says that something is lost or stale."""

    path: Path
    image: Path
    reason: str
    account: Path | None = None

    def __str__(self) -> str:
        known = f", and {self.account} says that parts of the image are lost or stale" if self.account else ""
        return (
            f"{self.path} stands beside {self.image} and cannot be gone by: {self.reason}{known}; nothing tells which "
            "of what is read here was lost; bring the right map back, or move this one away if nothing was recovered"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What the map beside an image says of its disk: which ranges are lost, which in doubt."""

    map: Path
    lost: Ranges
    stale: Ranges

    def mask(self, disk_size: int) -> Mask:
        """What is lost of a disk of that many bytes."""
        return Mask.of(self.lost, disk_size, f"{self.map} has it as lost")

    def __str__(self) -> str:
        lost, stale = size(self.lost.size), size(self.stale.size)
        return (
            f"{lost} of it are lost, {stale} are in doubt (older, rebuilt without proof, or at odds with their place)"
        )


class MappedDisk(MaskedDisk):
    """A disk by its map: LOST where that says so, whatever fills the image there."""

    def __init__(self, inner: Disk, standing: Standing) -> None:
        """Read `inner`, which is closed with this."""
        self.standing, self.map, self.lost, self.stale = standing, standing.map, standing.lost, standing.stale
        super().__init__(inner, standing.mask(inner.size))


def by_map(disk: Disk) -> Disk:
    """The disk as the maps beside its files have it; the disk itself where there are none. Raises UnusableMapError."""
    found = standing_of_chain(disk) if isinstance(disk, Chain) else standing_of(disk.path, disk.size)
    return disk if found is None else MappedDisk(disk, found)


def standing_of_chain(chain: Chain) -> Standing | None:
    """What the maps beside its files say of what a chain shows of each; None where none of them has one."""
    standings = [standing_of(image.path, image.size) for image in chain.layers]
    maps = [standing.map for standing in standings if standing]
    if not maps:
        return None
    lost, stale = list[Ranges](), list[Ranges]()
    for table in replace(chain, layers=tuple(map(masked, chain.layers, standings))).windows():
        lost.append(table.of_kind(Kind.LOST).ranges)
        shown = ((standing, table.select(table.layer == layer)) for layer, standing in enumerate(standings))
        stale += [standing.stale & of_layer.ranges for standing, of_layer in shown if standing]
    return Standing(maps[0], union(lost), union(stale) - union(lost))


def masked(image: Image, standing: Standing | None) -> Image:
    """The image, with LOST what a map has as lost."""
    if standing is None or not standing.lost:
        return image
    return replace(image, masks=(*image.masks, standing.mask(image.size)))


def without_map(disk: Disk) -> Disk:
    """The image itself."""
    return disk.inner if isinstance(disk, MappedDisk) else disk


def standing_of(image: Path, disk_size: int) -> Standing | None:
    """What the map beside an image, or beside what a link leads to, says; None where `vhdx recover` left none there.

    A map that ddrescue made is about reading the file, not about the disk in it, and is left alone. Raises
    UnusableMapError where there is a file of the map's name, and nothing that could be about a disk of this size.
    """
    refusal: UnusableMapError | None = None
    for path in maps_beside(image):
        try:
            return _read(path, image, disk_size)
        except UnusableMapError as error:
            refusal = refusal or error
    if refusal:
        raise refusal
    return None


def standing_if_usable(image: Path, disk_size: int) -> Standing | None:
    """As `standing_of`, and None of a map that cannot be used, which `map_in_words` says."""
    try:
        return standing_of(image, disk_size)
    except UnusableMapError:
        return None


def standing_or_doubt(image: Path, disk_size: int) -> Standing | None:
    """As `standing_of`; where only the map is damaged, or gone beside an account of losses, all of the disk is stale.

    A file that another program called so says nothing.
    """
    everything = Ranges.of([Range(0, disk_size)])
    try:
        if found := standing_of(image, disk_size):
            return found
        map_or_account = account_of_losses(image)
    except UnusableMapError as error:
        map_or_account = error.path if is_own_mapfile(error.path) else error.account
    return Standing(map_or_account, NO_RANGES, everything) if map_or_account else None


def _read(path: Path, image: Path, disk_size: int) -> Standing:
    head = _HEAD.match(front_of(path, _HEAD_LENGTH))
    if head is None:
        raise UnusableMapError(path, image, "it is no map that `vhdx recover` wrote", account_of_losses(image))
    try:
        found = read_mapfile(path, disk_size, head[1].decode())
    except OutputError as error:
        raise UnusableMapError(path, image, error.reason, account_of_losses(image)) from error
    return Standing(path, found[Status.LOST], found[Status.STALE])


def account_of_losses(image: Path) -> Path | None:
    """The account, beside an image or what a link leads to, that says that something of it is lost or stale."""
    return next((path for path in accounts_beside(image) if _ACCOUNT.match(front_of(path, _HEAD_LENGTH))), None)


def is_account(path: Path) -> bool:
    """Whether a file begins as the account of a recovery does."""
    return _OF_ANY.match(front_of(path, _HEAD_LENGTH)) is not None


def map_in_words(image: Path, disk_size: int) -> str:
    """What the map beside an image says of its disk, that it cannot be used, or that it is gone; "" of any other."""
    try:
        standing = standing_of(image, disk_size)
    except UnusableMapError as error:
        return str(error)
    if standing is None:
        account = account_of_losses(image)
        lost = f"says that parts of {image} are lost or stale"
        return f"{account} {lost}, and its map is not there: what is lost is read as it stands" if account else ""
    if not (standing.lost.size or standing.stale.size):
        return ""
    copies = "keep the map with it, and copy it to NAME.map beside every copy called NAME"
    how = "taken out of the disk of a host" if is_of_carved(standing.map) else "recovered"
    return f"{image} was {how}: by {standing.map}, {standing}; {copies}"


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Ranges of a disk."""

    lost: Ranges
    stale: Ranges


def losses_of(disk: Disk) -> Losses | None:
    """What is not known of a disk; None where all of it is. Tables are gone through where one of them has a loss."""
    chain = without_map(disk)
    stale = disk.stale if isinstance(disk, MappedDisk) else NO_RANGES
    if isinstance(chain, Chain) and not isinstance(disk, MappedDisk) and not any(map(_may_lose, chain.layers)):
        return None
    lost = union(table.of_kind(Kind.LOST).ranges for table in disk.windows(0, disk.size))
    return Losses(lost, stale - lost) if lost or stale else None


def _may_lose(image: Image) -> bool:
    return bool(image.masks or len(image.table.unreadable)) or any(map(len, image.table.damaged_blocks()))
