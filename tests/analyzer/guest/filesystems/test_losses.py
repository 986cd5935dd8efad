"""Disks of which something is lost: what is still listed and taken out, and which files a recovery says are touched."""

import json
import os
import re
import subprocess

import pytest

import vhdx
from analyzer.recover import affected_files
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need
from tests.support.files import ROOT
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
    row = next(line for line in text.splitlines() if line.startswith("  lost "))
    assert told["users"] == {"known": len(lost) - len(broken), "likely": 0, "doubtful": 0, "lost": len(broken)}
    assert row.split()[-2:] == [str(len(broken)), "files" if len(broken) > 1 else "file"]
    assert all(f"1:/{name} (" in text for name in list(broken)[:3])
    full = vhdx_command("recover", leaf, "--dry-run", "-v").out.replace("1 file ", "1 files ")
    assert f"{told['lost']} files with something lost, 0 with something stale" in full


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


@pytest.mark.parametrize("cut", ["ext4"], indirect=True)
def test_a_recovery_that_is_stopped_while_it_looks_for_files_keeps_image_map_and_account(
    vhdx_command, cut, tmp_path, monkeypatch
):
    def stopped(_disk):
        assert (tmp_path / "out.raw.map").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(affected_files, "open_volumes", stopped)
    answer = vhdx_command("recover", cut[0], "-o", tmp_path / "out.raw")
    assert answer.code == 130
    assert "its map and its account are whole" in answer.err
    assert (tmp_path / "out.raw").exists()
    assert "not looked for yet" in json.loads((tmp_path / "out.raw.json").read_text())["files"]["error"]


def test_without_the_reader_a_recovery_says_what_would_list_files(vhdx_command, cut, monkeypatch):
    leaf, _ = cut
    monkeypatch.setitem(__import__("sys").modules, "pytsk3", None)
    answer = vhdx_command("recover", leaf, "--dry-run")
    assert "its extra `filesystems`" in answer.out
    assert "its extra `filesystems`" in vhdx_command("recover", leaf, "--dry-run", "--json").json["files"]["error"]


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
    _lose_block(leaf, 0)
    told = vhdx_command("recover", leaf, "--dry-run", "--json").json["files"]
    assert "backup" in told["volumes"][0]["notes"][0]
    assert any(file["role"] == "user" or file["path"] for file in told["touched"])
    answer = vhdx_command("files", leaf, "-r", "--json")
    assert answer.code == 1
    found = {
        file["path"].rpartition("/")[2] for file in answer.json["files"] if file["path"].startswith("/$unreached/")
    }
    assert found & {f"file{m}" for m in range(20)}


def _lose_block(leaf, number):
    """Point a block's entry of the table past the end of the file."""
    with vhdx.open_image(leaf) as image:
        at = image.table.payload_entry(number).file_offset
        raw = leaf.read_bytes()
    entry = (at | 6).to_bytes(8, "little")
    place = raw.index(entry, MIB)
    with leaf.open("r+b") as file:
        file.seek(place)
        file.write((1 << 40 | 6).to_bytes(8, "little"))


def recovered(vhdx_command, leaf, out, *options):
    """What a recovery wrote, its losses filled with the pattern, so that zeros stand for nothing."""
    assert vhdx_command("recover", leaf, "-o", out, "--fill", "pattern", *options).code == 1
    return out


@pytest.mark.parametrize("name", ["out.raw", "out.vhdx"])
def test_a_recovered_image_gives_no_more_files_than_the_chain_that_it_came_from(vhdx_command, cut, tmp_path, name):
    leaf, lost = cut
    broken = {file for file, count in lost.items() if count}
    image = recovered(vhdx_command, leaf, tmp_path / name)
    answer = vhdx_command("extract", image, "/", "-o", tmp_path / "out", "--json")
    assert answer.code == 1
    assert f"{name}.map" in answer.err
    assert {told["path"][1:] for told in answer.json["left_out"]} == broken
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert found == {file: FILES[file] for file in set(FILES) - broken}
    answer = vhdx_command("extract", image, "/", "-o", tmp_path / "more", "--partial", "--json")
    assert {told["path"][1:]: told["lost_bytes"] for told in answer.json["partial"]} == {n: lost[n] for n in broken}
    assert vhdx_command("extract", image, sorted(broken)[0], "-o", "-").code == 1


