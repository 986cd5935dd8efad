"""The files of the matrix: fixed, dynamic and differencing ones, with and without a log that remembers the table."""

import mmap
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fixtures import Block, BlockState, Identity, ImageSpec, encode
from fixtures.recipes.kit import child_of
from fixtures.spec import Provision
from tests.analyzer.recover.matrix.anatomy import Range, as_a_host_left_it, parts_of, with_closed_log, with_live_log

CELL, SECTOR = 4 << 10, 512
LATE = 12
"""Blocks of a file with a live log that only the log has in its table."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A chain whose leaf is damaged: files base first, as bytes, and the disk that the leaf must read as."""

    name: str
    files: tuple[bytes, ...]
    truth: mmap.mmap
    written: npt.NDArray[np.int64]
    """How many bytes that are not zero the disk has before each sector, and in all at last."""
    parts: dict[str, Range]
    """The structures of the leaf, by name."""

    @property
    def leaf(self) -> bytes:
        """The file that is damaged."""
        return self.files[-1]


def truth_of(raw: Path) -> mmap.mmap:
    """A raw disk as bytes."""
    with raw.open("rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def fixed(name: str, raw: Path, block_size: int) -> Specimen:
    """A fixed file: every block is there, in order."""
    disk = truth_of(raw)
    blocks = {n: _block(disk, n, block_size) for n in range(-(-len(disk) // block_size))}
    spec = ImageSpec(size=len(disk), identity=Identity.of(name), block_size=block_size, provision=Provision.FIXED)
    return _specimen(name, replace(spec, blocks=blocks), disk)


def dynamic(name: str, raw: Path, block_size: int) -> Specimen:
    """A dynamic file whose log was never used."""
    disk = truth_of(raw)
    return _specimen(name, _dynamic(name, disk, block_size), disk)


def logged(name: str, raw: Path, block_size: int) -> Specimen:
    """A dynamic file whose closed log wrote its table, some blocks at a time."""
    disk = truth_of(raw)
    return _specimen(name, with_closed_log(_dynamic(name, disk, block_size)), disk)


def live(name: str, raw: Path, block_size: int) -> Specimen:
    """A dynamic file whose last blocks only the live log has in its table."""
    disk = truth_of(raw)
    spec = with_live_log(_dynamic(name, disk, block_size), LATE)
    specimen = _specimen(name, spec, disk)
    return replace(specimen, files=(as_a_host_left_it(specimen.leaf, spec, LATE),))


def differencing(name: str, before: Path, after: Path, block_size: int) -> Specimen:
    """A differencing file with what changed between two states, upon a dynamic one; its log wrote table and bitmap."""
    old, new = truth_of(before), truth_of(after)
    base = _dynamic(f"base of {name}", old, block_size)
    child = child_of(base, name, _mixed(name, dict(_changes(old, new, block_size))))
    return _specimen(name, with_closed_log(child), new, encode(base).to_bytes())


def _dynamic(name: str, disk: mmap.mmap, block_size: int) -> ImageSpec:
    blocks = {n: block for n in range(-(-len(disk) // block_size)) if (block := _block(disk, n, block_size)).data}
    return ImageSpec(size=len(disk), identity=Identity.of(name), block_size=block_size, blocks=_mixed(name, blocks))


def _specimen(name: str, spec: ImageSpec, truth: mmap.mmap, *lower: bytes) -> Specimen:
    files = (*lower, encode(spec).to_bytes())
    return Specimen(name=name, files=files, truth=truth, written=_written(truth), parts=dict(parts_of(spec)))


def _written(disk: mmap.mmap) -> npt.NDArray[np.int64]:
    counts = [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(disk), 16 << 20):
        piece = np.frombuffer(disk[start : start + (16 << 20)], dtype=np.uint8)
        counts.append(np.count_nonzero(piece.reshape(-1, SECTOR), axis=1))
    return np.cumsum(np.concatenate(counts))


def _block(disk: mmap.mmap, number: int, block_size: int) -> Block:
    start = number * block_size
    piece = disk[start : start + block_size]
    cells = ((at, piece[at : at + CELL]) for at in range(0, len(piece), CELL))
    data = (
        {at // SECTOR: cell for at, cell in cells if cell.count(0) < len(cell)} if piece.count(0) < len(piece) else {}
    )
    return Block(state=BlockState.FULLY_PRESENT, data=data)


def _changes(old: mmap.mmap, new: mmap.mmap, block_size: int) -> Iterator[tuple[int, Block]]:
    for number in range(-(-len(new) // block_size)):
        start = number * block_size
        before, after = old[start : start + block_size], new[start : start + block_size]
        if before == after:
            continue
        places = range(0, len(after), CELL)
        data = {at // SECTOR: after[at : at + CELL] for at in places if before[at : at + CELL] != after[at : at + CELL]}
        yield number, Block(state=BlockState.PARTIALLY_PRESENT, data=data)


def _mixed(seed: str, blocks: dict[int, Block]) -> dict[int, Block]:
    """Blocks in the order in which a guest may have written them: some neighbours together, the groups mixed."""
    draw, numbers, groups = random.Random(seed), list(blocks), []
    while numbers:
        count = draw.randint(1, 6)
        groups.append(numbers[:count])
        numbers = numbers[count:]
    draw.shuffle(groups)
    return {number: blocks[number] for group in groups for number in group}
