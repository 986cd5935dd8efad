"""What is said of an image that `vhdx recover` wrote, wherever one is looked at: by its map, or that it lacks one."""

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.recovery_map import paths as beside
from analyzer.text import size
from vhdx.findings import Finding, Severity

if TYPE_CHECKING:
    from analyzer.recovery_map.disk import Standing


def map_finding(image: Path, disk_size: int) -> Finding | None:
    """`map_note` as CHN-14; None where it has nothing to say."""
    note = map_note(image, disk_size)
    return Finding("CHN-14", Severity.WARNING, note, path=image) if note else None


def map_note(image: Path, disk_size: int) -> str:
    """What the map beside an image says of its disk, that it cannot be gone by, or that it is gone; "" of any other.

    Of an image without map and account no more is looked at than whether these are there.
    """
    if not beside.maps_beside(image) and not beside.accounts_beside(image):
        return ""
    from analyzer.recovery_map.disk import UnusableMapError, account_of_losses, standing_of

    try:
        standing = standing_of(image, disk_size)
    except UnusableMapError as error:
        return str(error)
    if standing is None:
        account = account_of_losses(image)
        return f"{account} {_LACKING.format(image)}" if account else ""
    if not (standing.lost.size or standing.stale.size):
        return ""
    return f"{image} was recovered: by {standing.map}, {parts_of(standing)}; {_COPIES}"


def parts_of(standing: "Standing") -> str:
    """How much of a disk is lost, and how much stale, in words."""
    lost, stale = size(standing.lost.size), size(standing.stale.size)
    return f"{lost} of it are lost, {stale} are of an older or unproved state"


_COPIES = "keep the map with it, and copy it to NAME.map beside every copy called NAME"
_LACKING = "says that parts of {} are lost or stale, and its map is not there: what is lost is read as it stands"
