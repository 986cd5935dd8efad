"""Volumes with anything in their structures: judging them never raises and ends soon."""

import random
from contextlib import contextmanager
from functools import lru_cache

import pytest

from analyzer.judgement.judge import judge
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from vhdx.image import image_from

pytestmark = pytest.mark.slow


@lru_cache(maxsize=1)
def own(kind):
    """A volume of its own to write to: copies of 64 MiB for each case cost four times what judging them does."""
    return bytearray(disks.volume(kind, 0))


@contextmanager
def spoiled(kind, chance):
    """A volume with numbers of all sizes written over its front, where its structures are; put back in the end."""
    volume = own(kind)
    front = bytes(volume[: 8 * MIB + 8])
    for _ in range(chance.randint(1, 40)):
        number = chance.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, chance.getrandbits(64)))
        length = chance.choice((1, 2, 4, 8))
        at = chance.randrange(chance.choice((512, 4096, MIB, 8 * MIB)))
        volume[at : at + length] = (number & (1 << 8 * length) - 1).to_bytes(length, "little")
    yield volume
    volume[: len(front)] = front


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", disks.KINDS)
def test_whatever_a_volume_says_of_itself_is_judged(kind, seed):
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    chance = random.Random(f"{kind} {seed}")
    for _ in range(4):
        with spoiled(kind, chance) as volume:
            made = disks.made(volume, MIB, chance)
            image = image_from(made.without(set(chance.sample(made.held, 3))))
            judgement = judge(image.table, image.log, lambda image=image: image)
            assert judgement.absent
