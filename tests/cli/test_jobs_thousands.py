"""The bar: 5,000 chains by one process, by two and by a fleet, byte for byte alike, whoever is killed meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.analyzer.tasks.test_fleet import fleet, scheduler_in, worker_of
from tests.support.effort import SAFETY
from tests.support.files import ROOT
from tests.support.forests import plant

__all__ = ["fleet"]
pytestmark = [
    pytest.mark.fuzz, pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
]  # fmt: skip
CHAINS = int(os.environ.get("CHAINS", "5000"))
COMMANDS = {"check": ["check", "-r"], "check --content": ["check", "-r", "--content", "--chain"], "scan": ["scan"]}
COMMANDS["hash"] = ["hash"]
# A worker is killed when it has worked so long: 0.5 s are its start, and all of them work for minutes.
KILLED_AT = 2.0 if CHAINS >= 1000 else 0.8
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("many") / "host", files=2 * CHAINS, seed="many", most=3).folder


@pytest.fixture(scope="module")
def by_one(folder):
    """Gives what a command says by one process, which is asked once."""
    answers = {}

    def answer(name):
        if name not in answers:
            answers[name] = said(folder, name, "--jobs", 1)
        return answers[name]

    return answer


def said(folder, name, *words, during=lambda process: None):
    """(exit code, stdout, stderr) of a command over all chains; `hash` takes the files themselves, in two hundreds."""
    files = sorted(map(str, folder.rglob("*.avhdx")))
    many = [files[at : at + 2000] for at in range(0, len(files), 2000)] if name == "hash" else [[str(folder)]]
    answers = []
    for named in many:
        command = [sys.executable, "-m", "cli", *COMMANDS[name], *named, *map(str, words)]
        with TemporaryFile() as out, TemporaryFile() as err:  # a pipe would fill up while nobody reads it
            with subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err) as process:
                during(process)
            answers.append((process.returncode, *map(content_of, (out, err))))
    return answers


def content_of(file):
    file.seek(0)
    return file.read()


def worked(pid):
    """Seconds of the processor that a process took; 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def workers_of(process):
    """Processes that a command has started, and that work for it."""
    try:
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(pid) for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except OSError:
        return []


def kill_a_worker(process):
    """Kill one that is in the middle of its work."""
    while process.poll() is None:
        for pid in workers_of(process):
            if worked(pid) > KILLED_AT:
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.05)
    pytest.fail("it ended before a worker was in the middle of its work")


@pytest.mark.parametrize("name", COMMANDS)
def test_two_processes_say_of_thousands_of_chains_what_one_says(folder, by_one, name):
    assert said(folder, name, "--jobs", 2) == by_one(name)


@pytest.mark.parametrize("name", ["check", "scan"])
def test_a_worker_that_is_killed_in_the_middle_costs_nothing(folder, by_one, name):
    assert said(folder, name, "--jobs", 2, during=kill_a_worker) == by_one(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_fleet_says_of_thousands_of_chains_what_one_process_says(folder, by_one, fleet, name):
    assert said(folder, name, "--dask", fleet) == by_one(name)


def test_a_worker_of_a_fleet_that_is_killed_in_the_middle_costs_nothing(folder, by_one, tmp_path):
    process, address = scheduler_in(tmp_path)
    workers = [worker_of(address, tmp_path) for _ in range(2)]

    def kill_one(_):
        for _ in range(400 * SAFETY):
            if worked(workers[0].pid) > KILLED_AT + 2:  # its own start, and some work
                break
            time.sleep(0.05)
        workers[0].kill()

    try:
        assert said(folder, "check", "--dask", address, during=kill_one) == by_one("check")
    finally:
        for one in (*workers, process):
            one.kill()
            one.wait(SAFETY)
