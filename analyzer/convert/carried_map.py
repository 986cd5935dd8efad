"""An image of a disk that was recovered: what is stale in it is so in whatever is made of it, and a map says so."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from analyzer.convert.convert import name_alone
from analyzer.convert.copying import CellChecksums
from analyzer.recovery_map.beside import is_accompanied, map_of
from analyzer.recovery_map.commit import existing_sidecars, name_with_map
from vhdx.chain import Chain
from vhdx.disk import DiskSource
from vhdx.ranges import Range
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target

Namer = Callable[[Sink, CellChecksums], None]


def namer_for(disk: DiskSource, target: Path, existing: Existing) -> Namer:
    """What gives an image of a disk its name: with a map beside it where maps beside its files have it as stale.

    What they have as lost is LOST in the disk, and refused. Raises OutputError for a map that is in the way.
    """
    if not isinstance(disk, Chain) or not any(is_accompanied(image.path) for image in disk.layers):
        return name_alone
    # Loaded where there is a map: most images have none.
    from analyzer.recovery_map.disk import UnusableMapError, standing_of_chain
    from analyzer.recovery_map.mapfile import Status, mapfile_lines

    try:
        standing = standing_of_chain(disk)
    except UnusableMapError:  # said when the chain was opened
        standing = None
    if standing is None or not standing.stale:
        return name_alone
    check_target(map_of(target), (), existing_sidecars(target, existing))
    parts = standing.stale.split(Range(0, disk.size))
    rows = [(part, Status.STALE if is_stale else Status.KNOWN) for part, is_stale in parts]
    lines = mapfile_lines(rows, f"{disk.leaf.data_write_guid} converted")
    return partial(_name, lines)


def _name(lines: Iterable[str], image: Sink, _checksums: CellChecksums) -> None:
    name_with_map(image, lines)
