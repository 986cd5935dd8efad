"""What tests of outputs share."""

import pytest

import vhdx
from fixtures import RECIPES, write_files


@pytest.fixture
def chain(tmp_path):
    """A chain of three layers, open."""
    fixture = RECIPES["chain-3"].build()
    write_files(fixture, tmp_path / "in")
    with vhdx.open_chain(tmp_path / "in" / fixture.leaf) as opened:
        yield opened
