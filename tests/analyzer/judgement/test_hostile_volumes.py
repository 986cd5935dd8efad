"""Volumes with anything in their structures: judging them never raises and ends soon."""

import random

import pytest

from analyzer.judgement.judge import judge
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from vhdx.image import image_from

pytestmark = pytest.mark.slow


def spoiled(content, chance):
    """The volume with numbers of all sizes written over its front, where its structures are."""
    spoilt = bytearray(content)
    for _ in range(chance.randint(1, 40)):
        number = chance.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, chance.getrandbits(64)))
        length = chance.choice((1, 2, 4, 8))
        at = chance.randrange(chance.choice((512, 4096, MIB, 8 * MIB)))
        spoilt[at : at + length] = (number & (1 << 8 * length) - 1).to_bytes(length, "little")
    return bytes(spoilt)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", disks.KINDS)
def test_whatever_a_volume_says_of_itself_is_judged(kind, seed):
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    chance = random.Random(f"{kind} {seed}")
    for _ in range(4):
        made = disks.made(spoiled(disks.volume(kind, 0), chance), MIB, chance)
        image = image_from(made.without(set(chance.sample(made.held, 3))))
        judgement = judge(image.table, image.log, lambda image=image: image)
        assert judgement.absent
