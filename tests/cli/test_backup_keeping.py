"""`vhdx backup forget` and `prune`, encryption and places, as people call them."""

import io
import json
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("zstandard")

from analyzer.backup import locks
from analyzer.backup.errors import PlaceError
from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import take
from analyzer.backup.repository import keys
from analyzer.backup.storage import pace
from analyzer.backup.storage.local import LocalPlace
from vhdx.system import windows

pytestmark = pytest.mark.slow
unlike_windows = pytest.mark.skipif(os.name == "nt", reason="Windows takes no such names of files")


@pytest.fixture
def repository(vhdx_command, chain, tmp_path):
    """The path of a repository with two points of one disk, and the leaf."""
    leaf, _ = chain
    path = tmp_path / "repository"
    assert vhdx_command("backup", "init", path, "--chunk-size", "256K").code == 0
    for name in ("first", "second"):
        assert vhdx_command("backup", "create", path, leaf, "--name", name).code == 0
    return path


def points(vhdx_command, path):
    listed = json.loads(vhdx_command("backup", "list", path, "--json").out)
    return [point["name"] for point in listed["points"]]


def test_forget_says_what_would_become_of_each_point_and_then_does_it(vhdx_command, repository):
    told = vhdx_command("backup", "forget", repository, "--keep-last", 1, "--dry-run", "--json").json
    assert not told["done"]
    assert sorted((point["name"], point["kept"]) for point in told["points"]) in (
        [("first", False), ("second", True)],
        [("first", True), ("second", False)],  # both may be of the same second; then their names decide
    )
    assert sorted(points(vhdx_command, repository)) == ["first", "second"]
    (going,) = [point["name"] for point in told["points"] if not point["kept"]]
    done = vhdx_command("backup", "forget", repository, "--keep-last", 1)
    assert "1 restore point forgotten, 1 kept" in done.out
    assert going not in points(vhdx_command, repository)


def test_forget_wants_rules_or_names_and_never_both(vhdx_command, repository):
    assert vhdx_command("backup", "forget", repository).code == 2
    assert vhdx_command("backup", "forget", repository, "first", "--keep-last", 1).code == 2
    answer = vhdx_command("backup", "forget", repository, "nothing")
    assert answer.code == 2
    assert "no restore point 'nothing'" in answer.err


def test_the_last_point_goes_only_when_that_is_said(vhdx_command, repository):
    answer = vhdx_command("backup", "forget", repository, "first", "second")
    assert answer.code == 5
    assert "--allow-last" in answer.err
    assert len(points(vhdx_command, repository)) == 2
    assert vhdx_command("backup", "forget", repository, "first", "second", "--allow-last").code == 0
    assert points(vhdx_command, repository) == []


def test_a_point_with_a_damaged_manifest_can_be_given_up_by_name(vhdx_command, repository):
    path = repository / "points" / "first.json"
    path.write_bytes(path.read_bytes().replace(b"first", b"fIrst"))
    ruled = vhdx_command("backup", "forget", repository, "--keep-last", 5)
    assert "the manifest of first cannot be read" in ruled.err
    assert vhdx_command("backup", "forget", repository, "first").code == 0
    assert not path.exists()


def test_a_point_with_a_damaged_manifest_is_told_by_list_and_stats(vhdx_command, repository):
    path = repository / "points" / "first.json"
    path.write_bytes(path.read_bytes().replace(b"first", b"fIrst"))
    for command in ("list", "stats"):
        answer = vhdx_command("backup", command, repository)
        assert (answer.code, "the manifest of first is damaged" in answer.err) == (1, True)
        assert vhdx_command("backup", command, repository, "--json").code == 1
    assert vhdx_command("backup", "list", repository, "--json").json["damaged"] == ["first"]
    assert vhdx_command("backup", "stats", repository, "--json").json["stats"]["damaged"] == ["first"]


