"""Every recipe of the catalogue: the good ones read as their model at every layer, the bad ones are refused."""

from itertools import pairwise

import pytest

import vhdx
from fixtures import RECIPES, Verdict
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

MIB = 1 << 20
GOOD = [name for name, recipe in RECIPES.items() if recipe.verdict is Verdict.GOOD]
BAD = [name for name, recipe in RECIPES.items() if recipe.verdict is Verdict.BAD]
# With this scope the tests of one recipe follow one another, and it is built for the first of them alone.
each_good_one = pytest.mark.parametrize("name", GOOD, scope="module")
each_bad_one = pytest.mark.parametrize("name", BAD, scope="module")


def test_the_catalogue_is_as_large_as_it_should_be():
    assert len(GOOD) + len(BAD) >= 190
    assert len(BAD) >= 60


def assert_reads_as(disk, model):
    """The disk equals the model: small ones byte by byte, others where either of the two says there is something."""
    assert disk.size == model.size
    if model.size <= 256 * MIB:
        for at in range(0, model.size, 16 * MIB):
            assert disk.read(at, 16 * MIB) == model.read(at, 16 * MIB)
        return
    held = [(run.start, run.end) for table in disk.windows() for run in table.of_kind(Kind.DATA)]
    stored = [(start, start + len(data)) for start, data in model.extents]
    for start, end in {*held, *stored}:
        first, length = max(0, start - 4096), end - start + 8192
        assert disk.read(first, length) == model.read(first, length)


def searched(fixture, path):
    root = path
    for _ in fixture.leaf.split("/"):
        root = root.parent
    return [root / folder for folder in fixture.search]


@each_good_one
def test_a_good_recipe_reads_as_its_model_at_every_layer(recipe, name):
    fixture, path = recipe(name)
    with vhdx.open_chain(path, search=searched(fixture, path)) as disk:
        assert len(disk.layers) == len(fixture.chain)
        layers = range(len(fixture.chain)) if len(fixture.chain) <= 16 else (0, 1, 100, 254, 255)
        for layer in layers:
            assert_reads_as(disk.upto(layer), fixture.models[fixture.chain[::-1][layer]])


@each_good_one
def test_a_good_recipe_has_runs_without_gaps_and_nothing_lost(recipe, name):
    fixture, path = recipe(name)
    with vhdx.open_chain(path, search=searched(fixture, path)) as disk:
        position = 0
        for table in disk.windows():
            assert len(table) < 1 << 20
            for run in table:
                assert run.start == position
                assert run.kind is not Kind.LOST
                position = run.end
        assert position == disk.size


@each_good_one
def test_opening_and_reading_leave_the_files_as_they_are(recipe, name):
    fixture, path = recipe(name)
    root = path.parents[fixture.leaf.count("/")]
    before = {file: (root / file).stat() for file in fixture.files}
    with vhdx.open_chain(path, search=searched(fixture, path)) as disk:
        disk.read(0, MIB)
    for file, content in fixture.files.items():
        status = (root / file).stat()
        assert (status.st_size, status.st_mtime_ns) == (before[file].st_size, before[file].st_mtime_ns)
        for start, data in content.extents:
            with (root / file).open("rb") as handle:
                handle.seek(start)
                assert handle.read(len(data)) == data


def read_from_end_to_end(disk):
    """Read whatever is not known to be zeros."""
    for table in disk.windows():
        for run in table:
            if run.kind in {Kind.DATA, Kind.LOST}:
                disk.read(run.start, min(run.length, 16 * MIB))


@each_bad_one
def test_a_bad_recipe_is_refused_with_its_exit_code(recipe, name):
    fixture, path = recipe(name)
    with pytest.raises(vhdx.VhdxError) as caught, vhdx.open_chain(path, search=searched(fixture, path)) as disk:
        read_from_end_to_end(disk)
    assert caught.value.exit_code == fixture.exit_code
    assert fixture.exit_code in {3, 4}
    assert len(str(caught.value)) > 20


@each_bad_one
def test_the_text_of_a_refusal_names_a_file_and_something_to_do(recipe, name):
    fixture, path = recipe(name)
    with pytest.raises(vhdx.VhdxError) as caught, vhdx.open_chain(path, search=searched(fixture, path)) as disk:
        read_from_end_to_end(disk)
    text = str(caught.value)
    assert any(file.split("/")[-1] in text for file in fixture.files) or path.name in text
    assert ";" in text


def test_each_layer_of_the_demo_can_be_opened_by_itself(recipe):
    fixture, path = recipe("demo")
    for child, parent in pairwise(fixture.chain):
        with vhdx.open_chain(path.parent / child) as disk:
            assert_reads_as(disk, fixture.models[child])
            assert disk.layers[-2].path.name == parent
