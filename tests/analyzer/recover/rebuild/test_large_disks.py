"""What it costs to put blocks back whose table is lost: the file is read a few times, however large its blocks are."""

import random
import shutil
from contextlib import contextmanager

import pytest

from analyzer.recover.rebuild import placement
from analyzer.recover.rebuild.job import rebuild_tables
from analyzer.recover.rebuild.tails import SECTOR, Tails
from analyzer.recover.rebuild.workspace import payload_entries, places_of
from fixtures import encode, flatten
from tests.analyzer.recover.matrix import volumes
from tests.analyzer.recover.rebuild.helpers import MIB, bat_of, known_bytes
from tests.analyzer.recover.rebuild.test_votes import ext4, in_blocks
from tests.support.sources import CountingSource, PatchedSource, SparseSource
from vhdx.contents import Structures
from vhdx.image import image_from
from vhdx.source import MemorySource

pytestmark = pytest.mark.slow

BLOCK = 8 * MIB
MOST_READ = 3
"""Bytes read for each byte of the file; by rooms, which begin at each MiB, it was 5, more with larger blocks."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    if missing := [name for name in volumes.PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing} are not installed")
    return ext4(tmp_path_factory.mktemp("large"), 5)


def noisy(file, spec):
    """The file with noise for a table, entries of sector bitmaps and those that nobody uses included."""
    at, length = bat_of(spec)
    return file.patched(at, random.Random(1).randbytes(length))


def test_a_file_without_its_table_is_read_a_few_times_however_large_its_blocks_are(disk):
    spec = in_blocks(disk, BLOCK, 5)
    file = noisy(encode(spec), spec)
    source = CountingSource(SparseSource(file))
    saved = rebuild_tables(Structures(source))
    assert known_bytes(saved.image, flatten([spec])) > 0
    assert sum(length for _, length in source.reads) < MOST_READ * file.size


def test_blocks_behind_the_rooms_that_are_searched_first_come_back_once_the_grid_is_known(disk, monkeypatch):
    spec = in_blocks(disk, 2 * MIB, 5)
    file = noisy(encode(spec), spec)
    sound = places_of(payload_entries(image_from(SparseSource(encode(spec))).table))
    all_of_them = places_of(payload_entries(rebuild_tables(Structures(SparseSource(file))).image.table))
    assert (all_of_them > 0).sum() > 2 * placement._ENOUGH
    assert ((all_of_them == 0) | (all_of_them == sound)).all()
    # So many starts, a MiB apart, that the last of the blocks is not among them.
    last = int(all_of_them.max())
    first = int(sound[sound > 0].min())
    monkeypatch.setattr(placement, "_MOST_STARTS", (last - first) // MIB)
    found = places_of(payload_entries(rebuild_tables(Structures(SparseSource(file))).image.table))
    assert found.tolist() == all_of_them.tolist()


@pytest.mark.parametrize("seed", range(2))
def test_sectors_end_where_their_last_byte_is_that_is_not_zero(seed):
    draw = random.Random(seed)
    sectors = [
        bytes(draw.choice((0, 0, 1, 255)) for _ in range(draw.choice((0, 1, 8, 9, 511, 512)))) for _ in range(4096)
    ]
    raw = b"".join(sector.ljust(SECTOR, b"\0") for sector in sectors)
    tail = Tails(MemorySource(raw)).of(0, 2 * MIB)
    assert tail.lengths.tolist() == [len(sector.rstrip(b"\0")) for sector in sectors]
    assert tail.held[-1] == sum(any(sector) for sector in sectors)
    part = tail.part(MIB, MIB)
    assert part.lengths.tolist() == tail.lengths[2048:].tolist()
    assert (part.held - part.held[0]).tolist() == (tail.held[2048:] - tail.held[2048]).tolist()


def test_rooms_that_overlap_are_read_once():
    source = CountingSource(PatchedSource(b"", [(n * MIB, b"\1") for n in range(4)], 4 * MIB))
    tails = Tails(source)
    for start in range(3):
        tails.of(start * MIB, 2 * MIB)
    assert sorted(source.reads) == [(n * MIB, MIB) for n in range(4)]


def test_what_cannot_be_read_ends_nowhere():
    tail = Tails(MemorySource(b"\1" * MIB)).of(0, 2 * MIB)
    assert tail.lengths.tolist() == [SECTOR] * 2048 + [0] * 2048


def test_each_step_says_what_it_does_and_how_much_it_read(disk):
    spec, told = in_blocks(disk, BLOCK, 5), {}

    @contextmanager
    def stage(what, _total):
        told.setdefault(what, 0)

        def update(done):
            told[what] += done

        yield update

    file = noisy(encode(spec), spec)
    rebuild_tables(Structures(SparseSource(file)), stage=stage)
    assert next(iter(told)) == "looking for blocks without an entry"
    assert told["placing blocks by superblocks of ext"] > 0
    assert 0 < told["placing blocks by ends of files"] <= file.size
