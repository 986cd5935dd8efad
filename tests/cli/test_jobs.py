"""`--jobs`: the same answers from one process and from several, and an end that leaves nothing."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.support.effort import SAFETY
from tests.support.files import ROOT
from tests.support.forests import plant

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("jobs") / "host", files=24, seed="jobs").folder


COMMANDS = {
    "check": ["check", "-r", "--content", "--chain"],
    "check as JSON": ["check", "-r", "--json"],
    "scan": ["scan"],
    "scan as JSON": ["scan", "--json"],
    "hash": ["hash"],
    "hash as JSON": ["hash", "--json"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_several_processes_give_byte_for_byte_the_answer_of_one(vhdx_command, folder, name):
    words = COMMANDS[name]
    named = [*sorted(folder.rglob("*.*vhdx"))[:12], folder / "gone.vhdx"] if words[0] == "hash" else [folder]
    one, two = (vhdx_command(*words, *named, "--jobs", jobs) for jobs in (1, 2))
    assert two == one
    assert one.code
    assert words[0] != "hash" or "gone.vhdx" in one.out + one.err


def test_several_disks_are_converted_into_a_folder_alike_by_one_process_and_by_two(vhdx_command, built, tmp_path):
    leaves = [built(name)[0] for name in ("demo", "bitmap-dense", "log-live")]
    out, gone = tmp_path / "out", tmp_path / "gone.vhdx"
    answers, written = [], []
    for jobs in (1, 2):
        out.mkdir()
        words = ["convert", leaves[0], gone, *leaves[1:], out, "--seed", "x", "--jobs", jobs]
        answers.append(vhdx_command(*words))
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
        shutil.rmtree(out)
    assert answers[0] == answers[1]
    assert written[0] == written[1]
    assert len(written[0]) == len(leaves)
    assert answers[0].code == 6
    assert len(answers[0].out.splitlines()) == len(leaves)
    out.mkdir()
    told = vhdx_command("convert", gone, *leaves, "-o", out, "--json", "--dry-run", "--jobs", 2).json["files"]
    assert [bool(one["error"]) for one in told] == [True, False, False, False]
    assert [one["path"] for one in told] == [str(gone), *map(str, leaves)]
    assert vhdx_command("convert", *leaves, out / "no-folder").code == 2
    other = tmp_path / "other" / leaves[0].name
    other.parent.mkdir()
    shutil.copy(leaves[0], other)
    answer = vhdx_command("convert", leaves[0], other, out)
    assert (answer.code, "would both be written" in answer.err) == (2, True)


def test_several_disks_are_backed_up_by_two_processes_also_where_the_passphrase_is_typed_once(
    vhdx_command, built, tmp_path, monkeypatch
):
    leaves = [built(name)[0] for name in ("demo", "bitmap-dense", "log-live")]
    repository, gone, key = tmp_path / "repository", tmp_path / "gone.vhdx", tmp_path / "key"
    key.write_text("typed once\n")
    assert vhdx_command("backup", "init", repository, "--encrypt", "--passphrase-file", key).code == 0
    counter = tmp_path / "asked"
    asks = tmp_path / "ask.py"
    asks.write_text(f"open({str(counter)!r}, 'a').write('x')\nprint('typed once')\n")
    monkeypatch.setenv("VHDX_PASSPHRASE_COMMAND", shlex.join([sys.executable, str(asks)]))
    answer = vhdx_command("backup", "create", repository, leaves[0], gone, *leaves[1:], "--jobs", 2, "--json")
    assert answer.code == 6
    assert [point["chain"][-1]["name"] for point in answer.json["points"]] == [leaf.name for leaf in leaves]
    assert [one["path"] for one in answer.json["failed"]] == [str(gone)]
    assert counter.read_text() == "x"
    assert vhdx_command("backup", "verify", repository).code == 0
    assert len(vhdx_command("backup", "list", repository, "--json").json["points"]) == len(leaves)
    for leaf in leaves:
        assert vhdx_command("backup", "create", repository, leaf, "--dry-run").code == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups that a signal is sent to")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_command_and_processes(folder, number, code):
    # Ctrl-C reaches all processes of a terminal; SIGTERM is sent to one, which ends the others.
    files = [str(path) for path in folder.rglob("*.*vhdx")] * 80
    script = (
        "import signal, sys, cli.main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "cli.main.main(sys.argv[1:])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "hash", "--jobs", "2", *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    process.stdout.readline()  # so that there is a worker
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=SAFETY)
    assert process.returncode == code
    assert "Traceback" not in err
    assert len(err.splitlines()) < len(files)
    assert len(out.splitlines()) < len(files)
    for _ in range(SAFETY * 100):  # the tracker of resources ends when it hears that all others have
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("a process is left")