def test_files_of_a_recovered_image_are_each_told_to_be_known_or_lost(vhdx_command, cut, tmp_path):
    leaf, lost = cut
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    answer = vhdx_command("files", image, "--json")
    assert answer.code == 1
    assert answer.json["state"]["map"] == str(tmp_path / "out.raw.map")
    known = {f["path"][1:]: f["known"] for f in answer.json["files"] if f["kind"] == "file"}
    assert {name: one["lost_bytes"] for name, one in known.items()} == {name: lost[name] for name in FILES}
    assert {name for name, one in known.items() if one["status"] != "known"} == {n for n in lost if lost[n]}
    lines = vhdx_command("files", image).out.splitlines()
    assert {name for name in FILES if any(name in line and "bytes of it are lost" in line for line in lines)} == {
        name for name in lost if lost[name]
    }


def test_without_its_map_a_recovered_image_is_read_as_it_stands(vhdx_command, cut, tmp_path):
    leaf, _ = cut
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    (tmp_path / "out.raw.map").rename(tmp_path / "elsewhere")
    answer = vhdx_command("files", image, "--json")
    assert (answer.code, "map" in answer.json["state"]) == (0, False)


def garbled(map_file):
    map_file.write_text(map_file.read_text() + "and so on\n")


def cut_short(map_file):
    map_file.write_text("".join(map_file.read_text().splitlines(keepends=True)[:-1]))


SPOILT = {
    "noise": lambda map_file: map_file.write_bytes(content(70, 5000)),
    "nothing": lambda map_file: map_file.write_bytes(b""),
    "another program's": lambda map_file: map_file.write_text("Offset Length Mapped to File\n0 0x10000 0 disk.raw\n"),
    "a damaged end": garbled,
    "the map of a smaller disk": cut_short,
}


@pytest.fixture
def spoilt(vhdx_command, tmp_path):
    """An ext4 volume recovered without the half of its files, whose map is spoilt and whose account is gone."""
    disk = image_of("ext4", tmp_path / "disk.raw")
    leaf = images.chain_of(tmp_path / "chain", disk)
    cut_off(leaf, disk.read_bytes())

    def spoil(how):
        image = recovered(vhdx_command, leaf, tmp_path / "out.vhdx")
        (tmp_path / "out.vhdx.json").unlink()
        SPOILT[how](tmp_path / "out.vhdx.map")
        return image

    return spoil


@pytest.mark.parametrize("how", SPOILT)
def test_where_a_map_cannot_be_gone_by_what_is_read_is_read_in_doubt(vhdx_command, spoilt, tmp_path, how):
    image = spoilt(how)
    said = f"{image}.map stands beside {image} and cannot be gone by: "
    for words in (
        ["files", image],
        ["extract", image, "/", "-o", tmp_path / "out"],
        ["extract", image, "/small", "-o", "-"],
        ["changes", image, image, "--files"],
    ):
        answer = vhdx_command(*words)
        assert (answer.code, answer.err.count("Traceback")) == (1, 0), words
        assert said in answer.err
        assert "nothing tells which of what is read here was lost" in answer.err
    assert (tmp_path / "out" / "file0").read_bytes() == FILES["file0"]
    for words in (["files", image], ["extract", image, "/", "-o", tmp_path / "more"]):
        (finding,) = vhdx_command(*words, "--json").json["findings"]
        assert (finding["code"], said in finding["message"]) == ("CHN-14", True)
    answer = vhdx_command("changes", image, image, "--files", "--json")
    assert [said in text for text in answer.json["unread"]] == [True, True]
    for words in (["hash", image], ["info", image], ["changes", image, image], ["convert", image, tmp_path / "o.raw"]):
        answer = vhdx_command(*words)
        assert (answer.code, said in answer.err) == (0, True), words


def test_a_map_of_another_size_is_not_gone_by(vhdx_command, cut, tmp_path):
    leaf, _ = cut
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size - MIB)
    answer = vhdx_command("files", image, "--json")
    assert (answer.code, "map" in answer.json["state"]) == (1, False)
    assert "does not cover" in answer.err
    assert "out.raw.json says that parts of the image are lost" in answer.err


def test_a_map_of_ddrescue_itself_is_read_as_what_was_never_read(vhdx_command, cut, tmp_path):
    leaf, _ = cut
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    map_file = tmp_path / "out.raw.map"
    map_file.write_text(map_file.read_text().replace("Created by vhdx recover", "Created by GNU ddrescue version 1.27"))
    (tmp_path / "out.raw.json").unlink()
    before = map_file.read_text()
    answer = vhdx_command("files", image)
    assert answer.code == 1
    assert "FID-12" in answer.err
    assert "vhdx recover" not in answer.err  # it is not taken for one of ours
    assert map_file.read_text() == before


