"""Whatever is done to an image, it reads or raises a VhdxError, in bounded time and memory."""

import os
import random
import sys
import time
from functools import partial

import pytest

from analyzer.check.file import check_structures
from tests.support.attempts import attempt
from tests.support.laws import assert_lawful
from tests.support.mutator import NAMES, mutate, subjects
from tests.support.sources import chain_from
from vhdx.contents import Structures
from vhdx.runs import concatenate

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]

MIB = 1 << 20
SHARDS, CASES = 8, 2500
SECONDS_PER_CASE = 10
CHECKED = 25
"""Of so many cases one is checked as well: that looks at all of each file, and never raises."""
MEMORY = 200 * MIB  # numba and its compiler take 110 of them


def use(chain, chance):
    """What a caller does with a disk: its runs, and reads that may fail each for itself."""
    position, windows = 0, []
    for table in chain.windows():
        assert table.start[0] == position
        position = table.end
        windows.append(table)
    assert position == chain.size
    whole = concatenate(windows)
    if len(whole) < 2000:
        assert_lawful(whole, 0, chain.size)
    places = (0, chance.randrange(chain.size), max(0, chain.size - 5000))
    for start in places:
        length = chance.choice((1, 4096, 70_000))
        data, error = attempt(partial(chain.read, start, length))
        if error:
            assert str(error)
            assert error.exit_code in {3, 4, 6}
        else:
            assert len(data) == min(length, chain.size - start)


def survive(seed):
    """None when the case behaved, else what happened."""
    case = mutate(seed)
    begun = time.process_time()
    try:
        chain, error = attempt(lambda: chain_from(case.sources))
        if error:
            assert str(error)
        else:
            use(chain, random.Random(seed))
        if random.Random(f"check {seed}").randrange(CHECKED) == 0:
            assert all(list(check_structures(Structures(source))) for source in case.sources)
    except Exception as error:  # noqa: BLE001 - this is the question
        return f"seed {seed!r}, {case.story}: {type(error).__name__}: {error}"
    spent = time.process_time() - begun
    return f"seed {seed!r}, {case.story}: {spent:.1f} s of the processor" if spent > SECONDS_PER_CASE else None


def peak():
    """Bytes of memory that this process has had at most."""
    resource = pytest.importorskip("resource", reason="Windows does not say how much memory a process had")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_mutated_image_reads_or_raises_a_vhdx_error_and_nothing_else(shard):
    for name in NAMES:
        subjects(name)
    before = peak()
    failures = [failure for number in range(CASES) if (failure := survive(f"{shard}-{number}"))]
    assert not failures, f"{len(failures)} of {CASES}:\n" + "\n".join(failures[:10])
    assert peak() - before < MEMORY


def test_half_of_the_mutations_get_through_to_a_disk():
    opened = 0
    for number in range(400):
        _, error = attempt(partial(chain_from, mutate(f"through-{number}").sources))
        opened += error is None
    assert 100 < opened < 350


@pytest.mark.fuzz
def test_mutations_go_on_for_as_long_as_the_budget_lasts():
    end = time.monotonic() + float(os.environ.get("VHDX_FUZZ_SECONDS", "60"))
    seed = random.SystemRandom().getrandbits(64)
    count = 0
    while time.monotonic() < end:
        failure = survive(f"{seed:x}-{count}")
        assert failure is None, failure
        count += 1
    assert count > 0
