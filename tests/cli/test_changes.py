"""Commands on what differs: changes, and apply."""

import csv
import hashlib
import io
import re
from dataclasses import replace

import pytest

import vhdx
from fixtures import Brush, encode
from fixtures.recipes.kit import child_of, disk
from tests.support.command_line import contents


def flat(path, layer=None):
    with vhdx.open_chain(path) as chain:
        view = chain if layer is None else chain.upto(layer)
        return view.read(0, view.size)


@pytest.fixture
def fork(tmp_path):
    """A base and two leaves on it; the first is written anew, in part, with what the base has."""
    base = replace(disk("fork"), blocks={0: Brush(tag=1).full(0)})
    encode(base).write_to(tmp_path / "base.vhdx")
    for number in (1, 2):
        spec = child_of(
            base, f"fork-{number}", {0: Brush(tag=number).partial(0, range(8 * number))}, path=".\\base.vhdx"
        )
        encode(spec).write_to(tmp_path / f"leaf{number}.avhdx")
    return tmp_path / "leaf1.avhdx", tmp_path / "leaf2.avhdx"


def test_a_state_does_not_differ_from_itself(vhdx_command, chain):
    leaf, _ = chain
    answer = vhdx_command("changes", leaf, leaf)
    assert answer.code == 0
    assert "in nothing" in answer.out
    assert vhdx_command("changes", f"{leaf}@2", leaf, "--json").json["ranges"] == []


def test_layers_of_a_chain_differ_by_provenance_in_what_the_upper_ones_hold(vhdx_command, chain):
    leaf, _ = chain
    answer = vhdx_command("changes", f"{leaf}@0", leaf, "--json")
    assert answer.code == 1
    told = answer.json
    assert told["method"] == "provenance"
    assert [len(told[state]["layers"]) for state in ("old", "new")] == [1, 3]
    assert len(told["shared"]) == 1
    assert told["range_count"] == len(told["ranges"]) > 0
    assert told["changed_bytes"] == sum(length for _, length, _ in told["ranges"])


def test_what_was_written_anew_with_the_same_bytes_drops_out_with_verify(vhdx_command, fork):
    one, _ = fork
    base = one.parent / "base.vhdx"
    assert vhdx_command("changes", base, one).code == 1
    answer = vhdx_command("changes", base, one, "--verify", "--json")
    assert (answer.code, answer.json["method"], answer.json["ranges"]) == (0, "verified", [])


def test_two_leaves_of_a_fork_share_their_base(vhdx_command, fork):
    one, two = fork
    told = vhdx_command("changes", one, two, "--json").json
    assert [path.rsplit("/", 1)[-1].rsplit("\\", 1)[-1] for path in told["shared"]] == ["base.vhdx"]
    assert told["ranges"] == [[0, 16 * 512, "data"]]


