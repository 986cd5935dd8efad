"""What every command owes its user: help, exit codes, quiet pipes, names that cannot harm a terminal."""

import os
import signal
import subprocess
import sys

import click
import pytest

import fixtures
from analyzer.convert.model import EXTENSIONS, OutputFormat
from cli.errors import Terminated
from cli.main import COMMANDS, vhdx
from tests.support.effort import SAFETY
from tests.support.files import ROOT

HANGUP = getattr(signal, "SIGHUP", 1)  # the skip of Windows is not before the parameters


def start(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


def modules_loaded_by(code):
    """The top-level modules that a script, which prints all as its last line, has loaded."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    return {name.split(".")[0] for name in out.splitlines()[-1].split()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(vhdx_command, name):
    answer = vhdx_command(name, "--help")
    assert answer.code == 0
    group = vhdx.get_command(click.Context(vhdx), name)
    pages = [answer.out, *(vhdx_command(name, sub, "--help").out for sub in getattr(group, "commands", {}))]
    assert any("Example" in page for page in pages)
    assert "\b" not in answer.out


def test_help_fits_a_narrow_terminal():
    process = start("merge", "--help", env={"COLUMNS": "50"})
    out, _ = process.communicate(timeout=SAFETY)
    prose = [line for line in out.splitlines() if not line.startswith("  vhdx") and "vhdx merge" not in line]
    assert max(map(len, prose)) <= 60


def test_help_imports_click_alone():
    code = "import sys; from cli.main import vhdx; vhdx(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = modules_loaded_by(code)
    assert "click" in loaded
    assert not loaded & {"numpy", "construct", "numba", "rich", "vhdx", "analyzer", "fixtures", "google_crc32c"}


def test_info_of_a_small_file_imports_neither_numba_nor_rich(chain):
    leaf, _ = chain
    call = f"vhdx(['info', {str(leaf)!r}], standalone_mode=False)"
    code = f"import sys; from cli.main import vhdx; {call}; print(*sys.modules)"
    loaded = modules_loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & {"numba", "rich", "fixtures"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["hash"], 2),
        (["nonsense"], 2),
        (["hash", "/nonexistent/leaf.avhdx"], 6),
        (["hash", "."], 6),
        (["hash", os.devnull], 6),
        (["hash", "x.vhdx", "--map", "nonsense"], 2),
        (["hash", "x.vhdx", "--on-mismatch", "maybe"], 2),
        (["merge", "a", "b", "--fixed", "--base", "c"], 2),
        (["--version"], 0),
        (["--help"], 0),
    ],
)
def test_exit_codes_of_wrong_turns(vhdx_command, arguments, code):
    answer = vhdx_command(*arguments)
    assert answer.code == code
    assert bool(answer.err) == bool(code)


@pytest.mark.parametrize("name", [name for name, recipe in fixtures.RECIPES.items() if recipe.verdict.name == "BAD"])
def test_every_bad_fixture_gives_its_exit_code_and_one_sentence(vhdx_command, built, name):
    leaf, fixture = built(name)
    search = [argument for folder in fixture.search for argument in ("--search", leaf.parent / folder)]
    answer = vhdx_command("hash", leaf, *search)
    assert answer.code == fixture.exit_code
    assert answer.out == ""
    sentences = [line for line in answer.err.splitlines() if not line.startswith(("warning: ", "  looked at "))]
    assert len(sentences) == 1
    assert sentences[0].startswith("error: ")
    assert ";" in sentences[0], "what to do next follows a semicolon"


def test_a_hostile_file_name_reaches_the_terminal_as_text(vhdx_command, chain):
    leaf, _ = chain
    hostile = leaf.with_name("evil\x1b[2J\u202egnp.avhdx")
    try:
        leaf.rename(hostile)
    except OSError:
        pytest.skip("this file system does not take such names")
    for command in ("info", "map", "hash", "dump"):
        answer = vhdx_command(command, hostile)
        assert "\x1b" not in answer.out + answer.err
        assert "\u202e" not in answer.out + answer.err


def test_a_reader_that_leaves_early_causes_no_noise(built):
    leaf, _ = built("bitmap-dense")
    process = start("map", leaf)
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.wait(timeout=SAFETY)
    process.stderr.close()
    assert error == ""
    assert process.returncode in {0, 141}


@pytest.mark.parametrize("module", ["click", "cli.main", "cli.errors"])
def test_an_interruption_while_the_program_is_loaded_gives_no_traceback(module):
    script = (
        "import runpy, sys\n"
        "class Interrupts:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts)\n"
        "runpy.run_module('cli', run_name='__main__')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_interruption_after_all_was_said_and_done_changes_nothing():
    script = (
        "import atexit, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"  # the first one registered is the last one called
        "from cli.main import main; main(['--version'])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_writing_leaves_nothing_behind(chain, tmp_path, number, code):
    leaf, _ = chain
    target, part = tmp_path / "out.vhdx", tmp_path / "out.vhdx.part"
    script = (
        # A shell's background job ignores SIGINT, and what it starts inherits that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, threading, vhdx.writer\n"
        "def write(*_): print('writing', flush=True); threading.Event().wait(600)\n"
        "vhdx.writer.VhdxWriter.write = write\n"
        "from cli.main import main; main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "merge", str(leaf), str(target)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "writing\n"
    assert part.exists()
    process.send_signal(number)
    process.communicate(timeout=SAFETY)
    assert process.returncode == code
    assert not part.exists()
    assert not target.exists()


@pytest.mark.skipif(os.name == "nt", reason="execv of Windows leaves without waiting")
def test_a_closed_stdout_is_said_and_no_fault(chain):
    leaf, _ = chain
    arguments = [sys.executable, "-m", "cli", "info", str(leaf)]
    code = f"import os; os.close(1); os.execv({sys.executable!r}, {arguments!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 6
    assert "closed" in done.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_does_not_stop_the_others(vhdx_command, chain):
    leaf, _ = chain
    base = leaf.parent / "vm.vhdx"
    base.chmod(0)
    assert vhdx_command("info", base).code == 6


def test_stdout_takes_the_whole_raw_disk(chain, tmp_path):
    leaf, fixture = chain
    with (tmp_path / "pipe.raw").open("wb") as file:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "cli", "convert", str(leaf), "-"]
        subprocess.run(command, stdout=file, env=environment, check=True)
    model = fixture.models[fixture.leaf]
    assert (tmp_path / "pipe.raw").read_bytes() == model.read(0, model.size)


def test_stdout_takes_nothing_but_raw(vhdx_command, chain):
    leaf, _ = chain
    assert vhdx_command("convert", leaf, "-", "--format", "vhdx").code == 2


def test_the_shell_is_told_commands_and_options():
    environment = {"_VHDX_COMPLETE": "bash_complete", "COMP_WORDS": "vhdx me", "COMP_CWORD": "1"}
    process = start(env=environment)
    out, _ = process.communicate(timeout=SAFETY)
    assert "merge" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(vhdx_command, shell):
    answer = vhdx_command("completion", shell)
    assert answer.code == 0
    assert "_VHDX_COMPLETE" in answer.out


def test_a_fault_of_our_own_is_no_traceback(vhdx_command, chain, monkeypatch):
    leaf, _ = chain
    monkeypatch.setattr("cli.commands.hash.sha256_of", lambda *_: 1 // 0)
    answer = vhdx_command("hash", leaf)
    assert answer.code == 70
    assert "ZeroDivisionError" in answer.err


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (Terminated(143), 143)])
def test_what_fails_because_of_an_interruption_is_no_fault(vhdx_command, chain, monkeypatch, raised, code):
    def hidden(*_):
        try:
            raise raised
        finally:
            raise RuntimeError("garbage")

    monkeypatch.setattr("cli.commands.hash.sha256_of", hidden)
    answer = vhdx_command("hash", chain[0])
    assert answer.code == code
    assert "fault" not in answer.err
    assert answer.err.strip().startswith(("error: interrupted", "error: terminated"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (HANGUP, 129)])
def test_a_signal_whose_exception_a_library_loses_is_told_all_the_same(chain, number, code):
    script = (
        "import os, signal, sys, cli.commands.hash as command\n"
        # Under nohup, or in the background of a shell, signals are ignored, and that is inherited.
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def lost(*_):\n"
        f"    try: os.kill(os.getpid(), {int(number)})\n"
        "    except BaseException: pass\n"
        "    raise RuntimeError('garbage')\n"
        "command.sha256_of = lost\n"
        "from cli.main import main; main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", script, "hash", str(chain[0])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code
    assert "fault" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_nohup_started_goes_on_when_its_terminal_goes(chain):
    script = (
        "import os, signal, sys, cli.commands.hash as command\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "whole = command.sha256_of\n"
        "def hung_up(*given):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return whole(*given)\n"
        "command.sha256_of = hung_up\n"
        "from cli.main import main; main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", script, "hash", str(chain[0])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["info"], ["hash"], ["merge", "out.vhdx"], ["set-parent", "vm.vhdx"], ["check"]])
def test_a_search_folder_that_is_none_is_wrong_usage_even_where_no_parent_is_looked_for_in_it(
    vhdx_command, chain, command
):
    leaf, _ = chain
    for place, said in (("gone", "is not there"), (leaf.name, "is not a folder")):
        answer = vhdx_command(command[0], leaf, *command[1:], "--search", leaf.parent / place)
        assert (answer.code, answer.out) == (2, "")
        assert f"{place}' {said}; name the folder that holds the parents" in answer.err


@pytest.mark.parametrize("command", [["convert"], ["merge"], ["apply"], ["backup", "restore"]])
def test_the_help_of_what_writes_images_names_every_format_and_every_ending(vhdx_command, command):
    page = " ".join(vhdx_command(*command, "--help").out.split())
    options = page.partition("Options:")[2]
    assert all(f" {form.value}" in options for form in OutputFormat)
    assert all(ending in options for ending in EXTENSIONS)
