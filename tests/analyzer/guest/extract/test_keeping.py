"""What a file system of Unix keeps of its files: in an archive, and in a folder that root fills."""

import io
import os
import shutil
import subprocess
import tarfile

import pytest

from cli.errors import run
from cli.main import vhdx
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import need
from tests.support.files import room_of, symbolic_link

pytestmark = [pytest.mark.peers, pytest.mark.slow]
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NAMES = [
    "two words",
    "CON",
    "nul.txt",
    "trailing.",
    "line\nbreak",
    "Case",
    "case",
    "stream:colon",
    "back\\slash",
    "e\u0301",
]
RAW_NAMES = [b"\xff\xfe no text", b"a" * 255]
ACL = bytes.fromhex("0200000001000700ffffffff02000500e903000004000500ffffffff10000700ffffffff20000400ffffffff")
"""user::rwx, user:1001:r-x, group::r-x, mask::rwx, other::r--"""
TIME = 1_600_000_000_000_000_000  # mke2fs before 1.47.1 keeps whole seconds


@pytest.fixture
def tree(tmp_path):
    """A folder with one of everything that ext4 keeps."""
    if not IS_ROOT:
        pytest.skip("only root makes files of others")
    need("ext4")
    top = tmp_path / "tree"
    home = top / "home" / "anna"
    home.mkdir(parents=True)
    for name in (*map(os.fsencode, NAMES), *RAW_NAMES):
        (home / os.fsdecode(name)).write_bytes(name)
    (home / "plain").write_bytes(b"x" * 5000)
    (home / "empty").touch()
    (home / "link").symlink_to("plain")
    (home / "dangling").symlink_to("/no/where/" + "x" * 120)
    (home / "escape").symlink_to("../../../../../../etc")
    os.link(home / "plain", home / "zz hard")
    (home / "below").mkdir()
    os.link(home / "plain", home / "below" / "hard")
    os.mkfifo(home / "pipe")
    with (home / "holes").open("wb") as file:
        file.write(b"begin")
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(5 << 20)
    for name, mode, owner in (("plain", 0o4755, 1000), ("empty", 0o600, 70_000), ("below", 0o2770, 1001)):
        os.chown(home / name, owner, owner + 1)
        (home / name).chmod(mode)
    os.chown(home / "link", 1234, 1235, follow_symlinks=False)
    give_attributes(home)
    for path in sorted(home.rglob("*"), reverse=True):
        os.utime(path, ns=(TIME, TIME), follow_symlinks=False)
    return top


def give_attributes(home):
    """Extended attributes of users, and ACLs."""
    try:
        os.setxattr(home / "plain", "user.origin", b"https://example.org/?a=b%c")
        os.setxattr(home / "empty", "user.bin", bytes(range(256)))
        os.setxattr(home / "empty", "user.large", b"L" * 1000)
        os.setxattr(home / "below", "user.of a folder", b"yes")
        os.setxattr(home / "below", "system.posix_acl_default", ACL)
        os.setxattr(home / "empty", "system.posix_acl_access", ACL)
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")


@pytest.fixture
def leaf(tree, tmp_path):
    """A VHDX that holds the tree in ext4."""
    image = images.empty(tmp_path / "ext4.raw", 16 * images.MIB)
    images.run("mke2fs", "-q", "-t", "ext4", "-b", 4096, "-d", tree, image)
    return images.chain_of(tmp_path / "chain", image)


def facts(top):
    """What of every file below a folder is to be the same."""
    found, several = {}, {}
    for path in sorted(top.rglob("*")):
        about = path.lstat()
        name = os.fsencode(path.relative_to(top))
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        target = str(path.readlink()) if path.is_symlink() else None
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        links = several.setdefault((about.st_dev, about.st_ino), name) if not path.is_dir() else None
        when = about.st_mtime_ns if not path.is_dir() else None
        found[name] = (about.st_mode, about.st_uid, about.st_gid, when, content, target, attributes, links)
    return found


