"""Signs of btrfs: nodes of its trees, which name their address, while chunks tell where on the disk addresses are."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from analyzer.guest.filesystems.volume_reader import ReadableDisk, View
from analyzer.guest.layouts.btrfs import node_holds
from analyzer.guest.usage.btrfs import BtrfsUsage, superblock_in
from analyzer.guest.usage.model import Known
from analyzer.recover.rebuild.signatures import Sign, volumes_of
from vhdx.disk import Disk

# Nodes of a volume, 64 MiB of them: those of the tree of chunks come first, and then the roots of the others.
_MOST_NODES = 1 << 12


def node_signs(disk: Disk) -> Iterator[Sign]:
    """The nodes of each volume whose superblock is there; those below a node that is not there are not known."""
    for start, end in volumes_of(disk):
        if found := superblock_in(known := Known(View(ReadableDisk(disk), start, end - start))):
            superblock, _ = found
            for node in islice(BtrfsUsage(known, *found).nodes(), _MOST_NODES):
                fits = partial(node_holds, superblock, pointer=node.pointer)
                for at in node.places:
                    what = f"the btrfs node of address {node.pointer.address} of the volume at byte {start}"
                    yield Sign(what, start + at, superblock.node_size, fits)
