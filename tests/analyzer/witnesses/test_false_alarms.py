"""No healthy disk holds what contradicts its place; the figures are in docs/design."""

import random

import pytest

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.witnesses.account import account_of
from tests.analyzer.judgement.test_false_alarms import disk_of, some_of, volume  # noqa: F401 - a fixture
from vhdx.image import image_from

pytestmark = pytest.mark.slow


def account(source):
    image = image_from(source)
    return account_of(image, ReadableDisk(image), [image.parameters.block_size])


def expect_no_contradiction(made, chance, times=1):
    for _ in range(times):
        found = account(made.without(some_of(made.trimmable, chance)))
        assert not found.contradictions, [str(one) for one in found.contradictions]


@pytest.mark.parametrize("seed", range(2))
def test_no_healthy_or_trimmed_disk_is_in_doubt(volume, seed):  # noqa: F811
    chance = random.Random(seed)
    for _ in range(2):
        expect_no_contradiction(disk_of(volume, chance), chance)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(5))
def test_two_thousand_healthy_and_trimmed_disks_are_not_in_doubt(volume, seed):  # noqa: F811
    chance = random.Random(seed + 5000)
    for _ in range(9):
        expect_no_contradiction(disk_of(volume, chance), chance, times=5)
