"""Work spread over processes: order, losses, errors and ends."""

import os
import pickle
import signal
import threading
import time
from functools import partial

import pytest

from analyzer.tasks.engine import Here, Lost
from analyzer.tasks.processes import Processes
from tests.support import works
from tests.support.effort import SAFETY
from vhdx.errors import InputOutputError, VhdxError
from vhdx.system import processes

pytestmark = pytest.mark.slow


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("engine", [Here(), Processes(2)])
def test_results_are_in_the_order_of_the_inputs_and_each_is_counted_once(engine):
    counted = []
    assert [*engine.run(works.squares, range(50), 4, counted.append)] == works.squares(range(50))
    assert sum(counted) == 50
    assert [*engine.run(works.squares, [], 4)] == []


def test_the_work_is_spread_and_no_process_is_left():
    pids = {*Processes(2).run(works.processes, range(20), 1)}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert not any(map(alive, pids)) or os.name == "nt"


def test_an_input_that_ends_its_process_is_lost_and_no_other_is():
    results = [*Processes(2).run(works.ends_at_seven, range(20), 4)]
    lost = results.pop(7)
    assert isinstance(lost, Lost)
    assert results == works.squares([number for number in range(20) if number != 7])


def test_a_process_that_is_killed_once_costs_nothing(tmp_path):
    work = partial(works.ends_once, tmp_path)
    assert [*Processes(2).run(work, [1, 3, 2, 4], 1)] == works.squares([1, 3, 2, 4])
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_what_the_work_raises_ends_the_run_with_all_its_facts():
    with pytest.raises(InputOutputError) as caught:
        [*Processes(2).run(works.raises, ["x"], 1)]
    assert (str(caught.value.path), caught.value.action, caught.value.offset) == ("x", "read", None)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a word to it")
def test_a_run_that_is_left_early_ends_its_processes_within_a_second_and_what_they_were_writing_is_removed(tmp_path):
    run = Processes(2).run(partial(works.writes_until_ended, tmp_path), [1, 2, 3], 1, lambda _: None)
    with pytest.raises(StoppedError):
        _leave_when(run, lambda: len([*tmp_path.iterdir()]) >= 4)
    pids = [int(path.suffix[1:]) for path in tmp_path.iterdir() if path.suffix != ".part"]
    assert len(pids) == 2
    assert not any(map(alive, pids))
    assert not [*tmp_path.glob("*.part")]


class StoppedError(Exception):
    pass


def _leave_when(run, is_time):
    """Break into a run as Ctrl-C does, in the main thread, once there is something to be broken."""

    def watch():
        for _ in range(SAFETY * 50):
            if is_time():
                break
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    def stop(*_):
        raise StoppedError

    before = signal.signal(signal.SIGUSR1, stop)
    threading.Thread(target=watch, daemon=True).start()
    try:
        next(run)
    finally:
        signal.signal(signal.SIGUSR1, before)
        run.close()


def _errors(kind=VhdxError):
    for each in kind.__subclasses__():
        yield each
        yield from _errors(each)


def copy_of(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - of our own making


def test_every_error_can_be_handed_from_one_process_to_another():
    error = InputOutputError(path="x", action="read", reason="a test", offset=3)
    again = copy_of(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
    for kind in _errors():
        bare = kind.__new__(kind)
        vars(bare).update(reason="a test", path="x")
        assert vars(copy_of(bare)) == vars(bare)


def test_a_process_may_use_a_processor_and_some_memory():
    assert processes.usable_cores() >= 1
    assert (processes.memory() or 1) > 0
