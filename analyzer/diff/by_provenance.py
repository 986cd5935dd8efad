"""What differs by where it comes from: two disks that read the same place of the same file read the same bytes.

Nothing but tables is read, so that the cost follows the change and not the disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.ranges import Column
from vhdx.runs import RunTable, changed
from vhdx.source import ByteSource, FileSource


@dataclass(frozen=True, slots=True, eq=False)
class Numbering:
    """Numbers that tell the files of two disks apart: one file has the same number in both."""

    old: Column
    """The number of each layer of the old disk."""
    new: Column
    shared: tuple[Path, ...]
    """The files that both are made of, as the new disk calls them, base first."""


def number_layers(old: Disk, new: Disk) -> Numbering:
    """Give the layers of two disks numbers in common.

    A layer is shared when it is the same file and has the same data_write_guid. A copy, although it may hold the same
    bytes, is another file. That no file was written between the two openings, `require_unchanged` of both tells.
    """
    before, after = _files(old), _files(new)
    numbers = {key: number for number, key in enumerate(dict.fromkeys([*before, *after]))}
    shared = tuple(path for key, path in after.items() if key in before)
    first, second = (np.array([numbers[key] for key in keys], dtype=np.int64) for keys in (before, after))
    return Numbering(first, second, shared)


def _files(disk: Disk) -> dict[object, Path]:
    """What tells each layer's file from all others, base first."""
    if isinstance(disk, Chain):
        return {(_identity(layer.file), layer.data_write_guid): layer.path for layer in disk.layers}
    return {_identity(source): source.path for source in disk.sources}


def _identity(file: ByteSource) -> object:
    return file.identity if isinstance(file, FileSource) else id(file)


def pairs(old: Disk, new: Disk, numbering: Numbering) -> Iterator[tuple[RunTable, RunTable]]:
    """Windows of both disks over the same ranges, up to where the shorter one ends, with layers numbered in common."""
    end = min(old.size, new.size)
    before, after = (disk.windows(0, end) for disk in (old, new))
    first, second = next(before, None), next(after, None)
    while first is not None and second is not None:
        # Windows of two disks end where their tables do, so they are cut to the shorter one and the rest is carried
        # on.
        start, upto = int(first.start[0]), min(first.end, second.end)
        yield (
            _numbered(first.clip(start, upto), numbering.old),
            _numbered(second.clip(start, upto), numbering.new),
        )
        first = next(before, None) if first.end == upto else first.clip(upto, first.end)
        second = next(after, None) if second.end == upto else second.clip(upto, second.end)


def _numbered(table: RunTable, numbers: Column) -> RunTable:
    return replace(table, layer=numbers[table.layer])


def changes_by_provenance(old: Disk, new: Disk, numbering: Numbering) -> Iterator[tuple[RunTable, RunTable]]:
    """For each window what of `new` comes from elsewhere than in `old` (HOLE: nothing), and the old window beside it.

    Every byte that differs is in it; bytes that were written anew with what they held are in it too.
    """
    for before, after in pairs(old, new, numbering):
        yield changed(before, after), before
