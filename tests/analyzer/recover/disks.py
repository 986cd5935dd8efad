"""Partial disks for tests: files by name, put in order as a recovery does it, and what the judge expects of them."""

from pathlib import Path

from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance
from analyzer.recover.inputs.collect import gather
from analyzer.recovery_map.mapfile import Status
from tests.support.sources import SparseSource
from vhdx.errors import InputOutputError
from vhdx.parents import Search
from vhdx.ranges import NO_RANGES

NOWHERE = Search()


def gathered(files, *, assumed=None, broken=()):
    """Fixtures' files, {name: file}, opened in memory; those in `broken` are 100 bytes long."""
    sources = {Path("/nowhere", name): file for name, file in files.items()}

    def opener(path):
        if path not in sources:
            raise InputOutputError(path, "open", "No such file or directory")
        source = SparseSource(sources[path], path)
        if path.name in broken:
            source.size = 100
        return source

    inputs = [path for path in sources if path.name != assumed]
    return gather(inputs, NOWHERE, Path("/nowhere", assumed) if assumed else None, opener)


def statuses(disk, faults=None):
    """One status for each sector of the disk."""
    found = []
    for row in Provenance(disk, faults or NO_RANGES, EarlierRun()).rows():
        assert row.start == len(found) * disk.sector_size
        found += [row.status] * (row.length // disk.sector_size)
    assert len(found) * disk.sector_size == disk.size
    return found


def expected_without(specs, missing, sector):
    """What each sector must be when one layer is gone, by the fixtures' own model of blocks and bits, bit by bit."""
    size = specs[-1].size
    return [_status(specs, missing, start) for start in range(0, size, sector)]


def _status(specs, missing, start):
    gap = False
    for number in range(len(specs) - 1, -1, -1):
        if number == missing:
            gap = True
        elif start >= cut_without(specs, missing, number) or settles(specs[number], start):
            return Status.STALE if gap else Status.KNOWN
    return Status.LOST


def cut_without(specs, missing, number):
    """Where the view of a layer ends, by the sizes of the layers that are there."""
    return min(spec.size for place, spec in enumerate(specs) if place >= number and place != missing)


def settles(spec, start):
    """Whether a layer has a sector itself: a base has all."""
    if spec.parent is None:
        return True
    block = spec.blocks.get(start // spec.block_size)
    if block is None or block.state.name == "NOT_PRESENT":
        return False
    if block.state.name != "PARTIALLY_PRESENT":
        return True
    sector = start % spec.block_size // spec.logical_sector
    if block.bits is not None:
        return any(sector in run for run in block.bits)
    return any(at <= sector < at + len(data) // spec.logical_sector for at, data in block.data.items())


def looks_wiped(specs):
    """Whether 512 bytes of a sector bitmap are zeros over partial blocks that hold something there, in any layer.

    Old data under bits that are 0 are allowed, and look like a bitmap that was wiped: no reader can tell the two apart.
    """
    return any(_looks_wiped(spec) for spec in specs if spec.parent)


def _looks_wiped(spec):
    sector, per_part = spec.logical_sector, 512 * 8
    marked, held = set(), set()
    for index, block in spec.blocks.items():
        if block.state.name == "PARTIALLY_PRESENT":
            first = index * spec.block_size // sector
            marked |= {(first + bit) // per_part for run in block.bit_runs(sector) for bit in run}
            pieces = [(first + at, data) for at, data in block.data.items()]
            held |= {
                (at + n // sector) // per_part
                for at, data in pieces
                for n in range(0, len(data), sector)
                if data.count(0, n, n + sector) < len(data[n : n + sector])
            }
    return bool(held - marked)


def disk_of(found):
    return PartialDisk(found.levels)