def test_what_changed_is_not_known_of_files_that_a_recovered_image_lost(vhdx_command, cut, tmp_path):
    leaf, lost = cut
    whole = image_again(leaf, tmp_path)
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    answer = vhdx_command("changes", whole, image, "--files", "--json")
    by_path = {change["path"][1:]: change["data"] for change in answer.json["files"]}
    broken = {name for name in lost if lost[name]}
    assert {name for name in FILES if by_path.get(name) == "unknown"} == broken
    assert all(by_path.get(name, "same") == "same" for name in FILES if not lost[name])
    assert {change["path"][1:] for change in answer.json["files"] if change["what"] == "unknown"} == broken
    counts = dict.fromkeys(("created", "deleted", "replaced", "renamed", "changed", "metadata"), 0)
    assert (answer.code, answer.json["counts"]) == (1, counts | {"unknown": len(broken)})
    answer = vhdx_command("changes", whole, image, "--files")
    assert (answer.code, f"files       {len(broken)} unknown\n" in answer.out) == (1, True)
    assert all(f"unknown   1:/{name}: what it holds cannot be compared\n" in answer.out for name in broken)


def test_what_is_known_to_differ_of_a_file_counts_although_the_rest_of_it_is_lost(vhdx_command, cut, tmp_path):
    leaf, lost = cut
    whole = image_again(leaf, tmp_path)
    name = next(name for name in lost if 0 < lost[name] < len(FILES[name]))
    image = recovered(vhdx_command, leaf, tmp_path / "out.raw")
    raw = bytearray(whole.read_bytes())
    raw[raw.index(FILES[name])] ^= 1
    whole.write_bytes(raw)
    answer = vhdx_command("changes", whole, image, "--files", "--json")
    (change,) = [change for change in answer.json["files"] if change["path"] == f"/{name}"]
    assert (change["what"], change["data"], change["ranges"]) == ("changed", "unknown", [[0, 512]])
    told = vhdx_command("changes", whole, image, "--files").out
    assert f"changed   1:/{name}: 512 bytes differ in 1 range; more of it cannot be compared\n" in told


def losing(raw, out, places):
    """A copy of a raw image that was recovered without these places, its map written by hand."""
    data, lines, position = bytearray(raw.read_bytes()), ["0x0 + 1"], 0
    for start, length in sorted(map(tuple, places)):
        data[start : start + length] = bytes(length)
        lines += [f"{position} {start - position} +"] * (start > position) + [f"{start} {length} -"]
        position = start + length
    lines.append(f"{position} {len(data) - position} +")
    out.write_bytes(data)
    head = "# Mapfile. Created by vhdx recover\n# Disk: 00000000-0000-0000-0000-000000000001\n"
    out.with_name(f"{out.name}.map").write_text(head + "".join(f"{line}\n" for line in lines))
    return out


@pytest.fixture(params=["ext4", "ntfs"])
def with_folder(request, tmp_path):
    """A volume with two files in a folder and one above it."""
    files = {"docs/one": content(81, 5000), "docs/two": content(82, 5000), "top": content(83, 5000)}
    need(request.param)
    if request.param == "ext4":
        return images.make_ext(tmp_path / "disk.raw", files, 16 * MIB)
    path = images.make_ntfs(tmp_path / "disk.raw", 16 * MIB)
    images.edit_ntfs(path, ("mkdir", "/docs"), *(("write", f"/{name}", data) for name, data in files.items()))
    return path


def places_of(vhdx_command, disk):
    listed = vhdx_command("files", disk, "-r", "--json").json["files"]
    return {file["path"]: file["metadata"] for file in listed}


def whats(answer):
    assert answer.code == 1
    return {change["path"]: change["what"] for change in answer.json["files"]}


def test_a_file_whose_record_is_lost_is_neither_deleted_nor_another(vhdx_command, with_folder, tmp_path):
    places = places_of(vhdx_command, with_folder)
    lossy = losing(with_folder, tmp_path / "out.raw", places["/top"][:1])
    for states in ((with_folder, lossy), (lossy, with_folder)):
        found = whats(vhdx_command("changes", *states, "--files", "--json"))
        assert found["/top"] == "unknown"
        assert set(found.values()) == {"unknown"}  # of ext, others' inodes are near


