"""Disks of which something is lost: what is still listed and taken out, and which files a recovery says are touched."""

import json

import pytest

import vhdx
from tests.filesystems import images
from tests.filesystems.conftest import content, need
from vhdx.runs import Kind

pytestmark = pytest.mark.peers
MIB = images.MIB
FILES = {f"file{number}": content(100 + number, 700_000) for number in range(8)}
FILES["small"] = b"a few bytes"


def image_of(kind, path):
    need(kind)
    if kind == "ext4":
        return images.make_ext(path, FILES, 16 * MIB)
    if kind == "ntfs":
        images.make_ntfs(path, 16 * MIB)
        images.edit_ntfs(path, *(("write", f"/{name}", data) for name, data in FILES.items()))
    else:
        images.make_fat(path, 16 * MIB)
        for name, data in FILES.items():
            images.fat_write(path, name, data)
    return path


def cut_off(leaf, raw):
    """Cut a VHDX in the middle of the data; gives {name: bytes lost}, by where the raw image has each file."""
    with vhdx.open_image(leaf) as image:
        runs = [run for run in image.runs() if run.kind is Kind.DATA]
        middle = raw.index(FILES["file4"]) // MIB * MIB
        at = next(run.file_offset + middle - run.start for run in runs if run.start <= middle < run.end)
    with leaf.open("r+b") as file:
        file.truncate(at)
    with vhdx.open_image(leaf) as image:
        lost = [(run.start, run.end) for run in image.runs() if run.kind is Kind.LOST]
    return {name: sum(_shared(raw, data, part) for part in lost) for name, data in FILES.items()}


def _shared(raw, data, part):
    start = raw.index(data)
    return max(0, min(part[1], start + len(data)) - max(part[0], start))


@pytest.fixture(params=["ext4", "ntfs", "fat16"])
def cut(request, tmp_path):
    """A truncated VHDX with a volume, and how many bytes of each file are lost."""
    path = image_of(request.param, tmp_path / "disk.raw")
    leaf = images.chain_of(tmp_path / "chain", path)
    lost = cut_off(leaf, path.read_bytes())
    assert 0 < sum(1 for count in lost.values() if count) < len(FILES)
    return leaf, lost


def test_files_of_which_something_is_lost_are_left_out_or_told_to_be_partial(vhdx_command, cut, tmp_path):
    leaf, lost = cut
    whole, broken = ({name for name in FILES if bool(lost[name]) is is_lost} for is_lost in (False, True))
    listed = vhdx_command("files", leaf, "--json").json["files"]
    assert {file["path"][1:] for file in listed if file["kind"] == "file"} == set(FILES)
    out = tmp_path / "out"
    answer = vhdx_command("extract", leaf, "/", "-o", out, "--json")
    assert answer.code == 1
    assert {told["path"][1:] for told in answer.json["left_out"]} == broken
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == {n: FILES[n] for n in whole}
    answer = vhdx_command("extract", leaf, "/", "-o", tmp_path / "more", "--partial", "--json")
    assert answer.code == 1
    assert {told["path"][1:]: told["lost_bytes"] for told in answer.json["partial"]} == {n: lost[n] for n in broken}
    for name in broken:
        partial = (tmp_path / "more" / f"{name}.partial").read_bytes()
        assert len(partial) == len(FILES[name])
        differ = sum(1 for one, other in zip(partial, FILES[name], strict=True) if one != other)
        assert differ <= lost[name]
    assert vhdx_command("extract", leaf, sorted(broken)[0], "-o", "-").code == 1


@pytest.mark.parametrize("dry", [True, False])
def test_a_recovery_names_the_files_that_it_could_not_bring_back(vhdx_command, cut, tmp_path, dry):
    leaf, lost = cut
    broken = {name: count for name, count in lost.items() if count}
    where = ("--dry-run",) if dry else ("-o", tmp_path / "out.raw", "--fill", "pattern")
    answer = vhdx_command("recover", leaf, *where, "--json")
    assert answer.code == 1
    told = answer.json["files"]
    assert {
        f["path"][1:]: f["lost_bytes"] for f in told["touched"] if f["role"] == "user" and f["kind"] == "file"
    } == broken
    assert told["lost"] == told["count"] == len(told["touched"])
    if not dry:
        written = json.loads((tmp_path / "out.raw.json").read_text())
        assert written["files"] == told
    text = vhdx_command("recover", leaf, "--dry-run").out
    assert f"{told['lost']} files with something lost, 0 with something stale" in text.replace("1 file ", "1 files ")
    assert all(f"1:/{name} (" in text for name in list(broken)[:3])


