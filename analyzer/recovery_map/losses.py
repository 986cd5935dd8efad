"""What of a disk is lost or in doubt, whatever says so: its tables, maps beside its files, maps of ddrescue."""

from dataclasses import dataclass

from analyzer.recovery_map.disk import MappedDisk, without_map
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Ranges, union
from vhdx.runs import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Ranges of a disk."""

    lost: Ranges
    stale: Ranges


def losses_of(disk: Disk) -> Losses | None:
    """What is not known of a disk; None where all of it is. Tables are gone through where one of them has a loss."""
    chain = without_map(disk)
    stale = disk.stale if isinstance(disk, MappedDisk) else NO_RANGES
    if isinstance(chain, Chain) and not isinstance(disk, MappedDisk) and not any(map(_has_loss, chain.layers)):
        return None
    lost = union(table.of_kind(Kind.LOST).ranges for table in disk.windows(0, disk.size))
    return Losses(lost, stale - lost) if lost or stale else None


def _has_loss(image: Image) -> bool:
    return bool(image.masks or len(image.table.unreadable)) or any(map(len, image.table.damaged_blocks()))
