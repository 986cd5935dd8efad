"""`vhdx recover` on the command line: image, mapfile, account, exit codes."""

import gc
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

import vhdx
from analyzer.recover.rebuild.workspace import Certainty, Rebuilt
from analyzer.recovery_map.mapfile import Status, read_mapfile
from cli.render.recover import rebuilt_lines as told_as_rebuilt
from fixtures import Brush, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from fixtures.recipes.kit import child_of, disk
from tests.support.command_line import contents, require_valid
from tests.support.files import open_files, sparse_copy, symbolic_link
from vhdx.errors import OutputError
from vhdx.ranges import Range
from vhdx.system import files

pytestmark = pytest.mark.slow

MIB = 1 << 20


def layers_of(leaf):
    """The files of a chain, base first."""
    with vhdx.open_chain(leaf) as chain:
        return [layer.path for layer in chain.layers]


def flat(leaf):
    with vhdx.open_chain(leaf) as chain:
        return chain.read(0, chain.size)


@pytest.fixture
def apart(chain, tmp_path):
    """The three files of a chain, each in a folder of its own, where no search finds the others; base first."""
    leaf, _ = chain
    places = []
    for number, path in enumerate(layers_of(leaf)):
        folder = tmp_path / f"apart{number}"
        folder.mkdir()
        places.append(sparse_copy(path, folder / path.name))
    return places


def statuses(path):
    """{status: bytes} of a mapfile, read here and now."""
    totals = dict.fromkeys("+/-", 0)
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    position = 0
    for start, length, sign in lines[1:]:
        assert int(start, 16) == position
        position += int(length, 16)
        totals[sign] += int(length, 16)
    return totals