def test_a_folder_that_root_fills_is_the_tree(vhdx_command, tree, leaf, tmp_path):
    answer = vhdx_command("extract", leaf, "/home", "-o", tmp_path / "out", "--preserve")
    assert (answer.code, answer.err) == (0, "")
    assert facts(tmp_path / "out") == facts(tree)
    assert room_of(tmp_path / "out/home/anna/holes") < 1 << 20
    assert (tmp_path / "out/home/anna/below").stat().st_mtime_ns == TIME


@pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed")
def test_an_archive_unpacks_to_the_tree(vhdx_command, tree, leaf, tmp_path):
    answer = vhdx_command("extract", leaf, "/home", "--tar", tmp_path / "home.tar")
    assert (answer.code, answer.err) == (0, "")
    assert "links: 3 symbolic, 2 hard" in answer.out
    (tmp_path / "out").mkdir()
    kept = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", tmp_path / "home.tar"]
    subprocess.run(["tar", "-C", tmp_path / "out", *kept], check=True)
    assert facts(tmp_path / "out") == facts(tree)
    assert room_of(tmp_path / "out/home/anna/holes") < 1 << 20


def test_python_reads_the_archive_too(vhdx_command, tree, leaf, tmp_path):
    assert vhdx_command("extract", leaf, "/home/anna", "--tar", tmp_path / "anna.tar").code == 0
    with tarfile.open(tmp_path / "anna.tar", errors="surrogateescape") as archive:
        names = {os.fsencode(member.name) for member in archive}
        assert names == {os.fsencode(path.relative_to(tree / "home")) for path in (tree / "home").rglob("*")}
        assert archive.extractfile("anna/holes").read() == (tree / "home/anna/holes").read_bytes()
        assert archive.getmember("anna/plain").pax_headers["mtime"] == "1600000000.000000000"


def test_an_archive_goes_to_stdout_and_what_is_said_to_stderr(leaf, capfdbinary):
    assert run(vhdx, ["extract", str(leaf), "/home/anna", "--tar", "-"]) == 0
    out, err = capfdbinary.readouterr()
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        assert archive.extractfile("anna/zz hard").read() == b"x" * 5000
    assert err.startswith(b"-: ")


def test_what_exists_is_not_replaced_unless_it_may_be(vhdx_command, leaf, tmp_path):
    out = tmp_path / "home.tar"
    out.write_bytes(b"mine")
    answer = vhdx_command("extract", leaf, "/home", "--tar", out)
    assert answer.code == 5
    assert out.read_bytes() == b"mine"
    assert vhdx_command("extract", leaf, "/home", "--tar", out, "--force").code == 0


def test_json_counts_what_was_made(vhdx_command, leaf, tmp_path):
    answer = vhdx_command("extract", leaf, "/home", "--tar", tmp_path / "home.tar", "--json").json
    assert (answer["links_made"], answer["hard_links"], answer["special_files"]) == (3, 2, 1)
    assert answer["links"] == answer["left_out"] == answer["attributes_left"] == answer["renamed"] == []


def test_one_place_is_named_where_files_go_to(vhdx_command, leaf, tmp_path):
    for arguments in ((), ("-o", tmp_path / "out", "--tar", tmp_path / "out.tar"), ("-o", "-", "--preserve")):
        assert vhdx_command("extract", leaf, "/home/anna/plain", *arguments).code == 2


def test_nobody_but_root_preserves(vhdx_command, leaf, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    answer = vhdx_command("extract", leaf, "/home", "-o", tmp_path / "out", "--preserve")
    assert answer.code == 2
    assert "only root" in answer.err
    assert not (tmp_path / "out").exists()


def test_links_that_stand_in_the_folder_are_not_followed(vhdx_command, leaf, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    symbolic_link(tmp_path / "out" / "home", tmp_path / "elsewhere")
    answer = vhdx_command("extract", leaf, "/home", "-o", tmp_path / "out", "--preserve", "--force")
    assert answer.code == 5
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_stands_in_the_folder_is_replaced_where_it_may_be(vhdx_command, tree, leaf, tmp_path):
    for more in ([], ["--force"]):
        assert vhdx_command("extract", leaf, "/home", "-o", tmp_path / "out", "--preserve", *more).code == 0
    assert facts(tmp_path / "out") == facts(tree)
