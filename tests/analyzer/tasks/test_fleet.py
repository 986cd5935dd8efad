"""Work spread by a scheduler of Dask, with processes of their own on this machine."""

import json
import os
import subprocess
import sys
import time
from functools import partial

import pytest

from analyzer.tasks.engine import Lost
from analyzer.tasks.fleet import Fleet, FleetError
from tests.support import works
from tests.support.effort import SAFETY
from tests.support.files import ROOT
from tests.support.forests import plant

pytestmark = pytest.mark.slow
pytest.importorskip("distributed")


def start(folder, module, *words):
    # One failure tells a batch that is fatal: Dask would give it to four workers.
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, words), "--no-dashboard"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=os.environ | settings
    )


def scheduler_in(folder):
    place = folder / "scheduler.json"
    process = start(folder, "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", place)
    return process, json.loads(when(place.read_text, place.exists))["address"]


def worker_of(address, folder):
    return start(folder, "dask_worker", address, "--nthreads", 1, "--local-directory", folder)


def when(work, is_time):
    for _ in range(SAFETY * 20):
        if is_time():
            return work()
        time.sleep(0.05)
    return pytest.fail("it never was time")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """The address of a scheduler with two workers, which stand in a folder of their own."""
    folder = tmp_path_factory.mktemp("fleet")
    process, address = scheduler_in(folder)
    started = [*(worker_of(address, folder) for _ in range(2)), process]
    yield address
    for one in started:
        one.kill()  # what they have started ends with them
        one.wait(SAFETY)


COMMANDS = {
    "check": ["check", "-r", "--content", "--chain"],
    "scan as JSON": ["scan", "--json"],
    "hash": ["hash"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_fleet_gives_byte_for_byte_the_answer_of_one_process(vhdx_command, tmp_path, monkeypatch, fleet, name):
    # Relative paths, which mean something else in the folder that the workers stand in.
    plant(tmp_path / "host", files=12, seed="jobs")
    monkeypatch.chdir(tmp_path)
    words, named = COMMANDS[name], ["host"]
    if name == "hash":
        named = [*sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "host").rglob("*.*vhdx"))[:6], "gone"]
    one = vhdx_command(*words, *named, "--jobs", 1)
    assert vhdx_command(*words, *named, "--dask", fleet) == one
    assert one.code


def test_a_worker_that_is_killed_once_costs_nothing_and_what_kills_each_is_lost(fleet, tmp_path):
    work = partial(works.ends_once, tmp_path)
    assert [*Fleet(fleet).run(work, [1, 3, 2, 4], 1)] == works.squares([1, 3, 2, 4])
    results = [*Fleet(fleet).run(works.ends_at_seven, range(10), 2)]
    assert isinstance(results.pop(7), Lost)
    assert results == works.squares([number for number in range(10) if number != 7])


def test_a_folder_that_a_worker_does_not_see_is_the_error_of_its_tasks(fleet, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("analyzer.tasks.fleet.Path.cwd", lambda: tmp_path / "nowhere")
    (lost,) = Fleet(fleet).run(works.squares, [1], 1)
    assert "has no folder" in lost.reason


@pytest.mark.parametrize("lost", ["scheduler", "every worker"])
def test_a_fleet_that_is_lost_is_one_sentence_and_exit_code_6(tmp_path, monkeypatch, lost):
    process, address = scheduler_in(tmp_path)
    worker = worker_of(address, tmp_path)
    assert [*Fleet(address).run(works.squares, [1], 1)] == [1]  # when it has joined
    monkeypatch.setattr("analyzer.tasks.fleet._SILENCE", 0.5)
    monkeypatch.setattr("analyzer.tasks.fleet._ARRIVAL", 1)
    run = Fleet(address).run(partial(works.writes_until_ended, tmp_path), [1], 1)
    ended = process if lost == "scheduler" else worker
    killer = subprocess.Popen([sys.executable, "-c", KILLER, str(tmp_path), str(ended.pid)], stdout=subprocess.DEVNULL)
    with pytest.raises(FleetError, match="it is lost" if lost == "scheduler" else "it has no worker") as caught:
        next(run)
    assert caught.value.exit_code == 6
    for one in (worker, killer, process):
        one.kill()
        one.wait(SAFETY)


KILLER = """
import os, pathlib, signal, sys, time
while not [*pathlib.Path(sys.argv[1]).glob("*.part")]: time.sleep(0.05)
os.kill(int(sys.argv[2]), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "nonsense://x"])
def test_an_address_where_no_scheduler_answers_is_one_sentence(vhdx_command, tmp_path, monkeypatch, address):
    monkeypatch.setattr("analyzer.tasks.fleet._ANSWER", 0.5)
    answer = vhdx_command("scan", tmp_path, "--dask", address)
    assert (answer.code, answer.out, answer.err.count("\n")) == (6, "", 1)
    assert "check the address" in answer.err
    assert vhdx_command("scan", tmp_path, "--dask", address, "--jobs", 2).code == 2
