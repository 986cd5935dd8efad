"""What XFS says of itself: whether its log has to be replayed, and which blocks are its own."""

import random

import pytest

from analyzer.guest.layouts.xfs import SECTOR, parse_super
from analyzer.guest.layouts.xfs_log import is_clean
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from tests.analyzer.witnesses.test_contradictions import Spoilt
from tests.analyzer.witnesses.test_false_alarms import account

pytestmark = pytest.mark.skipif(is_missing("xfs"), reason="nothing here makes XFS")


@pytest.fixture
def content():
    return bytearray(disks.volume("xfs", 0))


def log_of(content):
    superblock = parse_super(bytes(content[:SECTOR]))
    return superblock, superblock.at_block(superblock.log_start)


def is_clean_in(content):
    superblock, _ = log_of(content)
    return is_clean(superblock, lambda start, length: bytes(content[start : start + length]))


def test_a_log_that_ends_with_an_unmount_is_clean(content):
    assert is_clean_in(content)


def test_a_log_whose_last_record_is_another_one_has_to_be_replayed(content):
    _, start = log_of(content)
    last = content.rfind(b"\xfe\xed\xba\xbe", start, start + 4 * MIB)
    content[last + SECTOR + 9] &= ~0x20  # no record of an unmount
    assert not is_clean_in(content)


def test_a_folder_that_is_not_written_yet_says_nothing_while_the_log_has_to_be_replayed(content):
    """It is what was in that place before; on a volume that was unmounted it contradicts its place."""
    superblock, start = log_of(content)
    last = content.rfind(b"\xfe\xed\xba\xbe", start, start + 4 * MIB)
    at = content.find(b"XDB3")
    made = disks.made(bytes(content), MIB, random.Random(1))
    source = made.without(set())
    place = len(made.front) + made.held.index(at // MIB) * MIB + at % MIB
    older = (b"what another file had here\n" * superblock.block_size)[: superblock.block_size]
    assert account(Spoilt(source, [(place, older)])).contradictions
    content[last + SECTOR + 9] &= ~0x20
    dirty = disks.made(bytes(content), MIB, random.Random(1)).without(set())
    assert not account(Spoilt(dirty, [(place, older)])).contradictions
