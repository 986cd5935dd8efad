"""Which restore point a new one can build upon: what is proved to be the same needs no reading."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyzer.backup.lineage import lineage_of
from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.backup.repository.manifest import Manifest
from vhdx.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Reference:
    """A restore point whose lowest `shared` layers are those of the new one, unchanged."""

    manifest: Manifest
    shared: int

    @property
    def doubtful(self) -> Ranges:
        """The chunks, as (first, count), in which the point is not what the shared layers show: its other layers'."""
        others = self.manifest.chain[self.shared :]
        return Ranges.of(claim for layer in others for claim in layer.claims)

    @property
    def same_state(self) -> bool:
        """The point is the state of the shared layers, and of nothing else."""
        return self.shared == len(self.manifest.chain)


def references(records: Sequence[LayerRecord], manifests: Iterable[Manifest]) -> list[Reference]:
    """The points that can be built upon, first the one that leaves the least to be read.

    That is the one with the most layers in common, then the one with the fewest other chunks. A point that was made
    with lost ranges is none: what is lost there may be read today.
    """
    # A point with lost ranges is not built upon: what could not be read then may be read now, and its zeros would be
    # inherited.
    found = (Reference(manifest, shared_layers(records, manifest.chain)) for manifest in manifests if not manifest.lost)
    return sorted((reference for reference in found if reference.shared), key=_merit, reverse=True)


def _merit(reference: Reference) -> tuple[int, int, str]:
    return reference.shared, -reference.doubtful.size, reference.manifest.created.isoformat()


def shared_layers(first: Sequence[LayerRecord], second: Sequence[LayerRecord]) -> int:
    """How many layers, from the base up, are the same and unchanged."""
    count = 0
    for one, other in zip(first, second, strict=False):
        # From the base up, and no further than the first difference: a layer proves nothing unless all below it are
        # the same.
        if not one.same_content(other):
            break
        count += 1
    return count


def why_in_full(records: Sequence[LayerRecord], host: str, manifests: Sequence[Manifest]) -> str:
    """Why no point can be built upon, for people."""
    newest = records[-1]
    of_id = [manifest for manifest in manifests if manifest.disk_id == newest.disk_id]
    mine = lineage_of(newest.disk_id, host, newest)
    of_disk = [
        manifest for manifest in of_id if lineage_of(manifest.disk_id, manifest.host, manifest.chain[-1]) == mine
    ]
    if not of_disk:
        other = f" (that of {of_id[-1].name} has the same disk id, and is of another file)" if of_id else ""
        return f"no restore point of this disk is there yet{other}"
    base = records[0]
    before = of_disk[-1].chain[0]
    if of_disk[-1].lost:
        return f"the last restore point, {of_disk[-1].name}, has ranges that were lost"
    if before.data_write_guid != base.data_write_guid:
        return f"{base.name} was written since {of_disk[-1].name} was made: it has another data_write_guid"
    return f"{base.name} is a copy, or was opened for writing, since {of_disk[-1].name} was made"
