"""Which restore points are of one machine's disk, the groups that retention judges apart; which one to build upon.

The virtual disk id alone says nothing: copies of one template share it, and so do all children of one golden base.
Where two points might be of different machines they are in different groups, for a group that is too large loses the
only backup of somebody, and one that is too small keeps a point too long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath

from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.names import OF_CHECKPOINT
from vhdx.ranges import Ranges


@dataclass(frozen=True, slots=True, order=True)
class Lineage:
    """A disk in its place: what its restore points have in common from one night to the next."""

    name: str
    """Of the file, without suffix and without what Hyper-V adds for a checkpoint."""
    folder: str
    host: str
    disk_id: str

    def __str__(self) -> str:
        where = f"{self.host}:{self.folder}" if self.host else self.folder
        return f"{self.name} in {where} (disk {self.disk_id})"


def lineage_of(disk_id: str, host: str, newest: LayerRecord) -> Lineage:
    """The lineage of a state by its newest layer, whichever system its path is of."""
    of_windows = "\\" in newest.path and not newest.path.startswith("/")
    path = (PureWindowsPath if of_windows else PurePosixPath)(newest.path)
    return Lineage(OF_CHECKPOINT.sub("", path.stem), str(path.parent), host, disk_id)


def lineages(manifests: Iterable[Manifest]) -> dict[str, Lineage]:
    """The lineage of each point, by its name.

    A checkpoint under a name of its own continues the lineage of the one that it was made upon: where its chain goes
    through that file, it was backed up later throughout, and nothing else in that folder was made upon the same file.
    A base is never joined to what is made upon it: it may be the template of many.
    """
    points = sorted(manifests, key=lambda one: (one.created, one.layer, one.name))
    tracks = dict[Lineage, list[Manifest]]()
    for point in points:
        tracks.setdefault(lineage_of(point.disk_id, point.host, point.chain[-1]), []).append(point)
    newest = {lineage: _newest(lineage, tracks) for lineage in tracks}
    return {point.name: newest[lineage] for lineage, track in tracks.items() for point in track}


def _newest(lineage: Lineage, tracks: dict[Lineage, list[Manifest]]) -> Lineage:
    """The lineage at the end of the line of checkpoints above this one; itself where there is none, or a fork."""
    above = [other for other in tracks if _goes_on(tracks[lineage], tracks[other])]
    above.sort(key=lambda other: tracks[other][0].created)
    in_line = all(_goes_on(tracks[low], tracks[high]) for low, high in pairwise(above))
    return above[-1] if above and in_line else lineage


def _goes_on(track: Sequence[Manifest], later: Sequence[Manifest]) -> bool:
    """Whether all points of `later` are newer, and are of a chain through the newest file of `track`."""
    last, first = track[-1], later[0]
    if last.layer == 0 or first.layer <= last.layer or first.created <= last.created:
        return False
    if (last.disk_id, last.host) != (first.disk_id, first.host):
        return False
    return all(one.path == other.path for one, other in zip(last.chain, first.chain, strict=False))


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


def references(records: Sequence[LayerRecord], manifests: Iterable[Manifest]) -> list[Reference]:
    """The points that can be built upon, first the one that leaves the least to be read.

    That is the one with the most layers in common, then the one with the fewest other chunks.
    """
    # A point with lost ranges is not built upon: what could not be read then may be read now, and its zeros would be
    # inherited.

    def merit(found: Reference) -> tuple[int, int, str]:
        return found.shared, -found.doubtful.size, found.manifest.created.isoformat()

    found = (Reference(manifest, shared_layers(records, manifest.chain)) for manifest in manifests if not manifest.lost)
    return sorted((reference for reference in found if reference.shared), key=merit, reverse=True)


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
    if not newest.data_write_guid:
        return f"nothing in {newest.name} says whether somebody wrote to it since"
    of_id = [manifest for manifest in manifests if manifest.disk_id == newest.disk_id]
    mine = lineage_of(newest.disk_id, host, newest)
    of_disk = [one for one in of_id if lineage_of(one.disk_id, one.host, one.chain[-1]) == mine]
    if not of_disk:
        other = f" (that of {of_id[-1].name} has the same disk id, and is of another file)" if of_id else ""
        return f"no restore point of this disk is there yet{other}"
    base = records[0]
    before = of_disk[-1].chain[0]
    if of_disk[-1].lost:
        return f"the last restore point, {of_disk[-1].name}, has ranges that were lost"
    if before.data_write_guid != base.data_write_guid:
        return f"{base.name} was written since {of_disk[-1].name} was made: it has another data_write_guid"
    return (
        f"{base.name} is a copy, was opened for writing, or was written to in place, since {of_disk[-1].name} was made"
    )
