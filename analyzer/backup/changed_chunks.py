"""The chunks of a disk that must be looked at for a restore point, for several states of a chain at once."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np

from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.layers import in_step
from vhdx.ranges import Range, Ranges, joined
from vhdx.runs import Kind, RunTable, choose, cut_alike, merge_neighbours


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one chunk, or of `count` whole chunks of zeros, that differs from the state before."""

    number: int
    state: int
    read: tuple[Range, ...]
    """The ranges of the disk to be read; empty where all of the chunk is zeros now."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class ChangedChunk:
    """A chunk that must be read for one state at least: the parts of all states that change it, in their order."""

    number: int
    parts: tuple[Part, ...]


def states_in_step(streams: Sequence[Iterable[Part]]) -> Iterator[ChangedChunk | Part]:
    """Chunks to be read, sorted, and before them the chunks of zeros (a Part) that begin there; a stream a state."""
    zeros: list[Part] = []
    merged = heapq.merge(*streams, key=lambda part: (part.number, part.state))
    for number, parts in groupby(merged, key=lambda part: part.number):
        here = list(parts)
        fresh = [part for part in here if not part.read]
        yield from fresh
        zeros = [part for part in zeros if part.number + part.count > number] + fresh
        read = [part for part in here if part.read]
        if read:
            yield ChangedChunk(number, tuple(sorted([*read, *zeros], key=lambda part: part.state)))


def everything(state: Disk) -> Iterator[RunTable]:
    """All that a state holds; what is left out is zeros."""
    for table in state.windows():
        yield table.select((table.kind == Kind.DATA) | (table.kind == Kind.LOST))


def changes(state: Chain, shared: int, doubtful: Ranges) -> Iterator[RunTable]:
    """What the layers from `shared` up hide, and all that is in `doubtful`: zeros are ZERO."""
    none = RunTable.filled(0, state.size, Kind.HOLE, 0)
    layers = state.windows_above(shared) if shared < len(state.layers) else iter([none])
    for above, whole in in_step([layers, state.windows()]):
        own, shown = cut_alike(above, _as_zeros(whole))
        table = choose(own.kind != Kind.HOLE, shown, own)
        own, shown = cut_alike(RunTable.marking(doubtful, table.range, Kind.ZERO), _as_zeros(whole))
        table, shown = cut_alike(table, choose(own.kind != Kind.HOLE, shown, own))
        table = merge_neighbours(choose(table.kind != Kind.HOLE, table, shown))
        yield table.select(table.kind != Kind.HOLE)


def _as_zeros(table: RunTable) -> RunTable:
    """The table of a whole state with one kind for all that reads as zeros."""
    zeros = np.isin(table.kind, (Kind.HOLE, Kind.TRIM, Kind.ZERO))
    kind = np.where(zeros, Kind.ZERO, table.kind)
    return merge_neighbours(replace(table, kind=kind, layer=np.where(zeros, 0, table.layer)))


def parts_of(state: int, tables: Iterable[RunTable], chunk_size: int, size: int) -> Iterator[Part]:
    """The runs of a state's tables (sorted; they may leave gaps) by chunk; `size` is the disk's."""
    number, read = -1, list[Range]()
    columns = ((table.start, table.start + table.length, table.kind == Kind.ZERO) for table in tables)
    runs = chain.from_iterable(zip(*(column.tolist() for column in three), strict=True) for three in columns)
    for start, end, is_zero in runs:
        position = start
        while position < end:
            here = position // chunk_size
            if here != number and read:
                yield Part(number, state, tuple(joined(read)))
                read = []
            number, upto = here, min((here + 1) * chunk_size, size)
            if is_zero and position == here * chunk_size and end >= upto:
                whole = -(-end // chunk_size) if end == size else end // chunk_size
                yield Part(here, state, (), whole - here)
                position = min(end, whole * chunk_size)
                continue
            stop = min(end, upto)
            read.append(Range.between(position, stop))
            position = stop
    if read:
        yield Part(number, state, tuple(joined(read)))
