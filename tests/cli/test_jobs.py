"""`--jobs`: the same answers from one process and from several, and an end that leaves nothing."""

import os
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
