"""How blocks are merged: with few calls, and with what comes next on its way."""

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.merge import blocks
from analyzer.merge.blocks import held_by_block, read_ahead
from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from fixtures.recipes.kit import child_of
from tests.analyzer.merge.helpers import disk, merge, opened_chain
from tests.support.crashing import PagedFile, Recorder, crash_states
from vhdx.runs import Kind
from vhdx.source import read_at

MIB = 1 << 20
PAGE = 4096
PATHS = [Path("base.vhdx"), Path("mid.avhdx"), Path("leaf.avhdx")]


def partial(tag, *pages):
    """A block that holds these of its pages."""
    data = {page * 8: stamp(page * PAGE, PAGE, tag) for page in pages}
    return Block(state=BlockState.PARTIALLY_PRESENT, data=data)


@pytest.fixture
def run():
    """Pages 1 to 3 of a block that the base has and of one that it lacks, from two layers; 9 is on its own."""
    base = ImageSpec(size=8 * MIB, identity=Identity.of("b"), blocks={0: Block(state=BlockState.FULLY_PRESENT)})
    mid = child_of(base, "mid", {0: partial(2, 1, 3), 5: partial(2, 1, 3)})
    leaf = child_of(mid, "leaf", {0: partial(3, 2, 9), 5: partial(3, 2, 9)})
    specs = zip(PATHS, (base, mid, leaf), strict=True)
    return Recorder({path: PagedFile.of(encode(spec), path) for path, spec in specs})


def test_what_lies_side_by_side_is_written_at_once_whichever_layers_it_is_from(run):
    wanted = disk(run.files, PATHS)
    merge(run, PATHS)
    assert disk(run.files, PATHS[:1]) == wanted
    writes = [operation[2] for path, operation in run.operations if path == PATHS[0] and operation[0] == "write"]
    shown = {wanted[start + PAGE : start + 2 * PAGE] for start in (0, 5 * MIB)}
    assert [len(data) for data in writes if data[:PAGE] in shown] == [3 * PAGE] * 2


@pytest.mark.parametrize("ahead", [0, 4 * PAGE, 1 << 30])
def test_what_comes_next_is_said_before_it_is_read_and_nothing_is_lost_or_doubled(run, monkeypatch, ahead):
    monkeypatch.setattr(blocks, "_AHEAD", ahead)
    said = []
    monkeypatch.setattr(blocks, "expect_of", lambda source, part: said.append((source.path, *part)))
    chain = opened_chain(run, PATHS)
    found = list(held_by_block(chain, 0, MIB, chain.size))
    for (block, own), (number, plain) in zip(read_ahead(chain, iter(found)), found, strict=True):
        wanted = [(chain.sources[one.layer].path, one.file_offset, one.length) for one in own.of_kind(Kind.DATA)]
        assert (block, own, set(wanted) <= set(said)) == (number, plain, True)
    assert all(any(read_at(chain.sources[PATHS.index(path)], at, length)) for path, at, length in said)


@pytest.mark.parametrize(("lower", "upper"), [(256, 256), (32, 256), (256, 32)])
def test_the_largest_blocks_of_the_largest_disk_are_merged_piece_by_piece(lower, upper):
    size, places = 64 << 40, (0, 32 << 40, (64 << 40) - PAGE)

    def at(places, block_size, tag):
        state = BlockState.FULLY_PRESENT if tag == 1 else BlockState.PARTIALLY_PRESENT
        data = {place // block_size: {place % block_size // 512: stamp(place, PAGE, tag)} for place in places}
        return {number: Block(state=state, data=held) for number, held in data.items()}

    base = ImageSpec(
        size=size, identity=Identity.of("b"), block_size=lower * MIB, blocks=at([0, 1 << 40], lower * MIB, 1)
    )
    child = replace(child_of(base, "c", at(places, upper * MIB, 2)), block_size=upper * MIB)
    run = Recorder({path: PagedFile.of(encode(spec), path) for path, spec in zip(PATHS, (base, child), strict=False)})
    merge(run, PATHS[:2])
    chain = opened_chain(run, PATHS[:1])
    assert [chain.read(place, PAGE) for place in places] == [stamp(place, PAGE, 2) for place in places]
    assert chain.read(1 << 40, PAGE) == stamp(1 << 40, PAGE, 1)


@pytest.mark.slow
def test_a_parent_gets_a_larger_table_where_the_child_is_that_much_larger():
    """Its 1 MiB has entries for 128 GiB; the child ends far behind that."""
    size, last = 300 << 30, (300 << 10) - 1
    base = ImageSpec(size=8 * MIB, identity=Identity.of("b"), blocks={0: Block(state=BlockState.FULLY_PRESENT)})
    child = replace(child_of(base, "c", {1: partial(2, 1), last: partial(3, 255)}), size=size)
    run = Recorder({path: PagedFile.of(encode(spec), path) for path, spec in zip(PATHS, (base, child), strict=False)})
    merge(run, PATHS[:2])
    chain = opened_chain(run, PATHS[:1])
    assert chain.size == size
    assert chain.read(MIB + PAGE, PAGE) == stamp(PAGE, PAGE, 2)
    assert chain.read(size - PAGE, PAGE) == stamp(255 * PAGE, PAGE, 3)
    for words, files in list(crash_states(run, shuffled=0))[::25]:
        assert opened_chain(Recorder(files), PATHS[:2]).read(size - PAGE, PAGE) == stamp(255 * PAGE, PAGE, 3), words
