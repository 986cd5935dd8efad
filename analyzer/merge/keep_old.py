"""The state that a merge writes over, kept as a differencing file upon the merged parent: the checkpoint, reversed."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np

from analyzer.convert.cells import CELL, cells_with_data, count_cells_with_data, require_known
from analyzer.convert.copying import copy_cells
from analyzer.convert.merge_upper import Above, ClaimingWriter
from analyzer.convert.model import Options, new_disk_like, parent_locator
from analyzer.progress import Progress
from vhdx.chain import Chain
from vhdx.contents import open_structures
from vhdx.errors import MergeRefusedError, VhdxError
from vhdx.layers import in_step
from vhdx.runs import Kind, RunTable, choose, cut_alike, merge_neighbours
from vhdx.sink import Existing, Sink
from vhdx.structures.disk import DiskType
from vhdx.targets import check_target
from vhdx.writer import NewDisk


def old_windows(chain: Chain, kept: int, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
    """What layer `kept` shows where the layers above hold something, or past their disk's end; holes elsewhere."""
    below = chain.upto(kept)
    end = below.size if end is None else min(end, below.size)
    shared = min(end, chain.size)
    for upper, lower in in_step([chain.windows_above(kept + 1, start, shared), below.windows(start, shared)]):
        held, shown = cut_alike(upper, _without_holes(lower))
        yield merge_neighbours(choose(held.kind != Kind.HOLE, shown, _holes(held)))
    if max(start, shared) < end:
        yield from map(_without_holes, below.windows(max(start, shared), end))


def _without_holes(table: RunTable) -> RunTable:
    """A disk's runs, with zeros where nothing is: what the layer above has there must not show."""
    return replace(table, kind=np.where(table.kind == Kind.HOLE, np.int64(Kind.ZERO), table.kind))


def _holes(table: RunTable) -> RunTable:
    nothing = np.zeros_like(table.kind)
    return RunTable(table.start, table.length, np.full_like(table.kind, Kind.HOLE), nothing, nothing)


def identity_of_old(old: Path, chain: Chain, kept: int) -> UUID | None:
    """The identity that the parent must have for an old state that an interrupted run wrote; None where none is there.

    Raises MergeRefusedError where the file is another one.
    """
    base, lower = chain.layers[kept], chain.layers[kept + 1].locator
    before = {base.data_write_guid, *(lower.linkages if lower else ())}
    if not old.exists():
        return None
    try:
        structures = open_structures(old)
    except VhdxError as error:
        raise MergeRefusedError(base.path, f"{old} exists already ({error})", "name another with --keep-old") from error
    try:
        header, locator = structures.header, structures.locator.value
    finally:
        structures.close()
    if header is None or locator is None or header.data_write_guid not in before or not locator.linkages:
        raise MergeRefusedError(base.path, f"{old} exists already, and is another file", "name another with --keep-old")
    return locator.linkages[0]


def old_disk(chain: Chain, kept: int, old: Path, identity: UUID) -> NewDisk:
    """The file to be: it has the identity of the state that it keeps, and names the parent as that will be."""
    below, leaf = chain.upto(kept), chain.leaf.parameters
    like = new_disk_like(below, Options(block_size=leaf.block_size))
    return replace(
        like,
        type=DiskType.DIFFERENCING,
        data_write_guid=below.leaf.data_write_guid,
        locator=parent_locator(below.path, old, identity),
        items=below.items,
    )


def bytes_of_old(chain: Chain, kept: int) -> int:
    """How much the old state takes at most; raises what reading would raise at what is lost."""
    below = chain.upto(kept)
    return count_cells_with_data(require_known(below, old_windows(chain, kept))) * CELL


def write_old(chain: Chain, kept: int, old: Path, identity: UUID, progress: Progress) -> None:
    """Write the old state, whole and durable, before anything of it is written over; raises what writing raises."""
    check_target(old, [layer.path for layer in chain.layers], Existing.REFUSE)
    below = chain.upto(kept)
    above = Above(disk=below, below=below, windows=partial(old_windows, chain, kept), layers=1)
    with Sink(old) as sink:
        writer = ClaimingWriter(sink, old_disk(chain, kept, old, identity), above)
        copy_cells(below, cells_with_data(above.all_windows()), writer.write, progress)
        writer.finish()
        sink.flush()
        sink.commit()
