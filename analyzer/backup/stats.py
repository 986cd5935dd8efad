"""What a repository holds, and what of it each restore point holds alone."""

from dataclasses import dataclass

import numpy as np

from analyzer.backup.repository.index import id_array, ids_from, places_in
from analyzer.backup.repository.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStats:
    """One restore point; bytes are of packed chunks."""

    name: str
    size: int
    """Bytes of its disk."""
    chunks: int
    """Different ones."""
    bytes: int
    own_chunks: int
    """That no other point needs: what `forget` and `prune` would bring back."""
    own_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A whole repository; bytes are of packed chunks."""

    points: tuple[PointStats, ...]
    disk_bytes: int
    """Of the disks of all points together."""
    chunks: int
    bytes: int
    unused_chunks: int
    """That no point needs of which the manifest can be read."""
    unused_bytes: int
    damaged: tuple[str, ...] = ()
    """The points whose manifest cannot be read; what they need is among the unused."""


def stats_of(repository: Repository) -> Stats:
    """Count; raises what reading manifests and indexes raises."""
    entries = list(repository.chunks().entries())
    stored = ids_from(chunk_id for chunk_id, _ in entries)
    order = np.argsort(stored)
    stored, sizes = stored[order], np.array([entry.size for _, entry in entries], np.int64)[order]
    manifests, damaged = repository.survey()
    used = []
    for manifest in manifests:
        place = places_in(np.unique(id_array(repository.index(manifest).ids)), stored)
        used.append(place[place >= 0])
    users = np.bincount(np.concatenate([*used, np.empty(0, np.intp)]), minlength=len(stored))
    counted = []
    for manifest, place in zip(manifests, used, strict=True):
        own = place[users[place] == 1]
        counted.append(
            PointStats(
                name=manifest.name,
                size=manifest.size,
                chunks=len(place),
                bytes=int(sizes[place].sum()),
                own_chunks=len(own),
                own_bytes=int(sizes[own].sum()),
            )
        )
    unused = users == 0
    return Stats(
        points=tuple(counted),
        disk_bytes=sum(manifest.size for manifest in manifests),
        chunks=len(stored),
        bytes=int(sizes.sum()),
        unused_chunks=int(unused.sum()),
        unused_bytes=int(sizes[unused].sum()),
        damaged=tuple(damaged),
    )