def test_below_a_missing_layer_files_are_stale(vhdx_command, states_of, tmp_path):
    states = states_of("ntfs")
    third = tmp_path / "third.raw"
    third.write_bytes(states.raw[1].read_bytes())
    images.edit_ntfs(third, ("write", "/in the leaf.txt", content(50, 9000)))
    leaf = images.chain_of(tmp_path / "chain", *states.raw, third)
    (leaf.parent / "layer1.avhdx").unlink()
    told = vhdx_command("recover", leaf, leaf.parent / "base.vhdx", "--dry-run", "--json").json["files"]
    by_path = {file["path"]: file for file in told["touched"]}
    assert by_path["/kept.txt"]["stale_bytes"] == len(states.before["kept.txt"])
    assert "/in the leaf.txt" not in by_path or not by_path["/in the leaf.txt"]["stale_bytes"]


def test_without_the_reader_a_recovery_says_what_would_list_files(vhdx_command, cut, monkeypatch):
    leaf, _ = cut
    monkeypatch.setitem(__import__("sys").modules, "pytsk3", None)
    answer = vhdx_command("recover", leaf, "--dry-run")
    assert "vhdx[filesystems]" in answer.out
    assert "vhdx[filesystems]" in vhdx_command("recover", leaf, "--dry-run", "--json").json["files"]["error"]


def test_a_whole_disk_has_no_touched_files(vhdx_command, states_of):
    told = vhdx_command("recover", states_of("ntfs").leaf, "--dry-run", "--json").json["files"]
    assert (told["count"], told["volumes"]) == (0, [])


@pytest.mark.parametrize("kind", ["ntfs", "fat32", "exfat"])
def test_a_volume_without_its_boot_sector_is_read_by_the_copy(vhdx_command, states_of, tmp_path, kind):
    states = states_of(kind)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(512) + states.raw[1].read_bytes()[512:])
    answer = vhdx_command("extract", disk, "/", "-o", tmp_path / "out", "--json")
    assert answer.code == 0
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == states.after
    assert "copy" in vhdx_command("files", disk, "--json").json["volumes"][0]["notes"][0]


@pytest.mark.parametrize("block", [1024, 4096])
def test_an_ext_volume_without_its_front_is_read_by_a_backup_superblock(vhdx_command, tmp_path, block):
    need("ext4")
    files = {"folder/file": content(1, 5000), "other": content(2, 300)}
    path = images.make_ext(tmp_path / "disk.raw", files, {1024: 20, 4096: 140}[block] * MIB, "-b", block)
    assert vhdx_command("files", path, "--json").json["volumes"][0]["notes"] == []
    with path.open("r+b") as file:
        file.write(bytes(2 * block if block == 4096 else 3 * block))
    answer = vhdx_command("files", path, "-r", "--json")
    assert {f["path"][1:] for f in answer.json["files"] if f["kind"] == "file"} == set(files)
    assert "backup" in answer.json["volumes"][0]["notes"][0]
    out = tmp_path / "out"
    assert vhdx_command("extract", path, "/", "-o", out).code == 0
    assert {name: (out / name).read_bytes() for name in files} == files


def test_folders_that_nothing_leads_to_any_more_are_listed_when_the_front_is_lost(vhdx_command, tmp_path):
    need("ext4")
    files = {f"top/dir{n}/file{m}": content(n * 10 + m, 2000) for n in range(6) for m in range(20)}
    options = ("-b", 1024, "-N", 192, "-O", "^flex_bg")
    path = images.make_ext(tmp_path / "disk.raw", files, 24 * MIB, *options)
    leaf = images.chain_of(tmp_path / "chain", path)
    _lose_first_block(leaf)
    told = vhdx_command("recover", leaf, "--dry-run", "--json").json["files"]
    assert "backup" in told["volumes"][0]["notes"][0]
    assert any(file["role"] == "user" or file["path"] for file in told["touched"])
    answer = vhdx_command("files", leaf, "-r", "--json")
    assert answer.code == 1
    found = {
        file["path"].rpartition("/")[2] for file in answer.json["files"] if file["path"].startswith("/$unreached/")
    }
    assert found & {f"file{m}" for m in range(20)}


def _lose_first_block(leaf):
    """Point the block table's first entry past the end of the file."""
    with vhdx.open_image(leaf) as image:
        at = image.allocation.table.payload_entry(0).file_offset
        raw = leaf.read_bytes()
    entry = (at | 6).to_bytes(8, "little")
    place = raw.index(entry, MIB)
    with leaf.open("r+b") as file:
        file.seek(place)
        file.write((1 << 40 | 6).to_bytes(8, "little"))