def test_a_copy_of_the_chain_in_a_raw_image_is_compared_by_content(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    raw = tmp_path / "copy.raw"
    vhdx_command("convert", leaf, raw)
    answer = vhdx_command("changes", leaf, raw, "--json")
    assert (answer.code, answer.json["method"], answer.json["new"]["format"]) == (0, "content", "raw")
    with raw.open("r+b") as file:
        file.seek(5_000_001)
        file.write(b"!")
    told = vhdx_command("changes", leaf, raw, "--json").json
    assert told["ranges"] == [[5_000_001 // 512 * 512, 512, "data"]]


def test_what_one_disk_has_past_the_end_of_the_other_differs(vhdx_command, tmp_path):
    short, long = tmp_path / "short.raw", tmp_path / "long.raw"
    short.write_bytes(b"x" * 8192)
    long.write_bytes(b"x" * 8192 + b"y" * 1000)
    assert vhdx_command("changes", short, long, "--json").json["ranges"] == [[8192, 1000, "data"]]
    assert vhdx_command("changes", long, short, "--json").json["ranges"] == [[8192, 1000, "gone"]]


def test_csv_list_json_and_bitmap_say_the_same(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    states = (f"{leaf}@0", leaf, "--granularity", "64K")
    ranges = vhdx_command("changes", *states, "--json").json["ranges"]
    rows = list(csv.reader(io.StringIO(vhdx_command("changes", *states, "--csv").out)))
    assert rows[0] == ["start", "length", "kind"]
    assert [[int(start), int(length), kind] for start, length, kind in rows[1:]] == ranges
    listed = [line.split() for line in vhdx_command("changes", *states, "--list").out.splitlines() if line[0] != "#"]
    assert [[int(start), int(length), kind] for start, length, kind in listed] == ranges
    assert vhdx_command("changes", *states, "--bitmap", tmp_path / "bits").code == 1
    bits = (tmp_path / "bits").read_bytes()
    size = len(flat(leaf))
    assert len(bits) == size // 65536 // 8
    marked = {granule for granule in range(size // 65536) if bits[granule >> 3] >> (granule & 7) & 1}
    assert marked == {at // 65536 for start, length, _ in ranges for at in range(start, start + length, 65536)}


def test_a_bitmap_is_not_written_over_a_source_or_a_file_that_exists(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    (tmp_path / "bits").write_bytes(b"kept")
    assert vhdx_command("changes", leaf, leaf, "--bitmap", tmp_path / "bits").code == 5
    assert vhdx_command("changes", leaf, leaf, "--bitmap", leaf, "--force").code == 5
    base = leaf.parent / "vm.vhdx"
    for source in contents(leaf.parent):  # those above the states that are compared too
        if source.suffix == ".avhdx":
            assert vhdx_command("changes", f"{leaf}@0", base, "--bitmap", source, "--force").code == 5
            assert vhdx_command("changes", f"{leaf}@0", base, "--export", source, "--force").code == 5
    assert (tmp_path / "bits").read_bytes() == b"kept"
    assert vhdx_command("changes", leaf, leaf, "--bitmap", tmp_path / "bits", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--granularity", "1000"], 2),
        (["--granularity", "0"], 2),
        (["--json", "--csv"], 2),
        (["--export", "x", "--csv"], 2),
        (["--export", "x", "--granularity", "4K"], 2),
    ],
)
def test_choices_that_exclude_each_other_are_wrong_usage(vhdx_command, chain, arguments, code):
    leaf, _ = chain
    assert vhdx_command("changes", leaf, leaf, *arguments).code == code


def test_a_layer_that_the_chain_does_not_have_is_said(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    answer = vhdx_command("changes", f"{leaf}@7", leaf)
    assert answer.code == 2
    assert "0 (base) to 2" in answer.err
    raw = tmp_path / "x.raw"
    raw.write_bytes(b"x")
    assert vhdx_command("changes", f"{raw}@1", leaf).code == 2
    assert vhdx_command("changes", f"{raw}@0", raw).code == 0


def test_a_file_whose_name_ends_like_a_layer_is_that_file(vhdx_command, tmp_path):
    (tmp_path / "a@1").write_bytes(b"one")
    (tmp_path / "a").write_bytes(b"two")
    assert vhdx_command("changes", tmp_path / "a@1", tmp_path / "a").code == 1
    assert vhdx_command("changes", tmp_path / "a@1", tmp_path / "a@1").code == 0


def test_a_damaged_vhdx_does_not_pass_for_a_raw_image(vhdx_command, tmp_path):
    (tmp_path / "bad.vhdx").write_bytes(bytes(1 << 20))
    assert vhdx_command("changes", tmp_path / "bad.vhdx", tmp_path / "bad.vhdx").code == 3


@pytest.mark.parametrize("name", ["out.raw", "out.vhdx"])
def test_a_delta_brings_the_new_state_to_a_copy_of_the_old_one(vhdx_command, chain, tmp_path, name):
    leaf, fixture = chain
    before = contents(leaf.parent)
    delta, copy, out = tmp_path / "week.delta", tmp_path / "old.raw", tmp_path / name
    told = vhdx_command("changes", "--export", delta, f"{leaf}@0", leaf, "--json")
    assert told.code == 0
    assert told.json["output"]["after"] == fixture.models[fixture.leaf].sha256()
    assert vhdx_command("convert", leaf.parent / "vm.vhdx", copy).code == 0
    answer = vhdx_command("apply", delta, copy, out, "--json")
    assert answer.code == 0
    assert answer.json["output"]["verified"] is True
    content = out.read_bytes() if name.endswith("raw") else flat(out)
    assert hashlib.sha256(content).hexdigest() == fixture.models[fixture.leaf].sha256()
    assert contents(leaf.parent) == before


def test_any_other_base_is_refused_before_anything_is_written(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    delta, copy = tmp_path / "week.delta", tmp_path / "old.raw"
    vhdx_command("changes", "--export", delta, f"{leaf}@0", leaf)
    vhdx_command("convert", leaf.parent / "vm.vhdx", copy)
    with copy.open("r+b") as file:  # a byte that the delta does not replace
        file.seek(-1, 2)
        file.write(b"!")
    present = contents(tmp_path)
    for base in (copy, leaf, f"{leaf}@1"):
        answer = vhdx_command("apply", delta, base, tmp_path / "out.raw")
        assert answer.code == 4
        assert "vhdx hash" in answer.err
    assert contents(tmp_path) == present


def test_what_is_no_delta_or_is_cut_is_refused(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    delta = tmp_path / "week.delta"
    vhdx_command("changes", "--export", delta, f"{leaf}@0", leaf)
    assert vhdx_command("apply", leaf, leaf, tmp_path / "out.raw").code == 3
    delta.write_bytes(delta.read_bytes()[:-1])
    assert vhdx_command("apply", delta, f"{leaf}@0", tmp_path / "out.raw").code == 3
    assert not (tmp_path / "out.raw").exists()


def test_a_delta_is_not_written_over_a_source_nor_an_output_over_its_delta(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    delta = tmp_path / "week.delta"
    assert vhdx_command("changes", "--export", leaf, f"{leaf}@0", leaf, "--force").code == 5
    assert vhdx_command("changes", "--export", delta, f"{leaf}@0", leaf).code == 0
    assert vhdx_command("changes", "--export", delta, f"{leaf}@0", leaf).code == 5
    assert vhdx_command("apply", delta, f"{leaf}@0", delta, "--format", "raw", "--force").code == 5
    assert vhdx_command("apply", delta, f"{leaf}@0", tmp_path / "new.bad").code == 5


def test_what_cannot_be_known_counts_as_changed_and_is_never_exported(vhdx_command, fork):
    one, two = fork
    whole = two.read_bytes()
    with vhdx.open_image(two) as image:
        place = next(run.file_offset for run in image.runs() if run.kind is vhdx.Kind.DATA)
    two.write_bytes(whole[:place])
    for extra in ([], ["--verify"]):
        answer = vhdx_command("changes", one, two, "--json", *extra)
        assert answer.code == 1
        assert answer.json["ranges"] == [[0, 16 * 512, "lost"]]
    assert vhdx_command("changes", "--export", one.parent / "x.delta", one, two).code == 3
    assert not (one.parent / "x.delta").exists()


@pytest.mark.parametrize(
    ("front", "name"), [(b"QFI\xfb", "qcow2"), (b"KDMV", "VMDK"), (b"EVF\x09\x0d\x0a\xff\x00", "E01")]
)
def test_an_image_of_another_program_is_not_taken_for_a_disk(vhdx_command, chain, tmp_path, front, name):
    leaf, _ = chain
    other = tmp_path / "other.img"
    other.write_bytes(front + bytes(1 << 20))
    answer = vhdx_command("changes", other, leaf)
    assert answer.code == 3
    assert name in answer.err


def test_apply_makes_the_vhd_that_azure_takes(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    vhdx_command("changes", f"{leaf}@0", leaf, "--export", tmp_path / "a.delta")
    answer = vhdx_command("apply", tmp_path / "a.delta", f"{leaf}@0", tmp_path / "out.vhd", "--azure", "--json")
    assert answer.json["output"]["format"] == "vhd-azure"
    assert (tmp_path / "out.vhd").stat().st_size % (1 << 20) == 512


def test_what_apply_says_of_a_wrong_base_leads_to_the_right_one(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    vhdx_command("changes", f"{leaf}@1", leaf, "--export", tmp_path / "x.delta")
    refused = vhdx_command("apply", tmp_path / "x.delta", f"{leaf}@0", tmp_path / "out.raw")
    assert refused.code == 4
    wanted = re.search(r"give the one whose SHA-256 is ([0-9a-f]{64})", refused.err)[1]
    hint = re.search(r"LEAF@N where `vhdx (.*?)` prints that", refused.err)[1].split()
    for layer in range(3):
        answer = vhdx_command(*(word.replace("LEAF@N", f"{leaf}@{layer}") for word in hint))
        applied = vhdx_command("apply", tmp_path / "x.delta", f"{leaf}@{layer}", tmp_path / f"out{layer}.raw")
        assert (applied.code == 0) == answer.out.startswith(wanted) == (layer == 1)
