"""What a btrfs volume says of its bytes: nodes name their address, volume and time; sectors of files have checksums.

btrfs documentation, "On-disk Format".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.guest.layouts import btrfs
from analyzer.guest.layouts.btrfs import BtrfsSuper
from analyzer.guest.usage.btrfs import BtrfsUsage, superblock_in
from analyzer.guest.usage.model import Known
from analyzer.witnesses.model import Claims, Statement, Testimony

# Of files so many sectors are looked at, and one in sixteen of larger disks: nobody encrypts less than 64 KiB.
_MOST_SECTORS, _WIDEST = 1 << 16, 16


def claims_of_btrfs(known: Known, plain: Known) -> Claims | None:
    """What the volume says; None where it is no btrfs, or no superblock of it is whole."""
    found = superblock_in(known)
    if found is None:
        return None
    return _Testimony(BtrfsUsage(plain, *found)).claims()


@dataclass(frozen=True)
class _Testimony(Testimony):
    volume: BtrfsUsage

    def metadata(self) -> Iterator[Statement]:
        """Superblocks, nodes, each copy by itself, and sectors of files; fills `contents`."""
        own = self.volume.superblock
        for at in self.volume.mirrors():
            raw = self.volume.known.read(at, btrfs.SIZE)
            if raw is not None:
                yield at, btrfs.SIZE, self._is_own(at, btrfs.parse_super(raw))
        step = min(_WIDEST, -(-own.used // own.sector_size // _MOST_SECTORS) or 1)
        for node in self.volume.nodes():
            yield from ((at, own.node_size, holds) for at, holds in node.copies)
            self.contents.extend(self.volume.parts_in(node))
            for item in (item for item in node.items if item.kind == btrfs.EXTENT_CSUM):
                for address, wanted in btrfs.sums_of(own, item, step):
                    yield from self._sector(address, wanted)

    def _is_own(self, at: int, found: BtrfsSuper | None) -> bool:
        own = self.volume.superblock
        return found is not None and found._replace(place=own.place) == own and found.place == at

    def _sector(self, address: int, wanted: bytes) -> Iterator[Statement]:
        own = self.volume.superblock
        for at in self.volume.addresses.places_of(address, own.sector_size):
            raw = self.volume.known.read(at, own.sector_size)
            found = None if raw is None else own.sum_of(raw)
            if found is not None:
                yield at, own.sector_size, found == wanted
