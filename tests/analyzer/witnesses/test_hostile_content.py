"""Volumes with anything in their structures: holding blocks against them never raises and ends soon."""

import random

import pytest

from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from tests.analyzer.judgement.test_hostile_volumes import spoiled
from tests.analyzer.witnesses.test_false_alarms import account

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", disks.KINDS)
def test_whatever_a_volume_says_of_itself_is_held_against_it(kind, seed):
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    chance = random.Random(f"{kind} {seed}")
    for _ in range(4):
        with spoiled(kind, chance) as volume:
            assert account(disks.made(volume, MIB, chance).without(set())).rates
