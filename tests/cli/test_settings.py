"""Settings: files, variables, which of them wins, and what a project's file may not say."""

import os

import pytest

from cli import defaults, settings
from cli.main import vhdx


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes settings: the user's, and those of a project, below whose folder the test works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VHDX_CONFIG", str(tmp_path / "user" / "own.toml"))
    (tmp_path / "user").mkdir()
    (tmp_path / "user/own.toml").touch()
    (tmp_path / "project/below").mkdir(parents=True)

    def write(user="", project=""):
        (tmp_path / "user/own.toml").write_text(user, encoding="utf-8")
        if project:
            (tmp_path / "project/vhdx.toml").write_text(project, encoding="utf-8")
        monkeypatch.chdir(tmp_path / "project/below")

    return write


def test_the_command_line_wins_over_variables_these_over_the_project_and_that_over_the_user(
    vhdx_command, files, chain, monkeypatch
):
    leaf, _ = chain
    files(user='[changes]\ngranularity = "4K"\n')
    asked = ["changes", f"{leaf}@0", leaf, "--json"]
    assert vhdx_command(*asked).json["granularity"] == 4096
    files(user='[changes]\ngranularity = "4K"\n', project='[changes]\ngranularity = "8K"\n')
    assert vhdx_command(*asked).json["granularity"] == 8192
    monkeypatch.setenv("VHDX_CHANGES_GRANULARITY", "16K")
    assert vhdx_command(*asked).json["granularity"] == 16384
    assert vhdx_command(*asked, "--granularity", "32K").json["granularity"] == 32768


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[check]\nmin-severty = 'error'\n", "check.min-severty is no option of it; did you mean min-severity"),
        ("[chek]\njobs = 1\n", "chek.jobs is of no command: there is no chek; did you mean check"),
        ("jobs = 1\n", "jobs is no option of it"),
        ("[merge]\nblock-size = 'many'\n", "merge.block-size cannot be 'many'"),
        ("[check]\nrecursive = 3\n", "check.recursive is either true or false"),
        ("[check.more]\njobs = 1\n", "check.more.jobs is of no command"),
        ("[check\n", "this is not TOML"),
    ],
)
def test_a_mistake_of_the_user_ends_the_command_and_one_of_a_project_is_said(vhdx_command, files, chain, text, wrong):
    leaf, _ = chain
    files(user=text)
    asked = ("merge", leaf, leaf.with_name("out.vhdx"), "--dry-run") if "merge" in wrong else ("check", leaf)
    answer = vhdx_command(*asked)
    assert answer.code == 2
    assert wrong in answer.err
    assert vhdx_command("check", "--help").code == 0
    files(project=text)
    answer = vhdx_command(*asked)
    assert answer.code in {0, 1}
    assert f"warning: {os.path.realpath('..')}" in answer.err
    assert wrong in answer.err


# What would read, write, run, contact or hide something: a file that came with a folder may not.
HARMFUL = {
    "ignore", "select", "min-severity", "fail-on", "baseline", "trust-table", "on-mismatch", "parent", "search", "map",
    "source-map", "output", "force", "in-place", "delete", "no-verify", "passphrase-command", "passphrase-file", "undo",
    "window", "keep-last", "keep-daily", "export", "bitmap", "host", "port", "log", "quiet", "extract", "tar",
    "preserve", "seed", "clone", "dry-run", "onto-device", "allow-lost", "save", "into", "no-hash", "case-number",
    "chain",
}  # fmt: skip


def test_nothing_that_a_project_may_say_does_harm():
    assert not settings.HARMLESS & HARMFUL
    everything = {name for one in _commands(vhdx) for name in defaults.options_of(one)}
    assert everything | {"progress"} >= settings.HARMLESS
    assert everything >= HARMFUL


def _commands(group):
    yield group
    for name in group.lines if hasattr(group, "lines") else group.commands:
        below = group.get_command(None, name)
        yield from _commands(below) if hasattr(below, "commands") else [below]


