"""The input: a checkpoint chain made from a seed, and what is on it by a model that knows no VHDX."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analyzer.convert.model import parent_locator
from vhdx.identities import seeded_identities
from vhdx.sink import Existing, Sink
from vhdx.structures.bat import BlockState
from vhdx.structures.disk import DiskType
from vhdx.writer import NewDisk, VhdxWriter

MIB = 1 << 20
GRAIN = 4096
BLOCK = 2 * MIB
SECTOR = 512
SHORTEST, LONGEST = 1, 16
"""Grains of one write: 4 to 64 KiB."""

Flat = npt.NDArray[np.uint8]
Grains = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes of a chain: bytes of the disk, files, and writes into each child. Half of the base's blocks hold data."""

    size: int
    layers: int
    writes: int

    @property
    def name(self) -> str:
        return f"chain-{self.size // MIB}m-{self.layers}l-{self.writes}w"


FULL = Recipe(4096 * MIB, 6, 20_000)
SMALL = Recipe(64 * MIB, 6, 300)


@dataclass(frozen=True, slots=True)
class MadeChain:
    """A chain on disk, and the SHA-256 of the flat disk that its base and its leaf must give."""

    recipe: Recipe
    folder: Path

    @property
    def paths(self) -> list[Path]:
        """Base first."""
        children = [self.folder / f"child{number}.avhdx" for number in range(1, self.recipe.layers)]
        return [self.folder / "base.vhdx", *children]

    @property
    def base(self) -> Path:
        return self.paths[0]

    @property
    def leaf(self) -> Path:
        return self.paths[-1]

    @property
    def sums(self) -> Path:
        return self.folder / "sha256"

    @property
    def base_sha256(self) -> str:
        return self.sums.read_text().split()[0]

    @property
    def leaf_sha256(self) -> str:
        return self.sums.read_text().split()[1]


def make_chain(recipe: Recipe, folder: Path, seed: int = 1) -> MadeChain:
    """Make the chain in `folder`; one that is whole there already is taken as it is."""
    made = MadeChain(recipe, folder / recipe.name)
    if made.sums.exists():
        return made
    made.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    flat: Flat = np.zeros(recipe.size, dtype=np.uint8)
    _fill_base(flat, rng)
    _write_base(made.base, flat)
    base_sum = hashlib.sha256(flat).hexdigest()
    for parent, child in zip(made.paths[:-1], made.paths[1:], strict=True):
        _write_child(child, parent, flat, _scatter(flat, recipe.writes, rng))
    made.sums.write_text(f"{base_sum}\n{hashlib.sha256(flat).hexdigest()}\n")
    return made


def _fill_base(flat: Flat, rng: np.random.Generator) -> None:
    blocks = flat.reshape(-1, BLOCK)
    for block in rng.permutation(len(blocks))[: len(blocks) // 2].tolist():
        blocks[block] = _noise(BLOCK, rng)


def _scatter(flat: Flat, writes: int, rng: np.random.Generator) -> Grains:
    """Write at random places, aligned to grains; returns which grains were written."""
    own = np.zeros(len(flat) // GRAIN, dtype=np.bool_)
    starts = rng.integers(0, len(own) - LONGEST, writes)
    lengths = rng.integers(SHORTEST, LONGEST + 1, writes)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        own[start : start + length] = True
        flat[start * GRAIN : (start + length) * GRAIN] = _noise(length * GRAIN, rng)
    return own


def _noise(length: int, rng: np.random.Generator) -> Flat:
    return rng.integers(0, 1 << 64, length // 8, dtype=np.uint64).view(np.uint8)


def new_disk(
    path: Path, size: int, disk_type: DiskType, *, block_size: int = BLOCK, locator: tuple[tuple[str, str], ...] = ()
) -> NewDisk:
    identities = seeded_identities(path.name)
    return NewDisk(
        type=disk_type,
        size=size,
        block_size=block_size,
        logical_sector_size=SECTOR,
        physical_sector_size=GRAIN,
        disk_id=seeded_identities("benchmark")("disk_id"),
        file_write_guid=identities("file_write_guid"),
        data_write_guid=identities("data_write_guid"),
        locator=locator,
    )


def _write_base(path: Path, flat: Flat) -> None:
    with Sink(path, existing=Existing.REPLACE) as sink:
        writer = VhdxWriter(sink, new_disk(path, len(flat), DiskType.DYNAMIC))
        for number, block in enumerate(flat.reshape(-1, BLOCK)):
            if block[:GRAIN].any():
                writer.write(number * BLOCK, memoryview(block))
        writer.finish()
        sink.commit()


def _write_child(path: Path, parent: Path, flat: Flat, own: Grains) -> None:
    linkage = seeded_identities(parent.name)("data_write_guid")
    locator = parent_locator(parent, path, linkage)
    disk = new_disk(path, len(flat), DiskType.DIFFERENCING, locator=locator)
    with Sink(path, existing=Existing.REPLACE) as sink:
        writer = VhdxWriter(sink, disk)
        chunk = disk.geometry.chunk_ratio
        blocks = own.reshape(-1, BLOCK // GRAIN)
        for first in range(0, len(blocks), chunk):
            _write_chunk(writer, flat, first, blocks[first : first + chunk])
        writer.finish()
        sink.commit()


def _write_chunk(writer: VhdxWriter, flat: Flat, first: int, blocks: Grains) -> None:
    """The blocks of one chunk, from block `first` on; `blocks` says of each which grains are its own."""
    states = np.full(len(blocks), BlockState.PARTIALLY_PRESENT, dtype=np.int64)
    states[blocks.all(axis=1)] = BlockState.FULLY_PRESENT
    states[~blocks.any(axis=1)] = BlockState.NOT_PRESENT
    # A column of False on either side of each block keeps spans from crossing blocks.
    fenced = np.pad(blocks, ((0, 0), (1, 1))).view(np.int8)
    block, edge = np.nonzero(np.diff(fenced, axis=1))
    spans = ((first + block) * BLOCK + edge * GRAIN).reshape(-1, 2)
    writer.claim(first, states, spans // SECTOR)
    for start, end in spans.tolist():
        writer.write(start, memoryview(flat[start:end]))
