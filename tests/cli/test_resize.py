"""`vhdx resize`: into a new file, in place, and what is refused."""

import pytest

from fixtures import encode
from tests.analyzer.resize.test_resizing import MIB, spec
from vhdx.image import open_image


@pytest.fixture
def disk(tmp_path):
    encode(spec()).write_to(tmp_path / "disk.vhdx")
    return tmp_path / "disk.vhdx"


def test_into_a_new_file_the_disk_itself_is_only_read(vhdx_command, disk):
    before = disk.read_bytes()
    answer = vhdx_command("resize", disk, "24M", disk.with_name("new.vhdx"), "--fix-gpt", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["output"]["size"] == 24 * MIB
    assert disk.read_bytes() == before
    with open_image(disk.with_name("new.vhdx")) as image:
        assert image.size == 24 * MIB


def test_in_place_it_becomes_as_small_as_its_partitions_allow(vhdx_command, disk):
    answer = vhdx_command("resize", disk, "min", "--in-place", "--json")
    assert answer.code == 0
    assert answer.json["resized"]["size"] == 6 * MIB
    assert answer.json["resized"]["written_size"] == disk.stat().st_size
    assert "--fix-gpt" in answer.err


def test_a_dry_run_says_sizes_and_changes_nothing(vhdx_command, disk):
    before = disk.read_bytes()
    answer = vhdx_command("resize", disk, "1G", "--dry-run")
    assert (answer.code, disk.read_bytes()) == (0, before)
    assert "would be 1 GiB" in answer.out
    assert "at the least" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["1M", "--in-place"], 5), (["1G"], 2), (["lots", "--in-place"], 2), (["1G", "x.vhdx", "--in-place"], 2),
     (["1G", "-"], 2)],
)  # fmt: skip
def test_what_cannot_be_is_refused(vhdx_command, disk, monkeypatch, arguments, code):
    monkeypatch.chdir(disk.parent)
    assert vhdx_command("resize", disk, *arguments).code == code
