"""What commands say beside their answers: help and slips, quiet and verbose runs, the log, dry runs."""

import pytest

from tests.support.command_line import contents


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mrege", "a", "b"], "did you mean merge"),
        (["covnert"], "did you mean convert"),
        (["backup", "crate"], "did you mean create"),
        (["fixtures", "lst"], "No such command 'lst'"),
        (["nonsense"], "No such command 'nonsense'."),
    ],
)
def test_a_slip_is_answered_with_what_is_called_alike(vhdx_command, words, said):
    answer = vhdx_command(*words)
    assert answer.code == 2
    assert said in answer.err


def test_help_is_a_command_too(vhdx_command):
    assert vhdx_command("help").out == vhdx_command("--help").out
    assert vhdx_command("help", "merge").out == vhdx_command("merge", "--help").out
    assert vhdx_command("help", "backup", "create").out == vhdx_command("backup", "create", "--help").out
    assert vhdx_command("-V").out == vhdx_command("--version").out


def test_a_quiet_command_says_answers_and_errors_alone(vhdx_command, damaged):
    leaf = damaged("older-header-lost-by-the-host")
    loud, quiet = vhdx_command("hash", leaf), vhdx_command("hash", leaf, "-q")
    assert "warning: " in loud.err
    assert (quiet.out, quiet.err, quiet.code) == (loud.out, "", loud.code)
    assert vhdx_command("-q", "hash", leaf).err == ""
    assert vhdx_command("-q", "hash", "nowhere.vhdx").err.startswith("error: ")


def test_a_verbose_command_says_notes_too(vhdx_command, damaged):
    leaf = damaged("creator-is-half-a-surrogate-pair")
    assert vhdx_command("map", leaf).err == ""
    assert "note: " in vhdx_command("map", leaf, "-v").err


def test_the_log_has_what_was_said_and_the_exit_code_with_times(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    log = tmp_path / "vhdx.log"
    vhdx_command("hash", "nowhere.vhdx", "-q", "--log", log)
    vhdx_command("--log", log, "merge", leaf)
    vhdx_command("map", leaf)
    first, *lines = log.read_text().splitlines()
    assert first == "# vhdx log"
    said = [line.partition(" ")[2] for line in lines]
    assert [text.partition(":")[0] for text in said] == ["error", "exit code 6", "error", "exit code 2"]
    assert all(line[:4].isdigit() for line in lines)


def test_a_log_is_never_appended_to_another_kind_of_file(vhdx_command, chain):
    leaf, _ = chain
    before = contents(leaf.parent)
    assert vhdx_command("hash", leaf, "--log", leaf.parent / "vm.vhdx").code == 2
    assert contents(leaf.parent) == before


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["convert", "LEAF", "new.qcow2"], []),
        (["convert", "LEAF", "new.vhdx"], ["--clone"]),
        (["merge", "LEAF", "../work"], []),
        (["merge", "LEAF", "new.avhdx"], ["--base", "BASE"]),
        (["apply", "DELTA", "BASE", "new.raw"], []),
    ],
)
def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    vhdx_command, chain, tmp_path, monkeypatch, words, extra
):
    leaf, _ = chain
    base, delta = leaf.parent / "vm.vhdx", tmp_path / "week.delta"
    if "DELTA" in words:
        assert vhdx_command("changes", f"{leaf}@0", leaf, "--export", delta).code == 0
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    places = {"LEAF": leaf, "BASE": base, "DELTA": delta}
    given = [places.get(word, word) for word in words + extra]
    answer = vhdx_command(*given, "--dry-run")
    assert answer.code == 0
    assert "nothing was written" in answer.out
    told = vhdx_command(*given, "--dry-run", "--json").json
    assert told["output"] is None
    assert told["plan"]["size"] == 64 << 20
    assert contents(tmp_path / "work") == {}
    assert vhdx_command(*given).code == 0
    (made,) = (tmp_path / "work").iterdir()
    assert made.stat().st_size <= max(told["plan"]["needed_bytes"], told["plan"]["size"])


def test_a_dry_run_is_refused_where_the_target_would_refuse(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    (tmp_path / "there.vhdx").touch()
    assert vhdx_command("merge", leaf, tmp_path / "there.vhdx", "--dry-run").code == 5
