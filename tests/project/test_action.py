"""What the GitHub action runs, and the files that other tools read."""

import os
import re
import subprocess

import pytest

from tests.support.files import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the script is tried where bash is at home")
SCRIPT = ROOT / ".ci/check-action"


@pytest.fixture
def action(tmp_path):
    """Runs the script over a command that writes down its arguments."""
    command = tmp_path / "fake-vhdx"
    command.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\nexit "${FAKE_CODE:-0}"\n')
    command.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()

    def run(paths, fail_on="error", sarif="out.sarif", **more):
        env = os.environ | {"VHDX_COMMAND": str(command), "VHDX_PATHS": paths, "VHDX_FAIL_ON": fail_on}
        env |= {"VHDX_SARIF": sarif} | more
        done = subprocess.run(["bash", SCRIPT], cwd=folder, env=env, capture_output=True, text=True, check=False)
        written = folder / sarif
        return done, written.read_text().splitlines() if written.exists() else None

    run.folder = folder
    return run


def test_names_with_spaces_quotes_and_commands_in_them_stay_names(action):
    names = ["a b.vhdx", "$(touch owned).vhdx", "`touch owned`.vhdx", "--force.vhdx", "it's;touch owned.vhdx"]
    for name in names:
        (action.folder / name).touch()
    done, arguments = action("\n".join(names) + "\n")
    assert done.returncode == 0, done.stderr
    assert arguments == ["check", "--format", "sarif", "--fail-on", "error", "--", *names]
    assert not (action.folder / "owned").exists()


def test_patterns_are_expanded_and_windows_line_ends_and_blank_lines_are_let_go(action):
    for name in ("b c.vhdx", "a.vhdx", "x.avhdx"):
        (action.folder / name).touch()
    done, arguments = action("*.vhdx\r\n\r\n  \nx.avhdx")
    assert done.returncode == 0, done.stderr
    assert arguments[6:] == ["a.vhdx", "b c.vhdx", "x.avhdx"]


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"fail_on": "error; touch owned"}, "fail-on"),
        ({"fail_on": "fatal"}, "fail-on"),
        ({"VHDX_MIN_SEVERITY": "none"}, "min-severity"),
        ({"VHDX_CHAIN": "yes"}, "chain"),
        ({"VHDX_RECURSIVE": "$(touch owned)"}, "recursive"),
        ({"VHDX_BASELINE": "gone.json"}, "baseline"),
        ({"sarif": "."}, "sarif-file"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_is_written(action, inputs, named):
    (action.folder / "a.vhdx").touch()
    if inputs.get("sarif") == ".":
        done = subprocess.run(
            ["bash", SCRIPT], cwd=action.folder, capture_output=True, text=True, check=False,
            env=os.environ | {"VHDX_PATHS": "a.vhdx", "VHDX_FAIL_ON": "error", "VHDX_SARIF": "."},
        )  # fmt: skip
    else:
        done, _ = action("a.vhdx", **inputs)
    assert done.returncode == 2
    assert f"the input {named} is" in done.stderr
    assert [path.name for path in action.folder.iterdir()] == ["a.vhdx"]


def test_two_stars_match_folders_at_any_depth(action):
    for name in ("a.vhdx", "images/b.vhdx", "images/deep/down/c d.vhdx", "images/deep/e.avhdx"):
        (action.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (action.folder / name).touch()
    _, arguments = action("images/**/*.vhdx")
    assert arguments[6:] == ["images/b.vhdx", "images/deep/down/c d.vhdx"]


def test_every_input_is_an_option_of_the_check(action):
    for name in ("a.vhdx", "known.json"):
        (action.folder / name).touch()
    more = {"VHDX_MIN_SEVERITY": "note", "VHDX_CHAIN": "false", "VHDX_RECURSIVE": "true", "VHDX_CONTENT": "true",
            "VHDX_IGNORE": "FID-05\r\n\nLOG-01", "VHDX_BASELINE": "known.json"}  # fmt: skip
    _, arguments = action("a.vhdx", **more)
    assert arguments[5:-2] == [
        "--min-severity", "note", "--no-chain", "--recursive", "--content", "--ignore", "FID-05", "--ignore", "LOG-01",
        "--baseline", "known.json",
    ]  # fmt: skip


def test_a_check_that_fails_before_it_writes_leaves_no_log(action, tmp_path):
    (action.folder / "a.vhdx").touch()
    broken = tmp_path / "broken-vhdx"
    broken.write_text("#!/usr/bin/env bash\nexit 3\n")
    broken.chmod(0o755)
    done, written = action("a.vhdx", VHDX_COMMAND=str(broken))
    assert done.returncode == 3
    assert written is None
    assert [path.name for path in action.folder.iterdir()] == ["a.vhdx"]


def test_the_exit_code_is_that_of_the_check_and_the_log_is_written_all_the_same(action):
    (action.folder / "a.vhdx").touch()
    done, arguments = action("a.vhdx", FAKE_CODE="1")
    assert done.returncode == 1
    assert arguments is not None


@pytest.mark.parametrize(("paths", "reason"), [("", "paths is empty"), ("no*.vhdx", "nothing matches")])
def test_nothing_to_check_is_wrong_usage(action, paths, reason):
    done, _ = action(paths)
    assert done.returncode == 2
    assert reason in done.stderr


def test_the_action_puts_no_input_into_a_script():
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert set(action["inputs"]) == {
        "paths", "fail-on", "min-severity", "chain", "recursive", "content", "ignore", "baseline", "sarif-file"
    }  # fmt: skip
    assert not any("${{" in step.get("run", "") for step in steps)


def test_the_hook_takes_disks_alone():
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "vhdx-check"
    pattern = re.compile(hook["files"])
    assert all(pattern.search(name) for name in ("a.vhdx", "b/c.avhdx", "D.VHDX"))
    assert not any(pattern.search(name) for name in ("a.vhd", "vhdx", "a.vhdx.txt"))
