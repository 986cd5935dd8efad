"""The options of an E01."""

import hashlib
import zlib

import pytest

pytestmark = pytest.mark.slow

TOLD = [
    "--case-number",
    "2026/17",
    "--evidence-number",
    "3",
    "--examiner",
    "A. Name",
    "--description",
    "d",
    "--notes",
    "n",
]


def header_of(path):
    """The text of header2: the first section of an E01."""
    data = path.read_bytes()
    size = int.from_bytes(data[13 + 24 : 13 + 32], "little")
    return zlib.decompress(data[13 + 76 : 13 + size]).decode("utf-16")


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_what_the_examiner_says_stands_in_the_image(vhdx_command, chain, tmp_path, command):
    leaf, _ = chain
    assert vhdx_command(command, leaf, tmp_path / "out.E01", *TOLD).code == 0
    assert "\nd\t2026/17\t3\tA. Name\tn\t" in header_of(tmp_path / "out.E01")


def test_recover_writes_evidence_too(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    assert vhdx_command("recover", leaf, "-o", tmp_path / "out.E01", "--examiner", "A. Name").code == 0
    assert "\tA. Name\t" in header_of(tmp_path / "out.E01")


def test_a_seed_leaves_the_time_out_and_gives_the_same_bytes(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    for name in ("one.E01", "two.E01"):
        assert vhdx_command("convert", leaf, tmp_path / name, "--seed", "s").code == 0
    assert vhdx_command("convert", leaf, tmp_path / "now.E01").code == 0
    assert (tmp_path / "one.E01").read_bytes() == (tmp_path / "two.E01").read_bytes()
    assert "\t0\t0\t0\t\n" in header_of(tmp_path / "one.E01")
    assert "\t0\t0\t0\t\n" not in header_of(tmp_path / "now.E01")


@pytest.mark.parametrize("extra", [["--notes", "x"], ["--segment-size", "4M"], ["--no-hash"]])
@pytest.mark.parametrize("out", ["out.raw", "out.vhdx", "out.vmdk", "-"])
def test_options_of_an_e01_are_refused_for_anything_else(vhdx_command, chain, tmp_path, extra, out):
    leaf, _ = chain
    answer = vhdx_command("convert", leaf, out if out == "-" else tmp_path / out, *extra)
    assert answer.code == 2
    assert "E01" in answer.err
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("extra", [["--notes", "a\nb"], ["--examiner", "\x1b[31m"]])
def test_what_would_break_the_header_is_refused_in_one_sentence(vhdx_command, chain, tmp_path, extra):
    leaf, _ = chain
    answer = vhdx_command("convert", leaf, tmp_path / "out.E01", *extra)
    assert answer.code == 2
    assert "\x1b" not in answer.err
    assert not (tmp_path / "out.E01").exists()


@pytest.mark.parametrize("extra", [["--segment-size", "1M"], ["--segment-size", "3G"]])
def test_a_segment_size_that_cannot_be_is_refused(vhdx_command, chain, tmp_path, extra):
    leaf, _ = chain
    answer = vhdx_command("convert", leaf, tmp_path / "out.E01", *extra)
    assert answer.code == 5
    assert "4M to 2047M" in answer.err


def test_the_digests_are_told(vhdx_command, chain, tmp_path):
    leaf, fixture = chain
    model = fixture.models[fixture.leaf]
    content = model.read(0, model.size)
    expected = {name: hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in ("md5", "sha1")}
    told = vhdx_command("convert", leaf, tmp_path / "one.E01", "--json").json["output"]
    assert told["digests"] == expected
    said = vhdx_command("convert", leaf, tmp_path / "two.E01").out
    assert f"MD5 {expected['md5']}, SHA-1 {expected['sha1']}" in said
    untold = vhdx_command("convert", leaf, tmp_path / "three.E01", "--no-hash", "--json").json["output"]
    assert untold["digests"] == {}


@pytest.mark.parametrize("options", [[], ["--clone"]], ids=["the disk", "its clone"])
def test_a_file_that_has_a_segments_name_and_is_none_is_not_removed(vhdx_command, chain, tmp_path, options):
    leaf, _ = chain
    (tmp_path / "out.E02").write_bytes(b"a disk, and no segment")
    answer = vhdx_command("convert", leaf, tmp_path / "out.E01", "--force", *options)
    assert answer.code == 5
    assert "out.E02: it is no segment" in answer.err
    assert (tmp_path / "out.E02").read_bytes() == b"a disk, and no segment"
