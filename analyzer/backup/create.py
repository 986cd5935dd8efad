"""Making restore points: chunks are read, hashed, packed and stored, then come index and manifest."""

from collections.abc import Callable, Iterator
from contextlib import closing

from analyzer.backup.chunk_reader import ChunkReader, ImageHashes, hashes_of
from analyzer.backup.index_builder import IndexBuilder
from analyzer.backup.locks.locks import LockLostError
from analyzer.backup.plan import CreatePlan, Hashing
from analyzer.backup.repository.chunks import ChunkStore, candidate_ids, release
from analyzer.backup.repository.manifest import Effort, Manifest
from analyzer.convert.formats.pipeline import in_order
from analyzer.progress import Progress, no_progress

Confirm = Callable[[], None]
"""Raises LockLostError when the run's lock is not held any more."""


def run_create(
    plan: CreatePlan, progress: Progress = no_progress, confirm: Confirm = lambda: None
) -> tuple[Manifest, ...]:
    """Make the points, and return their manifests, lowest layer first.

    `confirm` is called around the writing of a point. Raises what reading the disk raises, LockLostError and
    PlaceError; then chunks may be there that belong to no point, and nothing else is.
    """
    place = plan.repository.place
    store = plan.repository.chunks(candidate_ids(place, plan.repository.codec))
    builder, hashes, read_bytes = IndexBuilder(plan, store), ImageHashes(plan), 0
    reader = ChunkReader(plan, store, builder.index, hashes)
    try:
        with closing(in_order(reader.read, builder.chunks_to_read())) as chunks:
            for chunk in chunks:
                builder.note(chunk)
                hashes.note(chunk)
                read_bytes += chunk.read_bytes
                progress(chunk.read_bytes)
        # From here on all is made durable in the order that leaves no point without its chunks.
        store.flush()
        for point in plan.points:
            # After the last read and before the first name: a file that changed meanwhile gives a mixture that never
            # was a state.
            point.state.require_unchanged()
        manifests = tuple(_published(plan, store, builder, hashes, read_bytes, confirm))
        for chunk_id in builder.brought_back:
            release(place, chunk_id)
        return manifests
    finally:
        store.discard()


def _published(
    plan: CreatePlan, store: ChunkStore, builder: IndexBuilder, hashes: ImageHashes, read_bytes: int, confirm: Confirm
) -> Iterator[Manifest]:
    """Write index and manifest of each point; the manifest is taken back when the lock was lost meanwhile."""
    before = plan.reference.manifest if plan.reference else None
    wants_both = plan.options.hashing is Hashing.ALWAYS
    for number, point in enumerate(plan.points):
        index = builder.build(number)
        confirm()
        index_sha256 = plan.repository.write_index(point.name, builder.document)
        sums: tuple[str | None, str | None] = None, None
        if hashes.images:
            sums = hashes.images[number].digests()
        elif before is not None and before.index_sha256 == index_sha256 and before.image_sha256:
            sums = before.image_sha256, before.image_sha512_256  # the index identifies the content
        if wants_both and not (hashes.images or all(sums)):
            sums = hashes_of(store, index)
        effort = Effort(
            read_in_full=plan.read_in_full,
            read_bytes=read_bytes,
            chunks_written=store.written,
            bytes_written=store.written_bytes,
        )
        before = _manifest(plan, number, index_sha256, sums, before.name if before else None, effort)
        plan.repository.write_manifest(before)
        try:
            confirm()
        except LockLostError:  # its chunks may be gone
            plan.repository.remove(before.name)
            raise
        yield before


def _manifest(
    plan: CreatePlan,
    number: int,
    index_sha256: str,
    sums: tuple[str | None, str | None],
    parent: str | None,
    effort: Effort,
) -> Manifest:
    point = plan.points[number]
    parameters = point.state.leaf.parameters
    notes = plan.options.notes if point is plan.points[-1] else ()
    return Manifest(
        name=point.name,
        created=plan.created,
        tool=plan.options.tool,
        size=point.state.size,
        chunk_size=plan.chunk_size,
        logical_sector_size=point.state.sector_size,
        physical_sector_size=parameters.physical_sector_size,
        block_size=point.state.base.parameters.block_size,
        disk_id=str(parameters.disk_id),
        index_sha256=index_sha256,
        image_sha256=sums[0],
        image_sha512_256=sums[1],
        layer=point.layer,
        chain=plan.records[: point.layer + 1],
        lost=point.lost,
        warnings=(*(str(finding) for finding in point.state.findings), *notes),
        parent=parent,
        checkpoints=plan.checkpoints_below(number),
        host=plan.options.host,
        effort=effort,
    )
