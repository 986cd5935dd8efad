"""What `vhdx recover` says when it ends: one screen, in words that the owner of a disk understands."""

from dataclasses import replace

import pytest

from fixtures import Brush, encode
from fixtures.recipes.kit import child_of, disk
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import need
from tests.support.command_line import words_of

pytestmark = pytest.mark.slow
MIB = 1 << 20
SCREEN = 26
BASE = replace(disk("base", 8 * MIB), blocks=Brush(tag=3).fulls(range(8)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def section(answer, title):
    """The lines below a title."""
    lines = answer.out.splitlines()
    start = lines.index(f"{title}:") + 1
    return [line.strip() for line in lines[start:] if line.startswith("  ")][: _length(lines[start:])]


def _length(lines):
    return next((number for number, line in enumerate(lines) if not line.startswith("  ")), len(lines))


def test_a_missing_base_is_named_as_what_could_bring_more_and_where_to_look_for_it(vhdx_command, folder):
    encode(child_of(BASE, "child", Brush(tag=4).fulls((2, 6)))).write_to(folder / "leaf.avhdx")
    answer = vhdx_command("recover", "leaf.avhdx", "-o", "disk.raw")
    assert ["known", "2", "MiB"] in [line.split()[:3] for line in answer.out.splitlines()]
    assert ["lost", "6", "MiB"] in [line.split()[:3] for line in answer.out.splitlines()]
    assert section(answer, "more could come from") == [r"the missing file (.\base.vhdx): name it as well"]
    (command,) = (line for line in section(answer, "next") if line.startswith("vhdx scan"))
    assert vhdx_command(*words_of(command.partition("    ")[0])[1:]).code == 1


def test_a_chain_of_many_layers_and_a_table_of_many_parts_fill_one_screen(vhdx_command, folder):
    layers = [replace(BASE, size=64 * MIB, blocks=Brush(tag=3).fulls(range(64), range(9)))]
    for number in range(12):
        parent = "base.vhdx" if not number else f"layer{number - 1:02}.avhdx"
        layers.append(child_of(layers[-1], f"layer{number}", Brush(tag=4).fulls((number,)), path=f".\\{parent}"))
    for number, spec in enumerate(layers):
        encode(spec).write_to(folder / (f"layer{number - 1:02}.avhdx" if number else "base.vhdx"))
    with (folder / "base.vhdx").open("r+b") as file:
        file.write(bytes(3 * MIB))
    answer = vhdx_command("recover", "layer11.avhdx", "base.vhdx", "--dry-run")
    assert len(answer.out.splitlines()) <= SCREEN, answer.out
    assert "12 more files, whole" in answer.out
    assert "another copy of base.vhdx, an older backup as well" in section(answer, "more could come from")
    assert len(vhdx_command("recover", "layer11.avhdx", "base.vhdx", "--dry-run", "-v").out.splitlines()) > SCREEN


def test_a_parent_that_is_given_and_was_changed_is_not_called_missing(vhdx_command, folder):
    encode(BASE).write_to(folder / "base.vhdx")
    child = child_of(
        replace(BASE, identity=replace(BASE.identity, data_write_guid=disk("other").data_write_guid)), "c", {}
    )
    encode(child).write_to(folder / "leaf.avhdx")
    answer = vhdx_command("recover", "leaf.avhdx", "base.vhdx", "--dry-run")
    assert "not there" not in answer.out + answer.err
    assert "base.vhdx is not, or no longer, what leaf.avhdx was made from" in answer.out
    assert "a copy of base.vhdx from before it was changed" in section(answer, "more could come from")


def test_of_a_disk_that_is_known_whole_nothing_is_asked_for(vhdx_command, folder):
    encode(BASE).write_to(folder / "base.vhdx")
    answer = vhdx_command("recover", "base.vhdx", "-o", "disk.raw")
    assert (answer.code, "more could come from" in answer.out) == (0, False)
    assert any(line.startswith("vhdx files disk.raw") for line in section(answer, "next"))


@pytest.mark.peers
def test_of_a_volume_that_is_larger_than_its_disk_it_is_not_said_that_nothing_is_lost(vhdx_command, folder):
    need("ntfs")
    raw = images.make_ntfs(folder / "disk.raw", 8 * MIB)
    with raw.open("r+b") as file:
        file.truncate(6 * MIB)
    answer = vhdx_command("recover", images.chain_of(folder / "chain", raw), "--dry-run")
    assert "the volume at byte 0 ends 2.0 MiB past the end of the disk" in answer.out.replace("2 MiB", "2.0 MiB")
    assert "lost      0 bytes" not in answer.out


def test_scan_gives_the_command_for_a_file_whose_headers_are_damaged(vhdx_command, folder):
    encode(BASE).patched(64 << 10, b"\0" * 4096).patched(128 << 10, b"\0" * 4096).write_to(folder / "disk.vhdx")
    answer = vhdx_command("scan", ".")
    (command,) = (line.strip()[2:] for line in answer.out.splitlines() if line.strip().startswith("$ "))
    assert words_of(command)[:3] == ["vhdx", "recover", "disk.vhdx"]
    assert vhdx_command(*words_of(command)[1:]).code in {0, 1}


def test_scan_sends_nobody_to_recover_an_archive(vhdx_command, folder):
    (folder / "disk.vhdx").write_bytes(b"PK\x03\x04" + bytes(2 * MIB))
    answer = vhdx_command("scan", ".")
    assert "unpack it first" in answer.out
    assert not [line for line in answer.out.splitlines() if line.strip().startswith("$ ")]


def test_lost_space_that_a_volume_has_free_is_called_so_and_not_given_as_a_reason(vhdx_command, folder):
    need("ext4")
    volume = images.make_ext(folder / "volume", {"file": bytes(range(256)) * 512}, 16 * MIB)
    with volume.open("r+b") as file:
        file.seek(-2 * MIB, 2)
        file.write(bytes(range(1, 256)) * (2 * MIB // 255))
    leaf = images.chain_of(folder / "chain", volume)
    with leaf.open("r+b") as file:
        file.truncate(leaf.stat().st_size - MIB)
    answer = vhdx_command("recover", leaf, "--dry-run")
    (lost,) = (line for line in answer.out.splitlines() if line.startswith("  lost "))
    assert lost.split()[1:8] == ["1", "MiB,", "all", "of", "it", "free", "space"]
    assert section(answer, "why") == ["1 MiB of free space are lost: no file lies there, by the maps of the volumes"]
