"""Names that a guest may give its files: none leaves the folder that files are taken out to, none harms it."""

import os
import stat
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.guest.extract.names import MOST_BYTES, Names, folded, safe_name
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import need
from tests.support.files import symbolic_link

HOSTILE = [
    b"..\\..\\evil",
    b"C:evil",
    b"stream:evil",
    b"CON",
    b"nul.txt",
    b"COM1 .log",
    b"trailing.",
    b"trailing ",
    b"con\x01trol\x1b[2J",
    b"\xff\xfe no text",
    "rev\u202eesrever".encode(),
    b"Case",
    b"case",
    b"CASE",
    b"a" * 255,
    b"a" * 254 + b"b",
    ("\u00e9" * 127).encode(),
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b'question?*<>|"',
    b"-rf",
    b"~",
    b"new\nline",
]
PATCHED = {b"../../EVIL01": b"QQQQQQQQQQ01", b"/etc/EVIL002": b"QQQQQQQQQQ02", b"..": b"QZ"}
"""Names that no system lets anybody give: written over others of the same length."""


@pytest.fixture
def hostile(tmp_path):
    """An ext image with files of such names, each holding its name, in its root and in a folder; and two links."""
    need("ext4")
    folder = tmp_path / "files"
    lower = folder / "dir:.. "
    lower.mkdir(parents=True)
    for name in (*HOSTILE, *PATCHED.values()):
        for place in (folder, lower):
            (place / os.fsdecode(name)).write_bytes(name)
    symbolic_link(folder / "link", "/etc")
    symbolic_link(folder / "up", "../../..")
    image = images.empty(tmp_path / "hostile.raw", 8 * images.MIB)
    images.run("mkfs.ext4", "-q", "-O", "^metadata_csum,^dir_index", "-d", folder, image)
    raw = image.read_bytes()
    for name, stand_in in PATCHED.items():
        entry = bytes([len(stand_in), 1]) + stand_in
        assert raw.count(entry) == 2
        raw = raw.replace(entry, bytes([len(name), 1]) + name)
    image.write_bytes(raw)
    return image


def below(folder):
    """Everything in a folder, no link followed: {path: mode}."""
    return {str(path.relative_to(folder)): path.lstat().st_mode for path in folder.rglob("*")}


@pytest.mark.peers
def test_no_name_leaves_the_folder_and_every_file_is_there(vhdx_command, hostile, tmp_path):
    out = tmp_path / "in" / "here"
    out.parent.mkdir()
    present = below(tmp_path)
    answer = vhdx_command("extract", hostile, "/", "-o", out, "--json")
    found = below(out)
    assert {path: mode for path, mode in below(tmp_path).items() if not path.startswith("in/here")} == present
    assert all(stat.S_ISREG(mode) or stat.S_ISDIR(mode) for mode in found.values())
    holds = sorted(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert holds == sorted(2 * [*HOSTILE, *(s for n, s in PATCHED.items() if n != b"..")])
    told = {link["path"]: link["text"] for link in answer.json["links"]}
    assert {path: text.split()[3].rstrip(":") for path, text in told.items()} == {"/link": "/etc", "/up": "../../.."}
    assert answer.code == 0


@pytest.mark.peers
def test_names_in_the_folder_are_distinct_and_harmless_on_every_system(vhdx_command, hostile, tmp_path):
    vhdx_command("extract", hostile, "/", "-o", tmp_path / "out")
    for name in below(tmp_path / "out"):
        for part in name.split("/"):
            assert safe_name(part) == part
    parts = list(below(tmp_path / "out"))
    assert len({folded(part) for part in parts}) == len(parts)


@pytest.mark.peers
def test_listing_shows_harmful_names_as_what_they_are(vhdx_command, hostile):
    text = vhdx_command("files", hostile, "-r").out
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"con\x01trol\x1b[2J" in text
    paths = {file["path"] for file in vhdx_command("files", hostile, "--json").json["files"]}
    assert r"/\xff\xfe no text" in paths


@pytest.mark.peers
def test_links_in_the_target_are_not_followed(vhdx_command, tmp_path):
    need("ext4")
    image = images.make_ext(tmp_path / "disk.raw", {"sub/file": b"inside", "plain": b"plain"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    symbolic_link(out / "sub", elsewhere)
    symbolic_link(out / "plain", elsewhere / "plain")
    answer = vhdx_command("extract", image, "/", "-o", out, "--force", "--json")
    assert answer.code == 5
    assert list(elsewhere.iterdir()) == []
    assert [told["path"] for told in answer.json["refused"]] == ["/sub"]
    assert (out / "plain").read_bytes() == b"plain"
    assert not (out / "plain").is_symlink()


@pytest.mark.peers
def test_what_exists_is_kept_unless_it_may_be_replaced(vhdx_command, tmp_path):
    need("ext4")
    image = images.make_ext(tmp_path / "disk.raw", {"one": b"of the disk", "two": b"two"})
    out = tmp_path / "out"
    out.mkdir()
    (out / "one").write_bytes(b"kept")
    answer = vhdx_command("extract", image, "/", "-o", out, "--json")
    assert answer.code == 5
    assert [told["path"] for told in answer.json["refused"]] == ["/one"]
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == {"one": b"kept", "two": b"two"}
    assert vhdx_command("extract", image, "/", "-o", out, "--force").code == 0
    assert (out / "one").read_bytes() == b"of the disk"


@pytest.mark.peers
def test_a_source_is_not_replaced_by_a_file_of_its_name(vhdx_command, tmp_path):
    need("ext4")
    image = images.make_ext(tmp_path / "disk.raw", {"layer1.avhdx": b"a", "base.vhdx": b"b", "other": b"c"})
    leaf = images.chain_of(tmp_path / "chain", image, image)
    present = {path: path.read_bytes() for path in leaf.parent.iterdir()}
    for state in (leaf, f"{leaf}@0"):
        answer = vhdx_command("extract", state, "/", "-o", leaf.parent, "--force", "--json")
        assert answer.code == 1
        assert {told["path"] for told in answer.json["left_out"]} == {"/layer1.avhdx", "/base.vhdx"}
        assert {path: path.read_bytes() for path in present} == present
    assert (leaf.parent / "other").read_bytes() == b"c"


@given(st.text(st.characters(), max_size=400))
def test_a_safe_name_is_one_name_that_stays_as_it_is(name):
    safe = safe_name(name)
    assert safe
    assert safe not in {".", ".."}
    assert not set(safe) & set('/\\:*?"<>|\0')
    assert not any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for one in safe)
    assert not safe.endswith((".", " "))
    assert len(safe.encode()) <= MOST_BYTES
    assert safe_name(safe) == safe


@given(st.lists(st.text("aAbB.~2\u00e9e\u0301", max_size=5), max_size=30))
def test_no_two_names_of_a_folder_are_taken_for_one(wanted):
    names = Names()
    given_names = [names.give(name) for name in wanted]
    assert len({folded(name) for name in given_names}) == len(wanted)
    assert all(safe_name(name) == name for name in given_names)