def test_files_of_a_folder_that_is_lost_are_neither_deleted_nor_created(vhdx_command, with_folder, tmp_path):
    places = places_of(vhdx_command, with_folder)
    lossy = losing(with_folder, tmp_path / "out.raw", places["/docs"][-1:])
    for states, word in (((with_folder, lossy), "new"), ((lossy, with_folder), "old")):
        found = whats(vhdx_command("changes", *states, "--files", "--json"))
        assert {"/docs/one": "unknown", "/docs/two": "unknown"}.items() <= found.items()
        assert set(found.values()) == {"unknown"}
        told = vhdx_command("changes", *states, "--files").out
        assert f"unknown   1:/docs/one: not found in the {word} state, of which folders are lost\n" in told


def image_again(leaf, folder):
    """The raw image that the chain was made of."""
    assert leaf.parent.parent == folder
    return folder / "disk.raw"


@pytest.fixture
def gap(vhdx_command, states_of, tmp_path):
    """An NTFS volume in three layers of which the second is missing, recovered."""
    states = states_of("ntfs")
    third = tmp_path / "third.raw"
    third.write_bytes(states.raw[1].read_bytes())
    images.edit_ntfs(third, ("write", "/in the leaf.txt", content(50, 9000)))
    leaf = images.chain_of(tmp_path / "chain", *states.raw, third)
    (leaf.parent / "layer1.avhdx").unlink()
    return recovered(vhdx_command, leaf, tmp_path / "out.raw", "--parent", leaf.parent / "base.vhdx")


def test_files_of_a_disk_that_is_damaged_and_of_a_copy_that_ddrescue_made_are_marked_as_well(vhdx_command, tmp_path):
    path = image_of("ext4", tmp_path / "disk.raw")
    leaf = images.chain_of(tmp_path / "chain", path)
    content_at = leaf.read_bytes().index(FILES["file4"])
    edges = [(0, content_at, "+"), (content_at, content_at + 512, "-"), (content_at + 512, leaf.stat().st_size, "+")]
    rows = "".join(f"{start:#x} {end - start:#x} {sign}\n" for start, end, sign in edges)
    map_ = leaf.with_name(f"{leaf.name}.map")
    map_.write_text(f"# Mapfile. Created by GNU ddrescue version 1.27\n0x0 + 1\n{rows}")
    answer = vhdx_command("files", leaf)
    assert (answer.code, "file4 [512 bytes of it are lost]" in answer.out, answer.out.count("lost]")) == (1, True, 1)
    map_.unlink()
    lost = cut_off(leaf, path.read_bytes())
    answer = vhdx_command("files", leaf)
    marked = {line.split()[-7].lstrip("/") for line in answer.out.splitlines() if "lost]" in line}
    assert marked == {name for name, count in lost.items() if count}


def test_stale_files_are_taken_out_and_told(vhdx_command, gap, tmp_path):
    answer = vhdx_command("extract", gap, "/kept.txt", "-o", tmp_path / "out", "--json")
    assert answer.code == 1
    assert [told["path"] for told in answer.json["stale"]] == ["/kept.txt"]
    assert (tmp_path / "out" / "kept.txt").is_file()
    assert "in doubt" in vhdx_command("extract", gap, "/kept.txt", "-o", tmp_path / "more").err
    answer = vhdx_command("extract", gap, "/small.txt", "-o", "-")
    assert (answer.code, "in doubt" in answer.err) == (1, True)
    assert "kept.txt [in doubt]" in vhdx_command("files", gap).out


def test_users_files_are_told_of_before_those_of_the_file_system(vhdx_command, gap):
    told = json.loads(gap.with_name("out.raw.json").read_text())["files"]
    roles = [file["role"] for file in told["touched"]]
    assert roles == sorted(roles, key=["user", "system"].index)
    assert set(roles) == {"user", "system"}
    listed = [f for f in vhdx_command("files", gap, "-r", "--json").json["files"] if f["kind"] == "file"]
    assert told["untouched"] == sum(1 for file in listed if file["known"]["status"] == "known")


