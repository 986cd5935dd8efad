"""Whole chains to one image: what comes out is the disk, and no more."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from analyzer.convert.convert import plan_conversion, run_conversion, stream_raw
from analyzer.convert.model import Options, OutputFormat, Verify, format_of
from fixtures import RECIPES, Verdict, write_files
from tests.analyzer.convert.helpers import (
    FULLY_PRESENT,
    MIB,
    SEEDED,
    assert_blocks_are_apart,
    assert_new_file_of_the_same_disk,
    assert_no_full_block_is_zeros,
    convert,
    entries,
)
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import file_hash
from tests.support.files import pieces_of, room_of
from tests.support.strategies import stacks
from vhdx.errors import LostDataError, OutputError
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

block_sizes = st.sampled_from((None, None, MIB, 2 * MIB, 16 * MIB))


@settings(max_examples=25)
@given(stack=stacks(max_layers=4), block_size=block_sizes)
def test_a_random_chain_becomes_a_dynamic_disk_that_reads_the_same(tmp_path_factory, stack, block_size):
    folder = tmp_path_factory.mktemp("dynamic")
    paths = stack.write_to(folder)
    hashes = [file_hash(path) for path in paths]
    target = folder / "flat.vhdx"
    options = Options(block_size=block_size, identities=SEEDED.identities)
    with vhdx.open_chain(paths[-1]) as chain:
        outcome = convert(chain, target, OutputFormat.VHDX, options)
        with vhdx.open_image(target) as image:
            assert image.read(0, image.size) == stack.disks[-1].bytes
            assert_new_file_of_the_same_disk(image, chain, chain.layers)
            assert_no_full_block_is_zeros(image)
            assert_blocks_are_apart(image)
            assert image.parameters.block_size == (block_size or chain.base.parameters.block_size)
            assert not image.has_parent
            assert not image.parameters.is_fixed
    assert outcome.verified
    assert (outcome.size, outcome.layers) == (len(stack.disks[-1].bytes), len(paths))
    assert outcome.file_size == target.stat().st_size
    assert [file_hash(path) for path in paths] == hashes


@settings(max_examples=15)
@given(stack=stacks(max_layers=3), block_size=block_sizes)
def test_a_random_chain_becomes_a_fixed_disk_that_reads_the_same(tmp_path_factory, stack, block_size):
    folder = tmp_path_factory.mktemp("fixed")
    paths = stack.write_to(folder)
    target = folder / "flat.vhdx"
    options = Options(block_size=block_size, identities=SEEDED.identities)
    with vhdx.open_chain(paths[-1]) as chain:
        convert(chain, target, OutputFormat.VHDX_FIXED, options)
        with vhdx.open_image(target) as image:
            assert image.read(0, image.size) == stack.disks[-1].bytes
            assert image.parameters.is_fixed
            assert_new_file_of_the_same_disk(image, chain, chain.layers)
            assert_blocks_are_apart(image)
            assert {state for state, _ in entries(image)[0]} == {FULLY_PRESENT}


@settings(max_examples=25)
@given(stack=stacks(max_layers=4))
def test_a_random_chain_becomes_a_raw_image_that_is_the_disk(tmp_path_factory, stack):
    folder = tmp_path_factory.mktemp("raw")
    target = folder / "flat.raw"
    with vhdx.open_chain(stack.write_to(folder)[-1]) as chain:
        outcome = convert(chain, target, OutputFormat.RAW)
        stream = io.BytesIO()
        stream_raw(chain, stream)
    assert target.read_bytes() == stack.disks[-1].bytes == stream.getvalue()
    assert outcome.file_size == len(stack.disks[-1].bytes)


@settings(max_examples=10)
@given(stack=stacks(max_layers=3, sectors=(512,)))
@pytest.mark.parametrize("output", OutputFormat)
def test_the_same_identities_give_the_same_bytes(tmp_path_factory, output, stack):
    folder = tmp_path_factory.mktemp("twice")
    paths = stack.write_to(folder)
    with vhdx.open_chain(paths[-1]) as chain:
        for name in ("one", "two"):
            (folder / name).mkdir()
            convert(chain, folder / name / "out.E01", output)  # one format insists on its name, the others take any
    assert file_hash(folder / "one" / "out.E01") == file_hash(folder / "two" / "out.E01")


def test_other_identities_give_other_guids(recipe, tmp_path):
    _, path = recipe("dynamic")
    with vhdx.open_chain(path) as chain:
        for name in ("a.vhdx", "b.vhdx"):
            convert(chain, tmp_path / name, OutputFormat.VHDX, Options())
    with vhdx.open_image(tmp_path / "a.vhdx") as first, vhdx.open_image(tmp_path / "b.vhdx") as second:
        assert first.data_write_guid != second.data_write_guid
        assert first.header.file_write_guid != second.header.file_write_guid


SMALL = [
    name
    for name, recipe in RECIPES.items()
    if recipe.verdict is Verdict.GOOD and not name.startswith(("huge", "chain-256", "block-", "bitmap-second"))
]


@pytest.mark.parametrize("name", SMALL)
def test_every_good_recipe_can_be_converted(tmp_path, name):
    fixture = fixture_of(name)
    inputs = tmp_path / "in"
    write_files(fixture, inputs)
    search = [inputs / folder for folder in fixture.search]
    with vhdx.open_chain(inputs / fixture.leaf, search=search) as chain:
        convert(chain, tmp_path / "flat.vhdx", OutputFormat.VHDX)
    model = fixture.models[fixture.leaf]
    written = [(start, start + len(data)) for start, data in model.extents]
    with vhdx.open_image(tmp_path / "flat.vhdx") as flat:
        assert flat.size == model.size
        assert {run.kind for run in flat.runs()} <= {Kind.DATA, Kind.ZERO, Kind.TRIM, Kind.HOLE}
        held = [(run.start, run.end) for run in flat.runs().of_kind(Kind.DATA)]
        for start, length in pieces_of(model.size, held, written):
            assert flat.read(start, length) == model.read(start, length)


def test_zeros_that_are_stored_are_not_stored_again(tmp_path):
    """Blocks of zeros, and zeros inside blocks, leave holes in the output."""
    from fixtures import Block, ImageSpec, encode
    from fixtures import BlockState as State

    zeros = {n: Block(state=State.FULLY_PRESENT) for n in range(4)}
    spec = ImageSpec(size=8 * MIB, blocks={**zeros, 4: Block(state=State.FULLY_PRESENT, data={2047: b"x" * 512})})
    encode(spec).write_to(tmp_path / "in.vhdx")
    with vhdx.open_chain(tmp_path / "in.vhdx") as chain:
        outcome = convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
        convert(chain, tmp_path / "out.raw", OutputFormat.RAW)
    assert outcome.data_bytes == MIB
    with vhdx.open_image(tmp_path / "out.vhdx") as image:
        assert image.runs().bytes_of(Kind.DATA) == MIB
    assert room_of(tmp_path / "out.raw") <= 64 << 10


def test_the_plan_touches_nothing_and_tells_what_will_be_needed(recipe, tmp_path):
    fixture, path = recipe("dynamic")
    before = sorted(tmp_path.iterdir())
    with vhdx.open_chain(path) as chain:
        plan = plan_conversion(chain, tmp_path / "x.vhdx", OutputFormat.VHDX, SEEDED)
        assert plan.size == fixture.models[fixture.leaf].size
        assert plan.needed_bytes >= plan.data_bytes > 0
        assert plan.work == 2 * plan.data_bytes
        trusting = Options(verify=Verify.TRUST)
        assert plan_conversion(chain, tmp_path / "x.raw", OutputFormat.RAW, trusting).work == plan.data_bytes
    assert sorted(tmp_path.iterdir()) == before


def test_progress_ends_where_the_plan_said_at_most(recipe, tmp_path):

    _, path = recipe("dynamic")
    done = []
    with vhdx.open_chain(path) as chain:
        plan = plan_conversion(chain, tmp_path / "x.vhdx", OutputFormat.VHDX, SEEDED)
        run_conversion(plan, chain, done.append)
    assert 0 < sum(done) <= plan.work
    assert all(step > 0 for step in done)


@pytest.mark.parametrize("output", OutputFormat)
def test_a_disk_with_lost_ranges_is_refused_before_anything_is_written(recipe, tmp_path, output):
    _, path = recipe("block-state-4")
    with vhdx.open_chain(path) as chain, pytest.raises(LostDataError) as caught:
        plan_conversion(chain, tmp_path / "out", output, SEEDED)
    assert (caught.value.start, caught.value.exit_code) == (2 * MIB, 3)
    assert not (tmp_path / "out").exists()
    with vhdx.open_chain(path) as chain, pytest.raises(LostDataError):
        stream_raw(chain, io.BytesIO())


@pytest.mark.parametrize("size", [0x80000, 3 * MIB, 512 * MIB, MIB + 1, -MIB])
def test_a_block_size_that_the_format_lacks_is_refused(recipe, tmp_path, size):
    _, path = recipe("dynamic")
    with vhdx.open_chain(path) as chain, pytest.raises(OutputError) as caught:
        plan_conversion(chain, tmp_path / "out", OutputFormat.VHDX, Options(block_size=size))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.raw", OutputFormat.RAW),
        ("a.IMG", OutputFormat.RAW),
        ("a.b.VHDX", OutputFormat.VHDX),
        ("a.dd", OutputFormat.RAW),
        ("a.qcow2", OutputFormat.QCOW2),
        ("a.vhd", OutputFormat.VHD),
        ("a.vmdk", OutputFormat.VMDK),
        ("a.raw.zst", OutputFormat.RAW_ZST),
        ("a.E01", OutputFormat.E01),
        ("a.e01", OutputFormat.E01),
    ],
)
def test_a_file_name_tells_the_format(tmp_path, name, expected):
    assert format_of(tmp_path / name) is expected


@pytest.mark.parametrize("name", ["a", "a.vdi", "a.qcow", "a.E02", "raw", ".vhdx"])
def test_a_file_name_without_a_known_format_is_refused(tmp_path, name):
    with pytest.raises(OutputError) as caught:
        format_of(tmp_path / name)
    assert "--format" in str(caught.value)