def test_checkpoints_are_kept_with_the_point_that_was_made_above_them(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    path = tmp_path / "repository"
    vhdx_command("backup", "init", path, "--chunk-size", "256K")
    for _ in range(2):  # the second run finds the layers below the leaf there
        assert vhdx_command("backup", "create", path, leaf, "--checkpoints").code == 0
    before = points(vhdx_command, path)
    assert vhdx_command("backup", "forget", path, "--keep-last", 1).code == 0
    assert len(before) - len(points(vhdx_command, path)) == 1
    assert len(points(vhdx_command, path)) == 3
    # A plain create knows of no checkpoints, and its chain goes through them all the same.
    assert vhdx_command("backup", "create", path, leaf, "--name", "zz-plain").code == 0
    assert vhdx_command("backup", "forget", path, "--keep-last", 1).code == 0
    kept = points(vhdx_command, path)
    assert (len(kept), "zz-plain" in kept) == (3, True)


def test_odd_numbers_are_refused(vhdx_command, repository):
    for command, option in (("verify", "--percent"), ("prune", "--window")):
        for value in ("nan", "inf", "-1"):
            assert vhdx_command("backup", command, repository, option, value).code == 2


def test_prune_lists_first_and_deletes_at_once_when_asked_to(vhdx_command, repository):
    vhdx_command("backup", "forget", repository, "first", "second", "--allow-last")
    tried = vhdx_command("backup", "prune", repository, "--dry-run", "--json").json
    assert (tried["deleted_chunks"], tried["done"]) == (0, False)
    assert tried["listed_chunks"] == tried["chunks"] > 0
    assert "a prune in 24 hours or later deletes them" in vhdx_command("backup", "prune", repository).out
    assert vhdx_command("backup", "prune", repository, "--json").json["waiting_chunks"] == tried["chunks"]
    assert (
        vhdx_command("backup", "prune", repository, "--window", 0, "--json").json["deleted_chunks"] == tried["chunks"]
    )
    assert not list((repository / "chunks.castr").rglob("*.cacnk"))


def test_who_is_at_work_is_said_to_whoever_has_to_wait(vhdx_command, repository, chain, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: None)
    with take(LocalPlace(repository), Hold.SHARED, "create"):
        answer = vhdx_command("backup", "prune", repository)
    assert answer.code == 5
    assert "is in use by `vhdx backup create`" in answer.err
    with take(LocalPlace(repository), Hold.EXCLUSIVE, "prune"):
        answer = vhdx_command("backup", "create", repository, chain[0])
    assert answer.code == 5
    assert "is in use by `vhdx backup prune`" in answer.err


def test_no_lock_is_left_behind(vhdx_command, repository):
    assert vhdx_command("backup", "verify", repository).code == 0
    assert not list((repository / "locks").iterdir())


@pytest.fixture
def unwritable(repository, monkeypatch):
    """[a share that is mounted read-only]."""

    def refuse(place, name, _data):
        raise PlaceError(place.url, f"cannot write {name}: Read-only file system")

    monkeypatch.setattr(LocalPlace, "begin", refuse)
    monkeypatch.setattr(LocalPlace, "delete", lambda place, name: refuse(place, name, b""))
    return repository


def test_verify_reads_what_cannot_be_written_to_and_says_that_nothing_is_remembered(vhdx_command, unwritable):
    answer = vhdx_command("backup", "verify", unwritable)
    assert answer.code == 0
    assert "nothing is wrong" in answer.out
    assert answer.err.count("\n") == 1
    assert "cannot write locks/" in answer.err
    assert ".json: Read-only file system; what is read is not remembered" in answer.err
    assert "0 of" not in answer.out
    chunk = max(unwritable.rglob("*.cacnk"), key=lambda path: path.stat().st_size)
    chunk.write_bytes(b"x" + chunk.read_bytes())
    answer = vhdx_command("backup", "verify", unwritable)
    assert answer.code == 1
    assert chunk.name in answer.out
    assert "`vhdx backup create` of a disk that still holds their content" in answer.out
    assert chunk.exists()
    for command in ("list", "stats"):
        assert vhdx_command("backup", command, unwritable).err == ""
    assert vhdx_command("backup", "verify", unwritable, "--indexes").err == ""


def test_verify_waits_for_a_prune_where_it_can_be_written(vhdx_command, repository, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: None)
    with take(LocalPlace(repository), Hold.EXCLUSIVE, "prune"):
        assert vhdx_command("backup", "verify", repository).code == 5
        assert vhdx_command("backup", "verify", repository, "--indexes").code == 0


@pytest.fixture
def secret(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.delenv("VHDX_PASSPHRASE", raising=False)
    # As it is meant, scrypt takes 128 MiB and half a second each time.
    monkeypatch.setitem(keys.Cost.__init__.__kwdefaults__, "n", 16)
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    return path


@pytest.fixture
def encrypted(vhdx_command, chain, tmp_path, secret):
    path = tmp_path / "encrypted"
    made = vhdx_command("backup", "init", path, "--encrypt", "--chunk-size", "256K", "--passphrase-file", secret)
    assert made.code == 0
    assert vhdx_command("backup", "create", path, chain[0], "--name", "p", "--passphrase-file", secret).code == 0
    return path


def test_an_encrypted_repository_lives_its_whole_life(vhdx_command, encrypted, secret, chain, tmp_path):
    key = ("--passphrase-file", secret)
    assert vhdx_command("backup", "verify", encrypted, *key).code == 0
    assert vhdx_command("backup", "restore", encrypted, "p", tmp_path / "out.vhdx", *key).code == 0
    out, leaf = (vhdx_command("hash", path, "--json").json for path in (tmp_path / "out.vhdx", chain[0]))
    assert out["sha256"] == leaf["sha256"]
    assert vhdx_command("backup", "create", encrypted, chain[0], "--name", "q", *key).code == 0
    assert vhdx_command("backup", "forget", encrypted, "p", *key).code == 0
    assert vhdx_command("backup", "prune", encrypted, "--window", 0, *key).code == 0
    assert points_of(vhdx_command, encrypted, key) == ["q"]
    assert vhdx_command("backup", "stats", encrypted, *key).code == 0


def points_of(vhdx_command, path, key):
    return [one["name"] for one in json.loads(vhdx_command("backup", "list", path, "--json", *key).out)["points"]]


def test_nothing_of_the_disk_or_its_files_shows_in_an_encrypted_repository(encrypted, chain):
    leaf, _ = chain
    stored = b"".join(path.read_bytes() for path in encrypted.rglob("*") if path.is_file())
    for word in (leaf.name.encode(), b"disk_id", b"data_write_guid", b"correct horse", b"\x28\xb5\x2f\xfd"):
        assert word not in stored, word


def test_a_wrong_key_says_so_and_a_missing_one_what_to_give(vhdx_command, encrypted, tmp_path, monkeypatch):
    (tmp_path / "other").write_text("correct house\n")
    answer = vhdx_command("backup", "list", encrypted, "--passphrase-file", tmp_path / "other")
    assert answer.code == 2
    assert "the passphrase does not open this repository" in answer.err
    monkeypatch.setattr("sys.stdin", io.StringIO())
    answer = vhdx_command("backup", "list", encrypted)
    assert answer.code == 2
    assert "--passphrase-file" in answer.err


@pytest.mark.parametrize("written", ["utf-8-sig", "utf-16"])
def test_a_passphrase_is_the_same_whatever_mark_of_its_encoding_powershell_puts_first(
    vhdx_command, encrypted, secret, written
):
    secret.write_text("correct horse\r\n", encoding=written, newline="")
    assert vhdx_command("backup", "list", encrypted, "--passphrase-file", secret).code == 0


def test_nobody_is_asked_for_a_passphrase_where_stdin_only_says_that_it_is_a_terminal(
    vhdx_command, encrypted, monkeypatch
):
    """NUL does, on Windows."""
    terminal = io.StringIO()
    terminal.isatty, terminal.fileno = (lambda: True), (lambda: 0)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(windows, "is_console", lambda _: False)
    answer = vhdx_command("backup", "list", encrypted)
    assert (answer.code, "--passphrase-file" in answer.err) == (2, True)


def test_the_passphrase_comes_from_the_environment_or_a_command(vhdx_command, encrypted, monkeypatch):
    command = f"{sys.executable} -c \"print('correct horse')\""  # quoted as every shell has it
    assert vhdx_command("backup", "list", encrypted, "--passphrase-command", command).code == 0
    assert vhdx_command("backup", "list", encrypted, "--passphrase-command", "false").code == 2
    assert vhdx_command("backup", "list", encrypted, "--passphrase-command", "no-such-program-at-all").code == 2
    monkeypatch.setenv("VHDX_PASSPHRASE", "correct horse")
    assert vhdx_command("backup", "list", encrypted).code == 0


def test_with_a_passphrase_nothing_is_stored_in_the_clear(vhdx_command, repository, secret, chain, tmp_path):
    """[a server puts a plain repository.json in place of the encrypted one]."""
    answer = vhdx_command("backup", "create", repository, chain[0], "--passphrase-file", secret)
    assert answer.code == 3
    assert "the repository is not encrypted" in answer.err
    assert len(points(vhdx_command, repository)) == 2
    assert vhdx_command("backup", "init", tmp_path / "x", "--passphrase-file", secret).code == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("url", ["ftp://u:geheim@127.0.0.1/x", "sftp://u:geheim@127.0.0.1/x"])
def test_a_password_in_a_url_is_refused_before_anything_is_called(vhdx_command, url):
    answer = vhdx_command("backup", "list", url)
    assert answer.code == 2
    assert "has a password in it" in answer.err
    assert "geheim" not in answer.err + answer.out


def test_a_kind_of_place_that_nobody_knows_is_refused(vhdx_command):
    answer = vhdx_command("backup", "list", "nonsense://host/x")
    assert answer.code == 2
    assert "no repository can be at nonsense://; repositories are in folders, or at sftp://" in answer.err


@pytest.mark.parametrize(
    "name", ["http://x/y", "https://x/y", "github://x/y", "sftp:/x/y", "s3:bucket/x", "me@host:/x", ""]
)
def test_what_is_no_place_for_a_repository_is_refused_at_once_and_makes_nothing(
    vhdx_command, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "analyzer.backup.storage.remote_folder.time.sleep", lambda _: pytest.fail("it was tried, and tried again")
    )
    for command in ("init", "list"):
        answer = vhdx_command("backup", command, name)
        assert answer.code == 2
        assert ";" in answer.err
    assert not list(tmp_path.iterdir())
    if os.name != "nt":  # which has no such names
        assert vhdx_command("backup", "init", "./sftp:/x").code == 0


def test_where_each_place_finds_its_password_is_told_where_a_refused_url_says_it_is(vhdx_command):
    refused = vhdx_command("backup", "list", "sftp://u:geheim@h/x").err
    assert "`vhdx backup --help` says where" in refused
    told = vhdx_command("backup", "--help").out
    for name in ("VHDX_SFTP_PASSWORD", "VHDX_FTP_PASSWORD", "VHDX_SMB_PASSWORD", "AWS_PROFILE", "VHDX_PASSPHRASE"):
        assert name in told


def test_init_refuses_what_holds_anything_and_says_what(vhdx_command, repository, tmp_path):
    for _ in range(2):
        answer = vhdx_command("backup", "init", repository, "--chunk-size", "256K")
        assert answer.code == 5
        assert "a repository is there already, with 2 restore points" in answer.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    answer = vhdx_command("backup", "init", tmp_path / "mine")
    assert answer.code == 5
    assert "something is there already (README.md)" in answer.err
    assert (tmp_path / "mine" / "README.md").read_text() == "mine"
    assert vhdx_command("backup", "init", tmp_path / "new", "--chunk-size", "1K").code == 2


def test_an_encrypted_repository_says_so_to_whoever_finds_it(encrypted, repository):
    readme = (encrypted / "README.md").read_text()
    assert "encrypted" in readme
    assert "vhdx backup restore" in readme
    assert "python3" not in readme
    assert "casync extract" not in readme
    assert "python3 restore.py NAME" in (repository / "README.md").read_text()
    for arguments in ([], ["p", "x.raw"]):
        done = subprocess.run(
            [sys.executable, encrypted / "restore.py", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "is encrypted: only the program vhdx, with its passphrase, can read it" in done.stderr
        assert "utf-8" not in done.stderr


@unlike_windows
def test_hostile_names_reach_no_terminal_through_the_program_in_the_repository(repository):
    first = json.loads((repository / "points" / "first.json").read_text())
    (repository / "points" / "a\x1b[2J\nb.json").write_text(json.dumps(first | {"created": "\x1b]0;x\x07"}))
    (repository / "points" / "c\x1b[2J.json").write_text("[]")
    done = subprocess.run([sys.executable, repository / "restore.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07"}
    assert "\\x1b[2J\\nb" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["first", "second"]
    assert "is damaged" in done.stderr


@unlike_windows
def test_names_that_no_point_can_have_block_nothing(vhdx_command, repository):
    """[a server puts a\\nb.json beside the points: forget could not give it up, and prune would wait for that]."""
    for name in ("a\nb.json", "-x.json", "a b.json", "c\nd.caibx"):
        (repository / "points" / name).write_bytes(b"what is this?")
    before = len(list(repository.rglob("*.cacnk")))
    answer = vhdx_command("backup", "prune", repository, "--window", 0)
    assert answer.code == 0
    assert "2 restore points" in answer.out
    assert vhdx_command("backup", "verify", repository).code == 0
    assert before == len(list(repository.rglob("*.cacnk")))


def test_what_is_meant_by_latest_and_by_a_beginning_is_said(vhdx_command, repository, tmp_path):
    answer = vhdx_command("backup", "restore", repository, "fir", tmp_path / "a.raw")
    assert (answer.code, "fir is first" in answer.err) == (0, True)
    answer = vhdx_command("backup", "show", repository, "latest")
    assert answer.code == 0
    assert answer.err.startswith("latest is ")
    assert "1 restore point would be forgotten" in vhdx_command("backup", "forget", repository, "sec", "--dry-run").out


def test_tags_are_kept_listed_and_never_forgotten_by_rule(vhdx_command, repository, chain):
    leaf, _ = chain
    made = vhdx_command("backup", "create", repository, leaf, "--tag", "vor Umbau", "--tag", "quarter", "--json")
    name = made.json["points"][0]["name"]
    assert made.json["points"][0]["tags"] == ["vor Umbau", "quarter"]
    time.sleep(1.1)  # times are kept to the second
    vhdx_command("backup", "create", repository, leaf, "--name", "newest")
    listed = vhdx_command("backup", "list", repository, "--tag", "quarter", "--json").json["points"]
    assert [point["name"] for point in listed] == [name]
    assert "[vor Umbau, quarter]" in vhdx_command("backup", "list", repository).out
    assert "vor Umbau, quarter" in vhdx_command("backup", "show", repository, name).out
    assert vhdx_command("backup", "forget", repository, "--keep-last", 1, "--keep-tag", "quarter").code == 0
    assert sorted(points(vhdx_command, repository)) == sorted([name, "newest"])
    assert vhdx_command("backup", "create", repository, leaf, "--tag", "a,b").code == 2


def test_a_name_may_have_any_letters_and_restores_by_the_repositorys_own_program(
    vhdx_command, repository, chain, tmp_path
):
    leaf, fixture = chain
    assert vhdx_command("backup", "create", repository, leaf, "--name", "Büro-会計").code == 0
    assert "Büro-会計" in points(vhdx_command, repository)
    assert all(path.name.isascii() for path in (repository / "points").iterdir())
    alone = [sys.executable, "-X", "utf8", repository / "restore.py"]
    listed = subprocess.run(alone, capture_output=True, check=True).stdout.decode()
    assert "Büro-会計  " in listed
    out = tmp_path / "out.raw"
    done = subprocess.run([*alone, "Büro-会計", out], capture_output=True, check=False)
    if b"program zstd" not in done.stderr:
        model = fixture.models[fixture.leaf]
        assert out.read_bytes() == model.read(0, model.size)
    assert vhdx_command("backup", "forget", repository, "Büro").code == 0
    assert not list((repository / "points").glob("B=*"))


def test_the_repository_may_come_from_the_environment(vhdx_command, repository, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    monkeypatch.setenv("VHDX_REPOSITORY", str(repository))
    assert len(vhdx_command("backup", "list", "--json").json["points"]) == 2
    assert vhdx_command("backup", "create", leaf, "--name", "third").code == 0
    assert vhdx_command("backup", "restore", "third", tmp_path / "out.raw").code == 0
    assert vhdx_command("backup", "forget", "third").code == 0
    other = tmp_path / "other"
    assert vhdx_command("backup", "init", other).code == 0  # what is named counts
    assert vhdx_command("backup", "create", other, leaf, "--name", "there").code == 0
    assert vhdx_command("backup", "restore", other, "there", tmp_path / "there.raw").code == 0
    assert points(vhdx_command, other) == ["there"]
    assert sorted(points(vhdx_command, repository)) == ["first", "second"]
    assert vhdx_command("backup", "list", "--nonsense").code == 2
    monkeypatch.delenv("VHDX_REPOSITORY")
    assert vhdx_command("backup", "list").code == 2


def test_the_passphrase_may_come_from_where_the_environment_says(vhdx_command, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.setitem(keys.Cost.__init__.__kwdefaults__, "n", 16)
    monkeypatch.delenv("VHDX_PASSPHRASE", raising=False)
    file = tmp_path / "passphrase"
    file.write_text("secret\nmore\n")
    monkeypatch.setenv("VHDX_PASSPHRASE_FILE", str(file))
    assert vhdx_command("backup", "init", tmp_path / "kept", "--encrypt").code == 0
    assert vhdx_command("backup", "list", tmp_path / "kept").code == 0
    monkeypatch.delenv("VHDX_PASSPHRASE_FILE")
    monkeypatch.setenv("VHDX_PASSPHRASE_COMMAND", f"{sys.executable} -c \"print('secret')\"")
    assert vhdx_command("backup", "list", tmp_path / "kept").code == 0
    wrong = tmp_path / "wrong"
    wrong.write_text("other\n")
    answer = vhdx_command("backup", "list", tmp_path / "kept", "--passphrase-file", wrong)  # an option counts first
    assert answer.code == 2


def dead_lock(repository, seconds):
    """A lock as a run in another container left it, silent for so long."""
    place = LocalPlace(repository)
    with take(place, Hold.EXCLUSIVE, "prune") as lock:
        plain = json.loads(place.read(lock.name))
    path = repository / "locks" / "dead.json"
    place.write("locks/dead.json", json.dumps(plain | {"host": "container", "boot": "other"}).encode())
    when = path.stat().st_mtime - seconds
    os.utime(path, (when, when))
    return path


def test_unlock_takes_away_the_lock_of_a_run_that_died_elsewhere(vhdx_command, repository, tmp_path):
    path = dead_lock(repository, 10)
    kept = vhdx_command("backup", "unlock", repository)
    assert (kept.code, "kept: `vhdx backup prune` on container" in kept.out) == (1, True)
    assert path.exists()
    assert vhdx_command("backup", "unlock", repository, "--remove-all", "--json").json["removed"][0]["exclusive"]
    assert not path.exists()
    dead_lock(repository, locks.SILENT + 60)
    assert vhdx_command("backup", "unlock", repository).code == 0
    assert vhdx_command("backup", "unlock", repository).out == "no locks\n"
    nowhere = tmp_path / "nowhere"
    assert vhdx_command("backup", "unlock", nowhere).code == 3
    assert not nowhere.exists()


def test_who_waits_for_a_lock_says_so_once_and_goes_on_when_it_is_gone(vhdx_command, repository, monkeypatch):
    path, slept = dead_lock(repository, 0), []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 12:
            path.unlink()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    answer = vhdx_command("backup", "prune", repository, "--wait", "10m")
    assert answer.code == 0
    assert answer.err.count("waiting for `vhdx backup prune` on container") == 1


def test_keys_are_added_listed_changed_and_removed(vhdx_command, encrypted, secret, tmp_path):
    key, new, third = ("--passphrase-file", secret), tmp_path / "new", tmp_path / "third"
    new.write_text("second\n")
    third.write_text("third\n")
    listed = vhdx_command("backup", "key", "list", encrypted, *key, "--json").json["keys"]
    assert [one["in_use"] for one in listed] == [True]
    added = vhdx_command("backup", "key", "add", encrypted, *key, "--new-passphrase-file", new, "--label", "anna")
    assert added.code == 0, added.err
    with_new = ("--passphrase-file", new)
    assert points_of(vhdx_command, encrypted, with_new) == ["p"]
    own = vhdx_command("backup", "key", "remove", encrypted, listed[0]["id"], *key)
    assert (own.code, "opened with this key" in own.err) == (5, True)
    assert vhdx_command("backup", "key", "remove", encrypted, listed[0]["id"], *with_new).code == 0
    assert vhdx_command("backup", "list", encrypted, *key).code == 2
    assert "anna  in use" in vhdx_command("backup", "key", "list", encrypted, *with_new).out
    assert vhdx_command("backup", "key", "passwd", encrypted, *with_new, "--new-passphrase-file", third).code == 0
    assert vhdx_command("backup", "list", encrypted, *with_new).code == 2
    assert points_of(vhdx_command, encrypted, ("--passphrase-file", third)) == ["p"]
    assert vhdx_command("backup", "verify", encrypted, "--passphrase-file", third).code == 0


def test_a_plain_repository_has_no_keys(vhdx_command, repository, monkeypatch):
    monkeypatch.delenv("VHDX_PASSPHRASE", raising=False)
    answer = vhdx_command("backup", "key", "list", repository)
    assert (answer.code, "it is not encrypted" in answer.err) == (5, True)


def test_points_are_copied_into_a_repository_with_another_key(vhdx_command, repository, secret, tmp_path):
    other, to = tmp_path / "offsite", ("--to-passphrase-file", secret)
    assert vhdx_command("backup", "init", other, "--encrypt", "--passphrase-file", secret).code == 0
    assert vhdx_command("backup", "copy", repository, "first", "--to", other, *to).code == 0
    again = vhdx_command("backup", "copy", repository, "--to", other, *to, "--json").json
    assert ([one["name"] for one in again["copied"]], again["there"]) == (["second"], ["first"])
    assert sorted(points_of(vhdx_command, other, ("--passphrase-file", secret))) == ["first", "second"]
    out = [tmp_path / "one.raw", tmp_path / "two.raw"]
    assert vhdx_command("backup", "restore", repository, "second", out[0]).code == 0
    assert vhdx_command("backup", "restore", other, "second", out[1], "--passphrase-file", secret).code == 0
    assert out[0].read_bytes() == out[1].read_bytes()


def test_a_point_that_cannot_be_read_is_left_out_of_a_copy_and_told(vhdx_command, repository, tmp_path):
    path, other = repository / "points" / "first.json", tmp_path / "other"
    path.write_bytes(path.read_bytes().replace(b"first", b"fIrst"))
    assert vhdx_command("backup", "init", other).code == 0
    answer = vhdx_command("backup", "copy", repository, "--to", other)
    assert (answer.code, "error: first: " in answer.err, "second: copied" in answer.out) == (3, True, True)
    assert points(vhdx_command, other) == ["second"]


def test_two_points_are_compared(vhdx_command, repository, chain, tmp_path):
    leaf, _ = chain
    assert vhdx_command("backup", "diff", repository, "first", "second").code == 0
    vhdx_command("backup", "create", repository, leaf, "--checkpoints", "--name", "top")
    base = vhdx_command("backup", "list", repository, "--json").json["points"]
    lowest = next(one["name"] for one in base if one["layer"] == 0)
    told = vhdx_command("backup", "diff", repository, lowest, "top", "--json")
    assert told.code == 1
    assert 0 < told.json["changed_chunks"] < told.json["chunks"]
    rows = vhdx_command("backup", "diff", repository, lowest, "top", "--csv").out.splitlines()
    assert rows[1:] == [f"{start},{length}" for start, length in told.json["ranges"]]
    assert "chunks" in vhdx_command("backup", "diff", repository, lowest, "top").out


def test_a_rate_is_kept_by_what_sends_and_fetches_and_one_too_slow_is_refused(
    vhdx_command, repository, chain, tmp_path, monkeypatch
):
    waits = []
    monkeypatch.setattr(pace.time, "sleep", waits.append)
    assert vhdx_command("backup", "restore", repository, "first", tmp_path / "a.raw", "--limit-rate", "1M").code == 0
    assert waits
    assert vhdx_command("backup", "create", repository, chain[0], "--full", "--limit-rate", "500K").code == 0
    answer = vhdx_command("backup", "verify", repository, "--limit-rate", "1")
    assert (answer.code, "too slow" in answer.err) == (2, True)
