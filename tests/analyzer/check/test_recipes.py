"""Checking the recipes: what is told of files that are damaged more than once, and what is left untold."""

import pytest

from analyzer.check.check import check_chain, check_file
from fixtures import write_files
from tests.support.catalogue import fixture_of
from tests.support.files import patch
from vhdx.findings import Severity

KIB = 1 << 10
HEADERS = (64 * KIB, 128 * KIB)


def codes(checked):
    return {finding.code for finding in checked.findings if finding.severity is not Severity.NOTE}


@pytest.fixture
def chain(recipe):
    """The paths of a chain's files by a recipe's name, the leaf's first."""

    def build(name):
        fixture, leaf = recipe(name)
        return [leaf.with_name(file) for file in fixture.chain]

    return build


def test_a_damaged_parent_is_told_by_its_own_damage(chain):
    leaf, base = chain("damaged-parent")
    checked = check_chain(leaf)
    assert codes(checked) == {"HDR-01", "HDR-04", "FID-09"}
    assert checked.files == (leaf, base)
    assert {finding.path for finding in checked.findings if finding.code == "HDR-04"} == {base}


def test_a_parent_of_other_sectors_is_looked_at_all_the_same(chain):
    leaf, base = chain("sector-sizes-differ")
    patch(base, HEADERS[0], bytes(4 * KIB))
    assert codes(check_chain(leaf)) == {"CHN-05", "HDR-03", "FID-09"}


@pytest.mark.slow
def test_a_chain_that_is_too_deep_is_told_once(tmp_path):
    fixture = fixture_of("chain-257")
    write_files(fixture, tmp_path)
    checked = check_chain(tmp_path / fixture.leaf)
    assert [finding.code for finding in checked.findings if finding.severity is Severity.ERROR] == ["CHN-04"]


def test_without_a_header_no_space_is_called_leaked_since_it_may_be_the_log(recipe):
    _, path = recipe("log-closed-entries")
    for at in HEADERS:
        patch(path, at, bytes(4 * KIB))
    told = {finding.code for finding in check_file(path).findings}
    assert not told & {"BAT-19", "BAT-20", "FID-07"}


def test_without_a_header_a_block_upon_the_metadata_is_still_found(recipe):
    _, path = recipe("block-in-metadata")
    for at in HEADERS:
        patch(path, at, bytes(4 * KIB))
    assert "BAT-05" in codes(check_file(path))


@pytest.mark.slow
def test_entries_that_the_region_has_no_room_for_are_no_bitmaps(recipe):
    _, path = recipe("disk-size-past-bat")
    assert codes(check_file(path)) == {"BAT-10", "MET-22"}
