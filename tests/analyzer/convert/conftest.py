"""What tests of outputs share."""

import pytest

import vhdx
from fixtures import write_files
from tests.support.catalogue import fixture_of


@pytest.fixture
def chain(tmp_path):
    """A chain of three layers, open."""
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path / "in")
    with vhdx.open_chain(tmp_path / "in" / fixture.leaf) as opened:
        yield opened
