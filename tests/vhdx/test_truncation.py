"""A file that ends early: it reads as before, or says what is missing; never anything else."""

import os
import random
from functools import cache, partial

import pytest

import vhdx
from fixtures import write_files
from tests.support.attempts import attempt
from tests.support.catalogue import fixture_of
from tests.support.sources import PatchedSource, chain_from
from vhdx.runs import Kind

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]

KIB, MIB = 1 << 10, 1 << 20
SMALL = ("dynamic", "log-override", "states-base", "odd-file-length")
CHAINS = ("bitmap-sparse", "states-child")
FRONT = (0, 8, 520, 64 * KIB, 68 * KIB, 128 * KIB, 132 * KIB, 192 * KIB, 256 * KIB, 320 * KIB, 512 * KIB)


@cache
def built(name):
    fixture = fixture_of(name)
    return fixture, [fixture.files[file].to_bytes() for file in fixture.chain[::-1]]


def lengths(size):
    """Every length near an edge of a structure, and every 4 KiB."""
    edges = {*FRONT, *range(0, size + 1, MIB), size}
    edges |= {at + 64 * KIB for at in range(MIB, size, MIB)}
    near = {edge + step for edge in edges for step in range(-9, 10)}
    return sorted(length for length in near | set(range(0, size, 4 * KIB)) if 0 <= length < size)


def assert_honest(files, victim, length, model):
    """Whatever a chain with one file cut to `length` gives out is what the model has there."""
    sources = [PatchedSource(data) for data in files]
    sources[victim] = PatchedSource(files[victim], size=length)
    chain, error = attempt(lambda: chain_from(sources))
    if error:
        assert error.exit_code == 3
        return False
    assert chain.size == model.size
    lost = False
    for run in chain.runs():
        lost = lost or run.kind is Kind.LOST
        for start in (run.start, max(run.start, run.end - 700)):
            wanted = min(700, run.end - start)
            data, error = attempt(partial(chain.read, start, wanted))
            if error:
                assert error.exit_code == 3
                assert run.kind is Kind.LOST
            else:
                assert data == model.read(start, wanted)
    return not lost


@pytest.mark.parametrize("name", SMALL)
def test_a_single_file_cut_anywhere_is_read_honestly(name, quiet):
    fixture, files = built(name)
    model = fixture.models[fixture.leaf]
    whole = [assert_honest(files, 0, length, model) for length in lengths(len(files[0]))]
    assert not whole[0]
    assert whole.count(False) > 300


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("name", CHAINS)
def test_a_layer_of_a_chain_cut_anywhere_is_read_honestly(name, victim, quiet):
    fixture, files = built(name)
    model = fixture.models[fixture.leaf]
    for length in lengths(len(files[victim]))[::3]:
        assert_honest(files, victim, length, model)


@pytest.mark.parametrize("name", ["dynamic", "log-override", "bitmap-sparse"])
def test_a_real_file_that_shrinks_step_by_step_opens_or_is_refused(name, tmp_path, quiet):
    fixture = fixture_of(name)
    write_files(fixture, tmp_path)
    path = tmp_path / fixture.leaf
    model = fixture.models[fixture.leaf]
    for length in lengths(path.stat().st_size)[::-40]:
        os.truncate(path, length)
        data, error = attempt(lambda: first_page(path))
        if error:
            assert str(error)
        else:
            assert data == model.read(0, 4096)


def first_page(path):
    with vhdx.open_chain(path) as disk:
        return disk.read(0, 4096)


def test_a_file_that_shrinks_while_it_is_open_is_a_short_read(tmp_path):
    fixture = fixture_of("dynamic")
    write_files(fixture, tmp_path)
    path = tmp_path / fixture.leaf
    with vhdx.open_image(path) as image:
        run = list(image.runs().of_kind(Kind.DATA))[-1]
        os.truncate(path, run.file_offset + 100)
        with pytest.raises(vhdx.errors.ShortReadError) as caught:
            image.read(run.start, 512)
    error = caught.value
    assert (error.path, error.offset, error.wanted, error.got) == (path, run.file_offset, 512, 100)


@pytest.mark.parametrize("times", [5, pytest.param(1000, marks=pytest.mark.fuzz)])
def test_a_file_cut_in_the_middle_of_scans_and_reads_is_an_error_each_time_and_ends_no_process(tmp_path, times):
    """Through a memory map the process would have ended with a signal."""
    fixture, chance = fixture_of("chain-3"), random.Random(1)
    write_files(fixture, tmp_path)
    paths = [tmp_path / name for name in fixture.chain]
    contents = {path: fixture.files[path.name] for path in paths}
    for _ in range(times):
        victim = chance.choice(paths)
        with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
            cut = partial(os.truncate, victim, chance.randrange(victim.stat().st_size))
            with pytest.raises(vhdx.errors.VhdxError):
                scan_and_read(chain, chance.randrange(64), cut)
        victim.unlink()
        contents[victim].write_to(victim)


def scan_and_read(chain, number, do):
    """Look at all of a disk in 64 pieces, and do something before one of them."""
    step = chain.size // 64 // 512 * 512
    for piece, start in enumerate(range(0, chain.size, step)):
        if piece == number:
            do()
        chain.runs(start, start + step)
        chain.read(start, step)
    chain.require_unchanged()


@pytest.mark.fuzz
@pytest.mark.parametrize("shard", range(16))
def test_the_smallest_file_cut_at_every_single_byte_is_read_honestly(shard, quiet):
    """Literally every length there is; minutes, where the edges above take seconds."""
    fixture, files = built("dynamic")
    model = fixture.models[fixture.leaf]
    for length in range(shard, len(files[0]), 16):
        assert_honest(files, 0, length, model)
