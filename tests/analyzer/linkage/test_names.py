"""What a file of a disk was called before something was put behind its name."""

from pathlib import Path

import pytest

from analyzer.linkage.names import own_ending, own_name


@pytest.mark.parametrize(
    ("name", "own", "ending"),
    [
        ("disk.vhdx", "disk.vhdx", ".vhdx"),
        ("disk.VHDX.locked", "disk.VHDX", ".vhdx"),
        ("a.vhdx.avhdx.id-7F3A.[mail@host].ext", "a.vhdx.avhdx", ".avhdx"),
        ("notes.txt", "notes.txt", ".txt"),
        ("vhdx.locked", "vhdx.locked", ".locked"),
        ("disk.vhdx2", "disk.vhdx2", ".vhdx2"),
    ],
)
def test_a_name_ends_with_the_ending_of_a_disk_and_what_follows_is_not_its_own(name, own, ending):
    assert own_name(Path(name)) == own
    assert own_ending(Path(name)) == ending