def test_a_project_that_hides_findings_is_not_followed_and_said(vhdx_command, files, built):
    leaf, _ = built("headers-bad")
    files(project='[check]\nignore = ["HDR-*"]\nmin-severity = "error"\n')
    answer = vhdx_command("check", leaf)
    assert answer.code == 1
    assert "HDR-" in answer.out
    assert answer.err.count("a project's file may not say that") == 2


def test_config_shows_each_setting_with_its_place_and_why_it_is_not_followed(vhdx_command, files, monkeypatch):
    files(user='[check]\njobs = 2\n[backup]\nrepository = "repo"\n', project="verbose = true\n[check]\njobs = 9\n")
    monkeypatch.setenv("VHDX_MERGE_BLOCK_SIZE", "2M")
    answer = vhdx_command("config", "--json")
    found = {one["key"]: (one["value"], one["origin"], one["reason"]) for one in answer.json["settings"]}
    assert answer.code == 1
    assert found["backup.repository"] == ("repo", "user", None)
    assert found["verbose"] == (True, "project", None)
    assert found["merge.block-size"] == ("2M", "variable", None)
    assert found["check.jobs"] == (9, "project", "a project's file may not say that")


def test_paths_of_the_user_are_beside_the_file_and_the_repository_may_be_left_out(vhdx_command, files, chain):
    leaf, _ = chain
    files(user='[backup]\nrepository = "repo"\n')
    assert vhdx_command("backup", "init").code == 0
    assert (settings.user_file().parent / "repo").is_dir()
    assert vhdx_command("backup", "create", leaf).code == 0
    assert len(vhdx_command("backup", "list", "--json").json["points"]) == 1


def test_a_group_gives_way_to_its_command_and_a_passphrase_file_to_the_environment(files, monkeypatch):
    files(user='[backup.create]\nlimit-rate = "2M"\n[backup]\nlimit-rate = "1M"\npassphrase-file = "secret"\n')
    group = vhdx.get_command(None, "backup")
    create = group.get_command(None, "create")
    known = defaults.defaults_for(("backup", "create"), create, group)
    assert known["limit_rate"] == "2M"
    assert known["passphrase_file"] == str(settings.user_file().parent / "secret")
    monkeypatch.setenv("VHDX_PASSPHRASE", "x")
    assert "passphrase_file" not in defaults.defaults_for(("backup", "create"), create, group)


def test_no_file_is_looked_at_where_they_are_switched_off(files, monkeypatch):
    files(user="quiet = true\n", project="verbose = true\n")
    assert len(list(settings.all_settings())) == 2
    monkeypatch.setenv("VHDX_CONFIG", "")
    assert list(settings.all_settings()) == []


def test_what_is_no_file_is_no_project(tmp_path, files):
    files()
    (tmp_path / "project/vhdx.toml").mkdir()
    assert settings.project_file() is None


def test_a_disk_that_is_called_so_is_not_read_whole(vhdx_command, files, tmp_path):
    files(project=" ")
    with (tmp_path / "project/vhdx.toml").open("r+b") as file:
        file.truncate(1 << 40)
    answer = vhdx_command("explain", "HDR-01")
    assert answer.code == 0
    assert "no more than 64 KiB" in answer.err


@pytest.mark.parametrize(
    ("system", "variables", "place"),
    [
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "/x/vhdx/vhdx.toml"),
        ("linux", {"XDG_CONFIG_HOME": ""}, "/home/u/.config/vhdx/vhdx.toml"),
        ("darwin", {}, "/home/u/Library/Application Support/vhdx/vhdx.toml"),
        ("win32", {"APPDATA": "/a"}, "/a/vhdx/vhdx.toml"),
    ],
)
def test_the_users_file_is_where_the_system_has_such_files(monkeypatch, system, variables, place):
    monkeypatch.delenv("VHDX_CONFIG", raising=False)
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("os.path.expanduser", lambda _: "/home/u")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settings.user_file().as_posix() == place