def test_a_file_whose_record_is_gone_is_lost_and_not_merely_stale(vhdx_command, tmp_path):
    need("ntfs")
    disk = images.make_ntfs(tmp_path / "disk.raw")
    images.edit_ntfs(disk, ("write", "/gone.txt", content(60, 5000)), ("write", "/kept.txt", content(61, 5000)))
    files = {file["path"]: file for file in vhdx_command("files", disk, "--json").json["files"]}
    (start, length), *_ = files["/gone.txt"]["metadata"]
    with disk.open("r+b") as file:
        file.seek(start)
        file.write(bytes(length))
    answer = vhdx_command("files", disk, "--json")
    assert answer.code == 1
    assert {file["path"]: file["size"] for file in answer.json["files"]} == {"/gone.txt": None, "/kept.txt": 5000}
    leaf = images.chain_of(tmp_path / "chain", disk, disk, disk)
    (leaf.parent / "layer1.avhdx").unlink()
    answer = vhdx_command("recover", leaf, leaf.parent / "base.vhdx", "--dry-run", "--json")
    told = {file["path"]: file for file in answer.json["files"]["touched"]}
    assert (told["/gone.txt"]["metadata"], told["/gone.txt"]["size"]) == ("lost", None)
    assert (answer.json["files"]["lost"], told["/kept.txt"]["metadata"]) == (1, "stale")


def test_where_no_volume_can_be_listed_no_count_of_files_is_told(vhdx_command, states_of, tmp_path):
    states = states_of("fat16")
    leaf = images.chain_of(tmp_path / "chain", *states.raw)
    (leaf.parent / "base.vhdx").unlink()
    answer = vhdx_command("recover", leaf, "--dry-run")
    assert "not known" in answer.out
    assert "0 files" not in answer.out
    assert vhdx_command("recover", leaf, "--dry-run", "--json").json["files"]["untouched"] is None


def test_a_lost_journal_of_ext_is_told_with_what_to_do(vhdx_command, tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", {"file": content(1, 5000)}, 64 * MIB)
    place = int(images.debugfs_said(disk, "bmap <8> 0")) * 1024
    leaf = images.chain_of(tmp_path / "chain", disk)
    _lose_block(leaf, place // MIB)
    answer = vhdx_command("recover", leaf, "--dry-run", "--json")
    journal = next(file for file in answer.json["files"]["touched"] if file["address"] == 8)
    assert (journal["role"], journal["lost_bytes"] > 0) == ("system", True)
    assert "e2fsck may refuse" in vhdx_command("recover", leaf, "--dry-run").out


def test_in_few_columns_what_is_said_of_a_file_stands_below_its_name(vhdx_command, gap, monkeypatch):
    monkeypatch.setenv("COLUMNS", "31")
    lines = vhdx_command("files", gap).out.splitlines()
    assert max(map(len, lines)) <= 31
    assert lines[next(n for n, line in enumerate(lines) if line.endswith(" kept.txt")) + 1].startswith("    [in doubt")


def test_in_forty_columns_each_file_still_has_its_mode_and_its_time(vhdx_command, gap, monkeypatch):
    wide = vhdx_command("files", gap).out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = vhdx_command("files", gap).out
    assert re.search(r"^ +3000 kept.txt \[in doubt\]\n    -rwxrwxrwx \d{4}-\d\d-\d\d \d\d:\d\d$", narrow, re.MULTILINE)
    assert sorted(narrow.split()) == sorted(wide.split())


def test_the_page_says_how_to_do_without_a_lost_journal(tmp_path):
    need("ext4")
    disk = images.make_ext(tmp_path / "disk.raw", {"file": FILES["file0"]}, 64 * MIB)
    images.debugfs(disk, "feature needs_recovery")
    with disk.open("r+b") as file:
        file.seek(int(images.debugfs_said(disk, "bmap <8> 0")) * 1024)
        file.write(b"lost" * (MIB // 4))
    page = (ROOT / "docs" / "wsl.md").read_text().partition("### Where the journal is lost")[2]
    lines = [line[2:] for line in page.partition("```console\n")[2].partition("```")[0].splitlines()]
    assert len(lines) == 3
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for line in lines:
        done = subprocess.run(["sh", "-c", line], check=False, cwd=tmp_path, capture_output=True, env={"PATH": path})
        assert done.returncode in {0, 1}, (line, done)
    images.run("e2fsck", "-fn", tmp_path / "mended.raw")
    images.run("debugfs", "-R", "dump file out", "mended.raw", cwd=tmp_path)
    assert (tmp_path / "out").read_bytes() == FILES["file0"]
