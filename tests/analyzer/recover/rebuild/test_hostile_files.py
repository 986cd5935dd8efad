"""Files that were damaged at random, or by somebody who means it: no exception, no wrong byte, no long work."""

import random

import pytest

from analyzer.recover.rebuild.job import rebuild_image
from tests.analyzer.recover.rebuild.helpers import KIB, MIB, TABLES, rebuilt_image, recipe_of, wiped
from tests.support.effort import calls_of
from tests.support.sources import CountingSource
from vhdx.contents import Structures
from vhdx.source import MemorySource

pytestmark = pytest.mark.slow

NAMES = ("dynamic", "demo", "log-override", "volume-gpt-ntfs", "states-child")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
def test_random_damage_to_structures_never_raises(name, seed):
    draw = random.Random(f"{name} {seed}")
    (*_, leaf), _model = recipe_of(name)
    for _ in range(draw.randint(1, 6)):
        at = draw.choice([0, 64 * KIB, 128 * KIB, 192 * KIB, 256 * KIB, MIB, 2 * MIB, 2 * MIB + 64 * KIB, 3 * MIB])
        leaf = leaf.patched(at + draw.randrange(200), draw.randbytes(draw.choice([1, 8, 64, 4096])))
    saved = rebuilt_image(leaf)
    assert saved.image is not None or saved.lost


@pytest.mark.parametrize("size", [0, MIB - 1, MIB, MIB + 5, 2 * MIB + 9, 3 * MIB + 4096, 5 * MIB - 1])
def test_a_file_cut_anywhere_never_raises(size):
    (leaf,), _ = recipe_of("dynamic")
    saved = rebuilt_image(wiped(leaf, *TABLES).truncated(max(size, 512 * KIB)).truncated(size))
    assert saved.image is not None or saved.lost


@pytest.mark.parametrize(
    "word", [b"metadata", b"loge\0\0\0\0", b"\x06\0\0\0\0\0\0\0", b"\x06\0\x10\0\0\0\0\0", b"regi" * 2]
)
def test_a_file_full_of_signatures_is_read_a_few_times_and_costs_no_more_than_a_call_for_each_byte(word):
    source = CountingSource(MemorySource(word * (5 * MIB // 8)))
    calls, saved = calls_of(lambda: rebuild_image(Structures(source)))
    assert saved.image is None
    assert sum(length for _, length in source.reads) < 4 * source.size
    assert calls < source.size
