"""Whatever is given to a recovery: a map of the whole disk or a VhdxError, in bounded time and memory."""

import hashlib
import os
import random
import signal
import time
import traceback

import pytest

from tests.analyzer.recover.recoveries import NAMES, case_of, models_of, run_case
from tests.support.mutator import subjects
from tests.vhdx.test_mutations import peak

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]

CASES = 150
SECONDS_PER_CASE = 30
"""Of the processor; by the clock a case that only waits has ten times as many."""
MEMORY = 512 << 20
"""Bytes beside the fixtures and their models, which the test holds: about as much again."""


class Hung(BaseException):
    """A case that took too long; no Exception, so that nothing catches it on its way."""


def _ring(*_):
    raise Hung


class Watchdog:
    """Ends a case that hangs, where the system has alarms."""

    def __enter__(self):
        if hasattr(signal, "setitimer"):
            self._before = [signal.signal(number, _ring) for number in (signal.SIGALRM, signal.SIGPROF)]
            signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_CASE)
            signal.setitimer(signal.ITIMER_REAL, 10 * SECONDS_PER_CASE)

    def __exit__(self, *_):
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, before in zip((signal.SIGALRM, signal.SIGPROF), self._before, strict=True):
                signal.signal(number, before)


def survive(seed, folder):
    """(None when the case behaved, else what happened; whether there was a disk to read)."""
    case = case_of(seed)
    try:
        with Watchdog():
            run_case(case, folder)
    except Hung:
        return f"seed {seed!r} hangs, {'; '.join(case.story)}: {traceback.format_exc(limit=-6)}", False
    except Exception as error:  # noqa: BLE001 - this is the question
        where = traceback.format_exc(limit=-4)
        return f"seed {seed!r}, {'; '.join(case.story)}: {type(error).__name__}: {error}\n{where}", False
    return None, bool(case.counts)


def digest():
    """One hash of all the fixtures that cases are made of: they are sources, and stay as they are."""
    found = hashlib.sha256()
    for name in NAMES:
        for subject in subjects(name):
            found.update(subject.data)
    return found.hexdigest()


def test_a_recovery_of_anything_tells_all_of_the_disk_or_raises_a_vhdx_error(tmp_path):
    before = digest()
    results = [survive(f"short-{number}", tmp_path) for number in range(CASES)]
    failures = [failure for failure, _ in results if failure]
    assert not failures, f"{len(failures)} of {CASES}:\n" + "\n".join(failures[:5])
    assert sum(was_read for _, was_read in results) > CASES // 2
    assert digest() == before


@pytest.mark.fuzz
def test_recoveries_go_on_for_as_long_as_the_budget_lasts(tmp_path):
    """VHDX_FUZZ_SECONDS of it, from VHDX_FUZZ_SEED where that is set; a failure names the seed of its case."""
    end = time.monotonic() + float(os.environ.get("VHDX_FUZZ_SECONDS", "60"))
    seed = os.environ.get("VHDX_FUZZ_SEED") or f"{random.SystemRandom().getrandbits(64):x}"
    before, count, was_read = digest(), 0, 0
    assert all(models_of(name) for name in NAMES)
    held = peak()
    while time.monotonic() < end:
        failure, read = survive(f"{seed}-{count}", tmp_path)
        assert failure is None, failure
        count, was_read = count + 1, was_read + read
        assert peak() - held < MEMORY, f"{peak()} bytes of memory after seed {seed}-{count - 1}, {held} before"
    print(f"{count} recoveries, {was_read} with a disk, from seed {seed}; {peak() - held >> 20} MiB at most")  # noqa: T201
    assert digest() == before
    assert was_read > count // 2 > 0
