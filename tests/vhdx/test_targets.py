"""What an output never replaces, whatever was forced."""

from pathlib import Path

import pytest

from fixtures import write_files
from tests.support.catalogue import fixture_of
from vhdx.errors import OutputError
from vhdx.sink import Existing
from vhdx.targets import check_target


@pytest.fixture
def chain(tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    return fixture, tmp_path


def test_a_checkpoint_is_never_replaced_and_a_base_is_only_when_forced(chain):
    fixture, folder = chain
    leaf, base = folder / fixture.leaf, folder / "base.vhdx"
    base.exists() or pytest.fail(str(sorted(folder.iterdir())))
    with pytest.raises(OutputError, match="checkpoint"):
        check_target(leaf, [base], Existing.REPLACE)
    check_target(base, [], Existing.REPLACE)
    with pytest.raises(OutputError, match="exists already"):
        check_target(base, [], Existing.REFUSE)


@pytest.mark.parametrize("damage", [0, 0x10000, 0x20000])
def test_a_checkpoint_whose_front_is_damaged_in_one_copy_is_still_known(chain, damage):
    fixture, folder = chain
    with (folder / fixture.leaf).open("r+b") as file:
        file.seek(damage)
        file.write(bytes(4096))
    with pytest.raises(OutputError, match="checkpoint"):
        check_target(folder / fixture.leaf, [], Existing.REPLACE)


@pytest.mark.parametrize("place", [".", "..", "/", "sub"])
def test_a_folder_is_no_target(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    with pytest.raises(OutputError, match="folder"):
        check_target(Path(place), [], Existing.REPLACE)
