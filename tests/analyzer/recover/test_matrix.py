"""Real file systems in damaged files: nothing that is said to be known is wrong, and what must come back does."""

import os

import pytest

from tests.analyzer.recover.matrix.catalogue import specimens
from tests.analyzer.recover.matrix.trial import (
    Damage,
    Filler,
    attempt,
    attempts,
    fronts,
    paired_damages,
    single_damages,
    truncations,
)
from tests.analyzer.recover.matrix.volumes import missing_programs

pytestmark = pytest.mark.slow

MIB = 1 << 20
WITHOUT_LOG = "dynamic, NTFS, log unused"
WANTED = ("dynamic, ext4", "dynamic, ext4, log live", "differencing, NTFS", "fixed, NTFS")


def made(folder, names=()):
    absent = missing_programs()
    if absent and os.environ.get("VHDX_REQUIRE_PEERS") != "1":
        pytest.skip(f"{', '.join(absent)} is not installed")
    return specimens(folder, names)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """Specimens of each type of file, by name."""
    return {one.name: one for one in made(tmp_path_factory.mktemp("matrix"), (*WANTED, WITHOUT_LOG))}


@pytest.mark.parametrize("name", WANTED)
def test_an_undamaged_file_is_known_from_end_to_end(some, name):
    result = attempt(some[name], Damage("nothing"))
    assert result.known == len(some[name].truth)
    assert result.wrong == 0


@pytest.mark.parametrize("name", WANTED)
def test_whatever_one_structure_is_lost_nothing_known_is_wrong(some, name):
    specimen = some[name]
    for damage, result in attempts(specimen, list(single_damages(specimen))):
        assert result.wrong == 0, damage.name


@pytest.mark.parametrize("name", WANTED)
def test_a_file_cut_or_overwritten_at_its_front_gives_nothing_wrong_as_known(some, name):
    specimen = some[name]
    for damage, result in attempts(specimen, [*list(truncations(specimen))[::7], *list(fronts(specimen))[::3]]):
        assert result.wrong == 0, damage.name


ALWAYS_BACK = (
    "identifier",
    "header 1",
    "header 2",
    "region table 1",
    "region table 2",
    "log",
    "metadata",
    "metadata table",
    "BAT",
    "BAT sector 0",
    "BAT sector 2",
)
"""What comes back whole on a dynamic disk with a file system whose log wrote the table."""


@pytest.mark.parametrize("name", ALWAYS_BACK)
@pytest.mark.parametrize("filler", Filler)
def test_on_a_logged_dynamic_disk_with_a_file_system_every_structure_comes_back_whole(some, name, filler):
    specimen = some["dynamic, ext4"]
    result = attempt(specimen, Damage(name, (specimen.parts[name],), filler))
    assert result.known + result.likely == len(specimen.truth)
    assert (result.wrong, result.likely_wrong) == (0, 0)


@pytest.mark.parametrize("filler", Filler)
@pytest.mark.parametrize(
    "names",
    [
        ("header 1", "header 2"),
        ("region table 1", "region table 2"),
        ("identifier", "metadata"),
        ("region table 1", "BAT sector 0"),
        ("metadata", "BAT"),
        ("metadata table", "BAT sector 2"),
        ("item file parameters", "BAT sector 0"),
    ],
)
def test_both_copies_lost_on_it_come_back_too(some, names, filler):
    specimen = some["dynamic, ext4"]
    result = attempt(specimen, Damage(" + ".join(names), tuple(specimen.parts[name] for name in names), filler))
    assert result.known + result.likely == len(specimen.truth)
    assert (result.wrong, result.likely_wrong) == (0, 0)


def test_a_live_log_that_is_lost_leaves_nothing_known(some):
    specimen = some["dynamic, ext4, log live"]
    result = attempt(specimen, Damage("log", (specimen.parts["log"],)))
    assert result.known == 0
    assert result.likely > 0


@pytest.mark.parametrize("filler", Filler)
def test_without_a_log_ntfs_itself_tells_where_its_blocks_belong(some, filler):
    specimen = some[WITHOUT_LOG]
    result = attempt(specimen, Damage("BAT", (specimen.parts["BAT"],), filler))
    assert result.data_likely == result.data
    assert (result.known, result.likely_wrong) == (0, 0)


@pytest.mark.parametrize("filler", Filler)
@pytest.mark.parametrize(("name", "share"), [("fixed, NTFS", 1.0), (WITHOUT_LOG, 0.4)])
def test_a_disk_comes_back_whose_structures_are_all_overwritten(some, name, share, filler):
    specimen = some[name]
    result = attempt(specimen, Damage("the front", ((0, 4 * MIB),), filler))
    assert result.data_likely >= share * result.data
    assert (result.known, result.likely_wrong) == (0, 0)


@pytest.mark.parametrize("filler", Filler)
@pytest.mark.parametrize("lost", ["metadata", "item virtual disk size"])
def test_without_metadata_and_table_the_blocks_of_a_fixed_disk_stand_in_order(some, lost, filler):
    specimen = some["fixed, NTFS"]
    result = attempt(specimen, Damage(lost, (specimen.parts[lost], specimen.parts["BAT"]), filler))
    assert result.data_likely == result.data
    assert (result.known, result.likely_wrong) == (0, 0)


@pytest.mark.fuzz
def test_the_whole_matrix_says_nothing_wrong(tmp_path):
    for specimen in made(tmp_path):
        damages = [
            *single_damages(specimen),
            *paired_damages(specimen),
            *fronts(specimen),
            *truncations(specimen),
        ]
        for damage, result in attempts(specimen, damages):
            assert result.wrong == 0, (specimen.name, damage.name, damage.filler)