def test_a_whole_chain_is_recovered_whole_and_says_so(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    before = contents(leaf.parent)
    out = tmp_path / "disk.raw"
    answer = vhdx_command("recover", leaf, "-o", out)
    assert answer.code == 0
    assert out.read_bytes() == flat(leaf)
    assert statuses(tmp_path / "disk.raw.map") == {"+": out.stat().st_size, "/": 0, "-": 0}
    assert contents(leaf.parent) == before


def test_the_files_may_be_named_in_any_order(vhdx_command, apart, chain, tmp_path):
    base, middle, top = apart
    answer = vhdx_command("recover", middle, top, base, "-o", tmp_path / "disk.raw")
    assert answer.code == 0
    assert (tmp_path / "disk.raw").read_bytes() == flat(chain[0])


def test_an_image_in_a_folder_is_named_after_the_uppermost_file(vhdx_command, apart, tmp_path):
    base, middle, top = apart
    out = tmp_path / "out"
    out.mkdir()
    assert vhdx_command("recover", middle, base, top, "-o", out, "--format", "raw").code == 0
    assert (out / f"{top.stem}.raw").is_file()


def test_without_the_base_what_it_alone_held_is_lost(vhdx_command, apart, chain, tmp_path):
    _, middle, top = apart
    answer = vhdx_command("recover", top, middle, "-o", tmp_path / "disk.raw", "--json")
    assert answer.code == 1
    found = answer.json
    assert [layer["presence"] for layer in found["layers"]] == ["missing", "present", "present"]
    assert found["totals"]["stale"] == 0
    assert found["totals"]["lost"] > 0
    truth, image = flat(chain[0]), (tmp_path / "disk.raw").read_bytes()
    for start, length, status, *_ in found["runs"]:
        if status == "known":
            assert image[start : start + length] == truth[start : start + length]
        else:
            assert image.count(0, start, start + length) == length
    assert "CHN-10" in {finding["code"] for finding in found["findings"]}


def test_without_a_middle_layer_what_is_below_is_stale(vhdx_command, apart, tmp_path):
    base, _, top = apart
    answer = vhdx_command("recover", top, base, "-o", tmp_path / "disk.vhdx", "--json")
    assert answer.code == 1
    assert answer.json["totals"]["lost"] == 0
    assert answer.json["totals"]["stale"] > 0
    assert [layer["presence"] for layer in answer.json["layers"]] == ["present", "missing", "present"]
    with vhdx.open_image(tmp_path / "disk.vhdx") as image:
        assert image.size == answer.json["size"]


def test_the_account_beside_the_image_follows_the_schema(vhdx_command, apart, tmp_path):
    vhdx_command("recover", apart[2], apart[0], "-o", tmp_path / "disk.raw")
    account = json.loads((tmp_path / "disk.raw.json").read_text())
    require_valid(account)
    assert account["output"] is None
    assert sum(run[1] for run in account["runs"]) == account["size"]


def test_a_dry_run_gives_the_same_account_and_writes_nothing(vhdx_command, apart, tmp_path):
    written = vhdx_command("recover", apart[2], apart[0], "-o", tmp_path / "disk.raw", "--json").json
    before = contents(tmp_path)
    answer = vhdx_command("recover", apart[2], apart[0], "-o", tmp_path / "other.raw", "--dry-run", "--json")
    assert answer.code == 1
    assert answer.json | {"output": None} == written | {"output": None}
    assert contents(tmp_path) == before


def test_the_pattern_names_itself_and_the_place_in_every_lost_sector(vhdx_command, apart, tmp_path):
    out = tmp_path / "disk.raw"
    found = vhdx_command("recover", apart[2], "-o", out, "--fill", "pattern", "--json").json
    image = out.read_bytes()
    for start, length, status, *_ in found["runs"]:
        for at in range(start, start + length, 512):
            sector = image[at : at + 512]
            assert (b"vhdx recover" in sector and f"{at:016x}".encode() in sector) == (status == "lost")


def test_a_truncated_base_loses_what_stood_behind_its_end_and_nothing_else(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    base, truth = layers_of(leaf)[0], flat(leaf)
    base.chmod(0o644)
    os.truncate(base, base.stat().st_size * 6 // 10)
    answer = vhdx_command("recover", leaf, "-o", tmp_path / "disk.raw", "--json")
    assert answer.code == 1
    image = (tmp_path / "disk.raw").read_bytes()
    for start, length, status, *_, basis, cause in answer.json["runs"]:
        if status == "known":
            assert image[start : start + length] == truth[start : start + length]
        else:
            assert (status, basis, cause) == ("lost", "damaged", 0)
    with vhdx.open_chain(leaf) as chain_now:
        lost = chain_now.runs().bytes_of(vhdx.Kind.LOST)
    assert answer.json["totals"]["lost"] == lost > 0


def test_a_file_that_does_not_open_is_a_gap_with_its_reason(vhdx_command, apart, tmp_path):
    base, middle, top = apart
    os.truncate(middle, 1000)
    answer = vhdx_command("recover", base, middle, top, "-o", tmp_path / "disk.raw", "--json")
    assert answer.code == 1
    gap = answer.json["layers"][1]
    assert gap["presence"] == "unreadable"
    assert "cannot be read" in gap["evidence"]
    assert answer.json["totals"]["lost"] == 0


def test_an_assumed_base_makes_what_it_gives_stale(vhdx_command, apart, chain, tmp_path):
    base, middle, top = apart
    answer = vhdx_command("recover", top, "--assume-base", base, "-o", tmp_path / "disk.raw", "--json")
    assert answer.code == 1
    assert answer.json["totals"]["lost"] == 0
    assert answer.json["totals"]["stale"] > 0
    assert middle.exists()


@pytest.mark.parametrize(("disk", "size"), [("another", 8), ("base", 6), ("another", 6), ("base", 8)])
def test_a_base_of_another_disk_is_assumed_with_a_warning_that_has_both_ids_and_sizes(
    vhdx_command, tmp_path, disk, size
):
    base = ImageSpec(size=8 * MIB, identity=Identity.of("base", disk="base"))
    encode(child_of(base, "leaf", {})).write_to(tmp_path / "leaf.avhdx")
    other = ImageSpec(size=size * MIB, identity=Identity.of("other", disk=disk))
    encode(other).write_to(tmp_path / "other.vhdx")
    answer = vhdx_command(
        "recover", tmp_path / "leaf.avhdx", "--assume-base", tmp_path / "other.vhdx", "--dry-run", "--json"
    )
    said = [finding for finding in answer.json["findings"] if "may be another disk" in finding["message"]]
    with vhdx.open_image(tmp_path / "leaf.avhdx") as leaf, vhdx.open_image(tmp_path / "other.vhdx") as low:
        ids = [leaf.parameters.disk_id, low.parameters.disk_id]
    assert bool(said) == (disk == "another" or size != 8)
    for finding in said:
        assert all(str(one) in finding["message"] for one in ids) == (ids[0] != ids[1])
        assert (f"{size * MIB} bytes" in finding["message"] and f"{8 * MIB}" in finding["message"]) == (size != 8)


def test_a_later_run_takes_what_is_known_from_the_image_and_tries_the_rest(vhdx_command, apart, chain, tmp_path):
    base, middle, top = apart
    out = tmp_path / "disk.raw"
    first = vhdx_command("recover", top, middle, "-o", out, "--json")
    assert first.code == 1
    again = vhdx_command("recover", top, middle, base, "-o", out, "--resume", "--json")
    assert again.code == 0
    assert out.read_bytes() == flat(chain[0])
    taken = sum(run[1] for run in again.json["runs"] if run[6] == "earlier")
    assert taken == first.json["totals"]["known"]


@pytest.mark.parametrize("name", ["disk.raw", "disk.vhdx"])
def test_a_later_run_with_fewer_files_keeps_what_the_earlier_one_has(vhdx_command, apart, tmp_path, name):
    base, _, top = apart
    out = tmp_path / name
    first = vhdx_command("recover", top, base, "-o", out, "--json").json
    before = flat(out) if name.endswith("vhdx") else out.read_bytes()
    assert first["totals"]["stale"] > 0
    again = vhdx_command("recover", top, "-o", out, "--resume", "--fill", "pattern", "--json").json
    assert again["totals"] == first["totals"]
    assert (flat(out) if name.endswith("vhdx") else out.read_bytes()) == before
    assert {run[6] for run in again["runs"] if run[2] == "stale"} == {"earlier"}
    require_valid(again)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux says which files are open")
@pytest.mark.parametrize("name", ["disk.raw", "disk.vhdx"])
def test_nobody_has_an_earlier_image_open_when_the_new_one_takes_its_name(
    vhdx_command, apart, tmp_path, name, monkeypatch
):
    """Windows would refuse that."""
    renamed, rename = [], files.rename

    def refuse_open(old, new):
        renamed.append(new)
        descriptors = [descriptor for descriptor in Path("/proc/self/fd").iterdir() if descriptor.exists()]
        assert new not in {descriptor.readlink() for descriptor in descriptors}
        rename(old, new)

    vhdx_command("recover", *apart[1:], "-o", tmp_path / name)
    monkeypatch.setattr(files, "rename", refuse_open)
    assert vhdx_command("recover", *apart, "-o", tmp_path / name, "--resume").code == 0
    assert tmp_path / name in renamed


def test_a_format_that_cannot_be_gone_on_with_is_named_with_those_that_can(vhdx_command, apart, tmp_path):
    vhdx_command("recover", apart[2], "-o", tmp_path / "disk.qcow2")
    answer = vhdx_command("recover", apart[2], "-o", tmp_path / "disk.qcow2", "--resume")
    assert answer.code == 5
    assert "only raw images and VHDX can be gone on with, not qcow2" in answer.err


def test_an_image_that_was_written_to_since_is_not_gone_on_with(vhdx_command, apart, tmp_path):
    out = tmp_path / "disk.raw"
    known = vhdx_command("recover", *apart[1:], "-o", out, "--json").json["runs"]
    at = next(start for start, _, status, *_ in known if status == "known")
    with out.open("r+b") as file:
        file.seek(at)
        file.write(b"mounted")
    os.utime(out, ns=(0, 0))
    before = contents(tmp_path)
    answer = vhdx_command("recover", *apart, "-o", out, "--resume")
    assert (answer.code, answer.out) == (5, "")
    assert "disk.raw: it does not hold what disk.raw.map has as known: somebody wrote to it since; " in answer.err
    assert contents(tmp_path) == before


def test_a_map_of_another_disk_is_refused(vhdx_command, apart, built, tmp_path):
    out = tmp_path / "disk.raw"
    vhdx_command("recover", apart[2], "-o", out)
    other, _ = built("dynamic")
    answer = vhdx_command("recover", other, "-o", out, "--resume")
    assert answer.code == 5
    assert "not about this disk" in answer.err


@pytest.mark.parametrize("name", ["disk.raw", "disk.raw.map", "disk.raw.json"])
def test_nothing_that_is_there_is_written_over(vhdx_command, apart, tmp_path, name):
    (tmp_path / name).write_bytes(b"precious")
    answer = vhdx_command("recover", apart[2], "-o", tmp_path / "disk.raw")
    assert answer.code == 5
    assert (tmp_path / name).read_bytes() == b"precious"


def test_an_output_must_be_named_or_a_dry_run_asked_for(vhdx_command, apart):
    assert vhdx_command("recover", apart[2]).code == 2
    assert vhdx_command("recover", apart[2], "--dry-run").code == 1


def test_two_leaves_are_refused_by_name(vhdx_command, tmp_path):
    base = ImageSpec(size=8 * MIB, identity=Identity.of("base"), blocks=Brush(tag=1).fulls(range(8)))
    encode(base).write_to(tmp_path / "base.vhdx")
    for name in ("leaf", "twin"):
        encode(child_of(base, name, {})).write_to(tmp_path / f"{name}.avhdx")
    answer = vhdx_command("recover", *tmp_path.glob("*hdx"), "--dry-run")
    assert answer.code == 4
    assert "twin.avhdx" in answer.err


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_copy_of_a_file_is_passed_over_and_said(vhdx_command, apart, chain, tmp_path, number):
    twin = sparse_copy(apart[number], tmp_path / "twin.avhdx")
    answer = vhdx_command("recover", *apart, twin, "-o", tmp_path / "disk.raw", "--json")
    assert answer.code == 0
    assert (tmp_path / "disk.raw").read_bytes() == flat(chain[0])
    assert len(answer.json["layers"]) == 3
    (said,) = [finding for finding in answer.json["findings"] if finding["code"] == "CHN-08"]
    assert (said["path"], "byte for byte" in said["message"]) == (str(twin), True)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_copies_that_have_grown_apart_are_refused_with_the_byte(vhdx_command, apart, tmp_path, number):
    twin = sparse_copy(apart[number], tmp_path / "twin.avhdx")
    twin.chmod(0o644)
    with twin.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        at = file.tell()
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    answer = vhdx_command("recover", *apart, twin, "--dry-run")
    assert answer.code == 4
    assert f"byte {at}" in answer.err
    assert "twin.avhdx" in answer.err
    assert apart[number].name in answer.err


@pytest.mark.parametrize("name", ["notes.txt", "photo.jpg", "disk.raw"])
def test_a_file_that_is_no_vhdx_is_passed_over_and_takes_nothing_from_what_is_known(
    vhdx_command, apart, chain, tmp_path, name
):
    stray = tmp_path / name
    stray.write_bytes(b"\xff\xd8\xff\xe0 not a disk of Hyper-V" * 100_000)
    answer = vhdx_command("recover", *apart, stray, "-o", tmp_path / "out.raw", "--json")
    assert answer.code == 0
    assert answer.json["totals"]["known"] == answer.json["size"]
    assert (tmp_path / "out.raw").read_bytes() == flat(chain[0])
    (said,) = [finding for finding in answer.json["findings"] if finding["code"] == "FID-01"]
    assert said["path"] == str(stray)


@pytest.mark.parametrize(("name", "kept"), [("wiped.avhdx", None), ("wiped.bin", 64 << 10), ("wiped.bin", 2 * MIB)])
def test_a_file_that_was_wiped_counts_as_a_layer_by_its_name_or_by_any_structure(
    vhdx_command, apart, tmp_path, name, kept
):
    content = bytearray(apart[2].read_bytes())
    for page in (0, 4 << 10, 64 << 10, 128 << 10, 192 << 10, 256 << 10, *range(MIB, len(content), MIB)):
        if page != kept:
            content[page : page + 1024] = bytes(1024)
    (tmp_path / name).write_bytes(content)
    if kept == 2 * MIB:
        assert content[kept : kept + 8] == b"metadata"
    answer = vhdx_command("recover", *apart[:2], tmp_path / name, "--dry-run", "--json")
    layers = answer.json["layers"]
    assert [layer["path"] for layer in layers if layer["path"]] == [*map(str, apart[:2]), str(tmp_path / name)]
    # One that cannot be read, or whose locator is left, needs no gap; one made anew for the others' disk has one below.
    assert [layer["presence"] for layer in layers].count("missing") == (kept is None)
    assert answer.json["totals"]["stale"] > 0


@pytest.mark.parametrize("kind", ["missing", "folder", "text"])
def test_one_file_that_is_nothing_to_recover_gives_the_exit_code_of_info(vhdx_command, tmp_path, kind):
    path = tmp_path / "some.vhdx"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a disk\n" * 1000)
    wanted = vhdx_command("info", path).code
    answer = vhdx_command("recover", path, "--dry-run")
    assert (answer.code, wanted in {3, 6}) == (wanted, True)
    assert "some.vhdx" in answer.err


def test_what_is_likely_of_a_file_that_was_cut_is_told_with_its_evidence(vhdx_command, tmp_path):
    spec = ImageSpec(size=200 * MIB, block_size=MIB, identity=Identity.of("cut"), blocks=Brush(tag=1).fulls(range(4)))
    path = tmp_path / "cut.vhdx"
    encode(spec).write_to(path)
    os.truncate(path, path.stat().st_size - 2 * MIB)
    answer = vhdx_command("recover", path, "--dry-run", "--json").json
    likely = answer["totals"]["likely"] // MIB
    assert likely > 0
    (told,) = answer["layers"][0]["rebuilt"]
    assert (told["structure"], told["certainty"]) == ("BAT", "likely")
    assert f": {likely} entries without" in told["how"]
    assert "the file was cut" in told["evidence"][0]


def test_all_files_are_closed_afterwards(vhdx_command, apart, tmp_path):
    gc.collect()  # what an earlier test left to be collected is none of ours
    before = open_files()
    vhdx_command("recover", *apart, "-o", tmp_path / "disk.raw")
    vhdx_command("recover", apart[2], "--assume-base", apart[0], "--dry-run")
    assert open_files() == before


@pytest.mark.peers
def test_ddrescuelog_reads_the_map_and_agrees_on_every_number(vhdx_command, apart, tmp_path, require_peer):
    require_peer("ddrescuelog")
    found = vhdx_command("recover", apart[2], apart[0], "-o", tmp_path / "disk.raw", "--json").json
    path = tmp_path / "disk.raw.map"
    for sign, status in (("+", "known"), ("/", "stale"), ("-", "lost")):
        listed = subprocess.run(["ddrescuelog", f"-l{sign}", "-b512", path], check=True, capture_output=True).stdout
        assert len(listed.split()) * 512 == found["totals"][status]
    done = subprocess.run(["ddrescuelog", "-D", path], capture_output=True, check=False)
    assert done.returncode == 1  # not all is known


def test_a_map_that_leaves_a_range_out_is_refused(tmp_path):
    path = tmp_path / "some.map"
    guid = "00000000-0000-0000-0000-000000000001"
    path.write_text(f"# Disk: {guid}\n0x0 + 1\n0x0 0x1000 +\n0x2000 0x1000 -\n")
    with pytest.raises(OutputError, match="does not cover"):
        read_mapfile(path, 0x3000, guid)
    path.write_text(f"# Disk: {guid}\n0x0 + 1\n0x0 0x1000 +\n0x1000 0x1000 ?\n")
    found = read_mapfile(path, 0x2000, guid)
    assert list(found[Status.KNOWN]) == [Range(0, 0x1000)]
    assert list(found[Status.LOST]) == [Range(0x1000, 0x1000)]
    assert not found[Status.STALE]


@pytest.fixture
def without_bitmap(tmp_path):
    """A base and a child whose sector bitmap is wiped, the child's blocks 1 and 4 partially present."""
    base = ImageSpec(size=8 * MIB, identity=Identity.of("base"), blocks=Brush(tag=1).fulls(range(8)))
    child = child_of(base, "child", {n: Brush(tag=2).partial(n, range(7)) for n in (1, 4)})
    encode(base).write_to(tmp_path / "base.vhdx")
    wiped = encode(child).patched(Placement.of(child).bitmaps[0], bytes(MIB))
    wiped.write_to(tmp_path / "child.avhdx")
    return tmp_path / "child.avhdx", flatten([base, child]), flatten([base])


@pytest.mark.parametrize(
    ("choice", "sign", "basis"), [("lose", "/", "below gap"), ("take", "/", "chosen"), ("leave", "/", "chosen")]
)
def test_blocks_whose_bitmap_is_lost_are_treated_as_asked_and_never_called_known(
    vhdx_command, without_bitmap, tmp_path, choice, sign, basis
):
    leaf, _, _ = without_bitmap
    out = tmp_path / "disk.raw"
    answer = vhdx_command("recover", leaf, "-o", out, "--lost-bitmaps", choice, "--json")
    require_valid(answer.json)
    assert answer.code == 1
    assert statuses(tmp_path / "disk.raw.map")[sign] == 2 * MIB
    assert {run[6] for run in answer.json["runs"] if run[2] == "stale"} == {basis}
    assert answer.json["totals"]["likely"] == 0
    assert answer.json["totals"]["guessed"] == (0 if choice == "lose" else 2 * MIB)


@pytest.mark.parametrize("choice", ["take", "leave"])
def test_what_was_done_by_choice_is_called_a_guess_and_not_lost_as_well(vhdx_command, without_bitmap, choice):
    text = vhdx_command("recover", without_bitmap[0], "--dry-run", "--lost-bitmaps", choice).out
    assert "rebuilt, guessed: sector bitmaps" in text
    assert "is a guess, as --lost-bitmaps asked" in text
    assert "likely right" not in text
    assert "lost: " not in text


def test_blocks_whose_bitmap_is_lost_show_an_older_state_where_there_is_one_and_are_lost_where_there_is_none(
    vhdx_command, without_bitmap
):
    leaf, _, _ = without_bitmap
    with_parent = vhdx_command("recover", leaf, "--dry-run", "--lost-bitmaps", "lose")
    assert "an older state shows there as stale" in with_parent.out
    (leaf.parent / "base.vhdx").unlink()
    totals = vhdx_command("recover", leaf, "--dry-run", "--lost-bitmaps", "lose", "--json").json["totals"]
    assert (totals["known"], totals["stale"], totals["lost"]) == (0, 0, 8 * MIB)


def test_unless_asked_otherwise_sectors_of_a_lost_bitmap_that_are_not_zeros_are_the_childs_and_likely(
    vhdx_command, without_bitmap, tmp_path
):
    leaf, whole, _ = without_bitmap
    answer = vhdx_command("recover", leaf, "-o", tmp_path / "disk.raw", "--json")
    require_valid(answer.json)
    assert (tmp_path / "disk.raw").read_bytes() == whole.read(0, 8 * MIB)
    assert (answer.code, answer.json["totals"]["likely"]) == (1, 2 * MIB)


def test_a_block_that_is_left_to_its_parent_shows_the_parent_and_one_that_is_taken_the_file(
    vhdx_command, without_bitmap, tmp_path
):
    leaf, whole, before = without_bitmap
    vhdx_command("recover", leaf, "-o", tmp_path / "left.raw", "--lost-bitmaps", "leave")
    assert (tmp_path / "left.raw").read_bytes() == before.read(0, 8 * MIB)
    vhdx_command("recover", leaf, "-o", tmp_path / "taken.raw", "--lost-bitmaps", "take")
    taken = (tmp_path / "taken.raw").read_bytes()
    assert taken[MIB : MIB + 7 * 512] == whole.read(MIB, 7 * 512)
    assert taken[2 * MIB : 4 * MIB] == whole.read(2 * MIB, 2 * MIB)


def test_what_was_rebuilt_is_told_with_its_evidence(vhdx_command, without_bitmap, tmp_path):
    base = tmp_path / "base.vhdx"
    content = bytearray(base.read_bytes())
    content[192 << 10 : 320 << 10] = bytes(128 << 10)
    base.write_bytes(content)
    answer = vhdx_command("recover", base, "--dry-run", "--json")
    (layer,) = answer.json["layers"]
    assert answer.code == 0
    assert [(part["structure"], part["certainty"]) for part in layer["rebuilt"]] == [("region tables", "certain")]
    assert all(part["evidence"] for part in layer["rebuilt"])
    assert "rebuilt, certain: region tables" in vhdx_command("recover", base, "--dry-run", "-v").out


@pytest.fixture
def without_a_sector_of_the_table(tmp_path):
    """A base of 200 blocks in order; the entries of 64 of them, between known ones, are zeros."""
    spec = ImageSpec(size=256 * MIB, identity=Identity.of("table"), blocks=Brush(tag=3).fulls(range(200), range(9)))
    encode(spec).patched(Placement.of(spec).bat + 512, bytes(512)).write_to(tmp_path / "base.vhdx")
    return tmp_path / "base.vhdx"


def rebuilt_lines(answer):
    return [line.strip() for line in answer.out.splitlines() if line.strip().startswith("rebuilt, ")]


def test_parts_that_are_alike_are_told_by_the_first_ones_and_their_number(
    vhdx_command, without_a_sector_of_the_table, tmp_path
):
    out = tmp_path / "disk.raw"
    lines = rebuilt_lines(vhdx_command("recover", without_a_sector_of_the_table, "-o", out, "-v"))
    assert [line.split(" is put back")[0] for line in lines[:3]] == [
        f"rebuilt, likely: BAT: the entry of block {block}" for block in (64, 65, 66)
    ]
    assert lines[3:] == [f"rebuilt, likely: BAT: 61 more like these, 64 in all: {out}.json lists them"]
    dry = rebuilt_lines(vhdx_command("recover", without_a_sector_of_the_table, "--dry-run", "-v"))
    assert dry == [*lines[:3], lines[3].replace(f"{out}.json", "--json")]
    (layer,) = json.loads((tmp_path / "disk.raw.json").read_text())["layers"]
    parts = [part["how"].split(" is put back")[0] for part in layer["rebuilt"]]
    assert parts == [f"the entry of block {block}" for block in range(64, 128)]


def test_a_few_parts_that_are_alike_and_those_that_are_not_have_a_line_each():
    def part(structure, how, certainty=Certainty.LIKELY):
        return Rebuilt(structure, how, ("it is so",), certainty)

    alike = [part("BAT", f"entry {number} of {number * 3}") for number in range(4)]
    others = [part("log", "entry 4 of 12"), part("BAT", "entry 4 of 12", Certainty.CERTAIN), part("BAT", "a page")]
    told = list(told_as_rebuilt([*alike, *others], None))
    assert told == [f"rebuilt, {each.certainty.value}: {each.structure}: {each.how}" for each in (*alike, *others)]


def test_files_of_the_same_disk_that_nothing_links_are_offered(vhdx_command, tmp_path):
    base = disk("kin")
    middle = child_of(base, "kin-1", {1: Brush(tag=2).partial(1, range(3))}, path=".\\gone.vhdx")
    leaf = child_of(middle, "kin-2", {2: Brush(tag=3).partial(2, range(3))}, path=".\\gone.avhdx")
    for name, spec in (("a/leaf.avhdx", leaf), ("b/base.vhdx", base), ("b/other.vhdx", disk("stranger"))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        encode(spec).write_to(tmp_path / name)
    alone = vhdx_command("recover", tmp_path / "a/leaf.avhdx", "--dry-run")
    assert "--assume-base" not in alone.err
    found = vhdx_command("recover", tmp_path / "a/leaf.avhdx", "--search", tmp_path / "b", "--dry-run")
    assert "base.vhdx" in found.err
    assert "--assume-base" in found.err
    assert "other.vhdx" not in found.err
    words = ("recover", tmp_path / "a/leaf.avhdx", "--assume-base", tmp_path / "b/base.vhdx", "--dry-run", "--json")
    followed = vhdx_command(*words)
    assert followed.json["totals"]["lost"] == 0


def test_an_account_is_readable_in_forty_columns(vhdx_command, tmp_path, monkeypatch):
    encode(child_of(disk("narrow"), "narrow-1", {}, path=".\\gone.vhdx")).write_to(tmp_path / "leaf.avhdx")
    monkeypatch.setattr("cli.text.line_width", lambda: 40)
    monkeypatch.chdir(tmp_path)
    lines = vhdx_command("recover", "leaf.avhdx", "--dry-run").out.splitlines()
    assert max(len(line) for line in lines if max(map(len, line.split())) < 36) <= 40
    assert any("cannot be known" in line or "lost" in line for line in lines)


@pytest.mark.parametrize("options", [[], ["--anchored"]])
def test_every_reader_of_a_recovered_image_is_told_what_its_map_has_as_lost(vhdx_command, apart, tmp_path, options):
    out = tmp_path / "disk.vhdx"
    vhdx_command("recover", *apart[1:], *options, "-o", out)
    for command in (
        ["convert", out, tmp_path / "copy.raw"],
        ["hash", out],
        ["info", out],
        ["merge", out, tmp_path / "m.vhdx"],
    ):
        answer = vhdx_command(*command)
        assert "was recovered: by" in answer.err, command
        assert "are lost" in answer.err


def test_whoever_looks_at_a_recovered_image_is_told_in_the_same_words(vhdx_command, apart, chain, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    out, page = folder / "disk.vhdx", tmp_path / "page.html"
    vhdx_command("recover", *apart[1:], "-o", out)
    said = vhdx_command("hash", out).err.splitlines()[0].removeprefix("warning: ")
    assert said.startswith(f"{out} was recovered: by {out}.map, ")
    for words in (["changes", out, chain[0]], ["report", out, "-o", page]):
        answer = vhdx_command(*words)
        assert (answer.code, f"warning: {said}\n" in answer.err) == (1, True), words
    assert said in page.read_text()
    (finding,) = vhdx_command("changes", chain[0], out, "--json").json["findings"]
    assert (finding["code"], finding["message"], finding["path"]) == ("CHN-14", said, str(out))
    for words in (["check"], ["check", "--chain"]):
        answer = vhdx_command(*words, out, "--json")
        found = [f for subject in answer.json["subjects"] for f in subject["findings"] if f["code"] == "CHN-14"]
        assert (answer.code, [f["message"] for f in found]) == (0, [said])
    answer = vhdx_command("scan", folder, "--json")
    assert (answer.code, [f["message"] for f in answer.json["findings"]]) == (0, [said])
    assert "CHN-14" in vhdx_command("scan", folder).out


def test_of_a_raw_image_that_was_recovered_changes_says_it_too(vhdx_command, apart, tmp_path):
    out = tmp_path / "disk.raw"
    vhdx_command("recover", *apart[1:], "-o", out)
    answer = vhdx_command("changes", out, out)
    assert (answer.code, answer.err.count(f"{out} was recovered: by {out}.map, ")) == (0, 2)


def test_nobody_is_told_anything_of_a_disk_that_is_known_whole(vhdx_command, apart, chain, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "disk.vhdx"
    vhdx_command("recover", *apart, "-o", out)
    for words in (["check", out], ["scan", folder], ["changes", out, chain[0]], ["report", out, "-o", tmp_path / "p"]):
        answer = vhdx_command(*words)
        assert (answer.code, "recover" in answer.out + answer.err) == (0, False), words


def test_a_link_to_a_recovered_image_is_read_by_its_map_too(vhdx_command, apart, tmp_path):
    vhdx_command("recover", *apart[1:], "-o", tmp_path / "disk.vhdx")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.vhdx"
    symbolic_link(link, tmp_path / "disk.vhdx")
    assert "was recovered" in vhdx_command("hash", link).err


@pytest.mark.parametrize("left", [None, b"", b"noise"])
def test_of_a_recovered_image_whose_map_is_gone_it_is_said(vhdx_command, apart, tmp_path, left):
    out, map_ = tmp_path / "disk.raw", tmp_path / "disk.raw.map"
    vhdx_command("recover", *apart[1:], "-o", out)
    map_.unlink()
    if left is not None:
        map_.write_bytes(left)
    assert "disk.raw.json says that parts of" in vhdx_command("files", out).err


def test_a_complete_recovery_needs_no_map(vhdx_command, apart, tmp_path):
    vhdx_command("recover", *apart, "-o", tmp_path / "disk.vhdx")
    (tmp_path / "disk.vhdx.map").unlink()
    assert "recovered" not in vhdx_command("hash", tmp_path / "disk.vhdx").err


def test_a_map_of_a_disk_without_identity_is_not_gone_on_with_for_another(vhdx_command, tmp_path):
    for name in ("one", "two"):
        path = tmp_path / f"{name}.vhdx"
        encode(ImageSpec(size=8 * MIB, identity=Identity.of(name), blocks=Brush(tag=3).fulls(range(4)))).write_to(path)
        with path.open("r+b") as file:
            file.write(bytes(MIB))
    out = tmp_path / "disk.raw"
    assert vhdx_command("recover", tmp_path / "one.vhdx", "-o", out).code == 1
    answer = vhdx_command("recover", tmp_path / "two.vhdx", "-o", out, "--resume")
    assert answer.code == 5
    assert "not about this disk" in answer.err


def test_an_image_that_takes_the_place_of_a_recovered_one_takes_its_map_too(vhdx_command, apart, chain, tmp_path):
    out, leaf = tmp_path / "disk.raw", chain[0]
    vhdx_command("recover", *apart[1:], "-o", out)
    assert vhdx_command("convert", leaf, out, "--force").code == 0
    assert out.read_bytes() == flat(leaf)
    assert not (tmp_path / "disk.raw.map").exists()
    assert not (tmp_path / "disk.raw.json").exists()


def test_no_image_is_written_beside_the_map_of_another_unasked(vhdx_command, apart, chain, tmp_path):
    out = tmp_path / "disk.raw"
    vhdx_command("recover", *apart[1:], "-o", out)
    out.unlink()
    answer = vhdx_command("convert", chain[0], out)
    assert (answer.code, "the map of an image called disk.raw" in answer.err) == (5, True)
    assert (tmp_path / "disk.raw.map").exists()
    assert not out.exists()


def test_a_backup_of_a_recovered_image_keeps_what_its_map_says(vhdx_command, apart, tmp_path):
    pytest.importorskip("zstandard")
    vhdx_command("recover", *apart[1:], "-o", tmp_path / "disk.vhdx")
    vhdx_command("backup", "init", tmp_path / "kept", "--chunk-size", "256K")
    vhdx_command("backup", "create", tmp_path / "kept", tmp_path / "disk.vhdx", "--name", "point", "--allow-lost")
    assert "disk.vhdx was recovered" in vhdx_command("backup", "show", tmp_path / "kept", "point").out


def test_a_first_run_that_was_killed_is_begun_anew_by_resume(vhdx_command, apart, chain, tmp_path):
    (tmp_path / "disk.raw.part").write_bytes(b"half of it")
    assert vhdx_command("recover", *apart, "-o", tmp_path / "disk.raw").code == 5
    assert vhdx_command("recover", *apart, "-o", tmp_path / "disk.raw", "--resume").code == 0
    assert (tmp_path / "disk.raw").read_bytes() == flat(chain[0])


def test_a_damaged_copy_that_is_rebuilt_gives_way_to_the_whole_one(vhdx_command, apart, chain, tmp_path):
    twin = sparse_copy(apart[1], tmp_path / "twin.avhdx")
    with twin.open("r+b") as file:
        file.seek(192 << 10)
        file.write(bytes(128 << 10))  # both region tables
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    answer = vhdx_command("recover", *apart, twin, "-o", tmp_path / "disk.raw")
    assert answer.code == 0
    assert "is damaged: that one is used" in answer.err
    assert (tmp_path / "disk.raw").read_bytes() == flat(chain[0])


def test_a_disk_whose_name_is_no_text_is_recovered_and_refused_as_a_parent(vhdx_command, tmp_path):
    assert vhdx_command("create", tmp_path / "disk.vhdx", "--size", "8M").code == 0
    try:
        odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.vhdx")
        (tmp_path / "disk.vhdx").rename(odd)
    except (OSError, UnicodeDecodeError):
        pytest.skip("this file system takes UTF-8 names alone")
    out = tmp_path / "out.raw"
    assert vhdx_command("recover", odd, "-o", out).code == 0
    assert out.read_bytes() == bytes(8 << 20)
    answer = vhdx_command("create", tmp_path / "child.avhdx", "--parent", odd)
    assert answer.code == 5
    assert "is not UTF-8, and a file cannot name it; rename the parent" in answer.err
    assert not (tmp_path / "child.avhdx").exists()


def test_a_disk_whose_id_is_zero_is_written_with_one(vhdx_command, tmp_path):
    spec = disk("nameless")
    nameless = replace(spec, identity=replace(spec.identity, virtual_disk_id=UUID(int=0)))
    encode(nameless).write_to(tmp_path / "disk.vhdx")
    assert "MET-21" in vhdx_command("check", tmp_path / "disk.vhdx").out
    assert vhdx_command("recover", tmp_path / "disk.vhdx", "-o", tmp_path / "new.vhdx").code == 0
    assert "MET-21" not in vhdx_command("check", tmp_path / "new.vhdx").out


@pytest.mark.parametrize("front", [512, 4096, 0x40000])
def test_a_disk_with_something_in_front_of_it_is_read_from_where_it_begins(vhdx_command, chain, tmp_path, front):
    leaf, _ = chain
    files = [tmp_path / f"moved{number}.avhdx" for number, _ in enumerate(layers_of(leaf))]
    for path, layer in zip(files, layers_of(leaf), strict=True):
        path.write_bytes(b"\xa5" * front + layer.read_bytes())
    out = tmp_path / "out.raw"
    answer = vhdx_command("recover", *files, "-o", out)
    assert answer.code in {0, 1}, answer.err
    assert out.read_bytes() == flat(leaf)
    assert statuses(tmp_path / "out.raw.map")["-"] == 0
    assert f"read from byte {front} on" in answer.out + answer.err
