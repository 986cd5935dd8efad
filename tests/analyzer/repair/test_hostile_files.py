"""Whatever was done to a file, its plan comes to be, opens what it says it opens, and has nothing left to fix."""

import random
from itertools import pairwise

import pytest

from analyzer.repair.apply import final_writes
from analyzer.repair.plan import plan_repair
from tests.analyzer.repair.helpers import SAME
from tests.support.attempts import attempt
from tests.support.mutator import mutate
from tests.support.sources import PatchedSource
from vhdx.errors import ShortReadError
from vhdx.image import image_from

pytestmark = pytest.mark.slow

CASES = 150


def planned(source):
    """The plan, and the file after it."""
    plan = plan_repair(source, SAME)
    writes = [write for stage in final_writes(plan.fixes) for write in stage]
    spans = sorted((write.offset, write.end) for write in writes)
    assert all(low[1] <= high[0] for low, high in pairwise(spans))
    patches = [(write.offset, write.content(write.offset, write.end)) for write in writes]
    size = plan.result_size
    content = bytearray(min(size, source.size))
    source.read_into(0, memoryview(content))
    return plan, PatchedSource(bytes(content), patches, size)


def survive(seed):
    """None when the case behaved, else what happened."""
    case = mutate(seed)
    for source in case.sources:
        try:
            before, error = attempt(lambda source=source: image_from(source))
            plan, after = planned(source)
            again = plan_repair(after, SAME)
        except ShortReadError:
            continue
        except Exception as error:  # noqa: BLE001 - this is the question
            return f"seed {seed!r}, {case.story}: {type(error).__name__}: {error}"
        if not again.is_empty:
            return f"seed {seed!r}, {case.story}: {[fix.title for fix in again.fixes]} is left to fix"
        if plan.opens != again.opens or (before and not plan.opens):
            return f"seed {seed!r}, {case.story}: it was to open and does not"
        if not plan.opens and not plan.unfixable:
            return f"seed {seed!r}, {case.story}: it does not open and nothing is said"
        if before and plan.opens and not _same(before, image_from(after), random.Random(seed)):
            return f"seed {seed!r}, {case.story}: the disk reads differently"
    return None


def _same(before, after, chance):
    """What could be read before reads the same afterwards."""
    for start in (0, before.size // 2, chance.randrange(before.size)):
        old, error = attempt(lambda start=start: before.read(start, 5000))
        if error is None and old != after.read(start, 5000):
            return False
    return before.size == after.size


def test_a_mutated_file_has_a_plan_that_keeps_its_promises():
    failures = [failure for number in range(CASES) if (failure := survive(f"repair-{number}"))]
    assert not failures, f"{len(failures)} of {CASES}:\n" + "\n".join(failures[:10])
