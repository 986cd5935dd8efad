"""What depth and width cost: the same data in many layers, or on a disk of many TiB, as whole processes."""

import numpy as np
import pytest

from benchmarks.chain import BLOCK, MIB, Recipe, make_chain, new_disk
from benchmarks.programs import VHDX, run
from vhdx.sink import Existing, Sink
from vhdx.structures.disk import DiskType
from vhdx.writer import VhdxWriter

TIB = 1 << 40
COMMANDS = ["map", "hash", "convert", "check"]
WRITES = 20_000


@pytest.fixture(scope="module")
def by_depth(disk_folder, measuring):
    """The leaf of a chain of so many files, with the same number of writes among all of them."""
    size, writes = (1024 * MIB, WRITES) if measuring else (8 * MIB, 60)
    return lambda layers: make_chain(Recipe(size, layers, writes // layers), disk_folder).leaf


@pytest.fixture(scope="module")
def by_width(disk_folder):
    """A disk of so many bytes with 100 blocks of data all over it."""
    made = {}

    def make(size):
        path = disk_folder / f"wide-{size // MIB}m.vhdx"
        if path not in made:
            with Sink(path, existing=Existing.REPLACE) as sink:
                writer = VhdxWriter(sink, new_disk(path, size, DiskType.DYNAMIC))
                noise = memoryview(np.random.default_rng(1).bytes(BLOCK))
                for block in range(100):
                    writer.write(size // BLOCK * block // 100 * BLOCK, noise)
                writer.finish()
                sink.commit()
            made[path] = True
        return path

    yield make
    for path in made:
        path.unlink()


def _run(command, leaf, folder):
    target = folder / "out.vhdx"
    run(*VHDX, command, leaf, *((target, "--no-verify") if command == "convert" else ()))
    target.unlink(missing_ok=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_depth_costs_little(pairs, by_depth, memory_folder, measuring, command):
    deep, shallow = by_depth(256 if measuring else 12), by_depth(8)
    pairs.compare(
        (f"{command} of 256 layers", "the same of 8"),
        lambda: _run(command, deep, memory_folder),
        lambda: _run(command, shallow, memory_folder),
        bar=1.5,
        rounds=3,
    )


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "hash"])
def test_width_costs_little(pairs, by_width, memory_folder, measuring, command):
    """A `hash` is of every byte: 64 TiB of zeros take it a day."""
    wide, narrow = by_width(64 * TIB if measuring else TIB // 4), by_width(TIB if measuring else TIB // 64)
    pairs.compare(
        (f"{command} of 64 TiB", "the same of 1 TiB"),
        lambda: _run(command, wide, memory_folder),
        lambda: _run(command, narrow, memory_folder),
        bar=1.2,
        rounds=5,
    )
