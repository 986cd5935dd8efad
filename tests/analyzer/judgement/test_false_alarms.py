"""No healthy or trimmed disk is refused; a table that lost entries is never believed unsaid.

The figures are in docs/design/041-an-absent-entry-is-a-claim.md.
"""

import random

import pytest

from analyzer.judgement.judge import findings_of, judge
from analyzer.judgement.judge import judged as judged_chain
from analyzer.recover.rebuild.job import rebuild_tables
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from vhdx.chain import Chain
from vhdx.contents import Structures
from vhdx.image import image_from
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

ZERO, UNMAPPED = 2, 3
SAMPLE, TRIALS = 2, 40
"""Of the two thousand disks of `make fuzz`, what every run looks at."""


@pytest.fixture(params=disks.KINDS)
def volume(request):
    """Volumes of every kind, a few of each."""
    if is_missing(request.param):
        pytest.skip(f"nothing here makes {request.param}")
    return lambda seed, size=64 * MIB: disks.volume(request.param, seed, size)


def disk_of(volume, chance, sizes=(64 * MIB,)):
    """A VHDX of a random volume, partitioned or not, in blocks of a random size."""
    size = chance.choice(sizes)
    flat = disks.partitioned(volume(chance.randrange(2), size), chance.choice(("none", "mbr", "gpt")))
    block = chance.choice((1, 2, 4, 8) if size == 64 * MIB else (8, 16, 32))
    return disks.made(flat, block * MIB, chance)


def judged(source):
    image = image_from(source)
    return image, judge(image.table, image.log, lambda: image)


def some_of(blocks, chance):
    return set(chance.sample(blocks, chance.randint(0, len(blocks))))


def expect_no_refusal(made, chance, times=1):
    """So many ways to trim the disk, none among them."""
    trimmable = made.trimmable
    for _ in range(times):
        trimmed = some_of(trimmable, chance)
        _, judgement = judged(made.without(trimmed, chance.choice((0, 0, ZERO, UNMAPPED))))
        assert not judgement.doubted, judgement.proof


def chain_of(volume, chance):
    """One to three checkpoints upon a volume or upon nothing; each holds a volume written anew, and was trimmed."""
    scheme, block = chance.choice(("none", "mbr", "gpt")), chance.choice((1, 2, 4, 8)) * MIB
    states = [disks.partitioned(volume(seed), scheme) for seed in (0, 1)]
    layers = [disks.made(chance.choice((states[1], bytes(len(states[0])))), block, chance)]
    for number in range(chance.randint(1, 3)):
        layers.append(disks.made_upon(layers[-1].flat, states[number % 2], block, chance))
    return [(layer, some_of(layer.trimmable, chance)) for layer in layers]


def expect_no_refusal_of_a_chain(layers, chance):
    """A checkpoint's trimmed block is UNMAPPED or ZERO: an absent one would show the parent."""
    first, *rest = layers
    sources = [first[0].without(first[1], chance.choice((0, ZERO, UNMAPPED)))]
    sources += [layer.without(trimmed, chance.choice((ZERO, UNMAPPED))) for layer, trimmed in rest]
    images = tuple(image_from(source) for source in sources)
    for layer in judged_chain(Chain(images, ())).layers:
        assert not layer.masks, layer.masks


def expect_nothing_wrong_is_known(made, chance):
    """Whichever entries are lost: a warning or LOST in every command, and `recover` calls none of them known."""
    first = chance.randrange(len(made.held))
    lost = chance.choice((
        {chance.choice(made.held)},
        set(made.held[-chance.randint(1, 16) :]),
        some_of(made.held, chance) or {made.held[0]},
        {block for block in made.held if block // 64 == made.held[first] // 64},
    ))  # fmt: skip
    lost |= some_of(made.trimmable, chance) if chance.random() < 0.3 else set()
    image, judgement = judged(made.without(lost))
    assert list(findings_of(image.table, judgement, live=False))
    expect_unknown(rebuild_tables(Structures(made.without(lost))), made, lost)


def expect_unknown(saved, made, lost):
    doubted = Ranges.of(Range(part.start, part.length) for part in saved.doubted)
    absent = [run for run in saved.image.runs() if run.kind in {Kind.HOLE, Kind.ZERO}]
    known = Ranges.of(Range(run.start, run.length) for run in absent) - doubted
    for block in lost:
        whole = Range(block * made.block_size, min(made.block_size, len(made.flat) - block * made.block_size))
        if any(sector.strip(b"\0") for sector in (made.content(block),)) and block not in made.trimmable:
            assert not known.touches(whole), f"block {block} is called known and absent"


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_no_healthy_or_trimmed_disk_is_refused(volume, seed):
    chance = random.Random(seed)
    for _ in range(TRIALS // 10):
        expect_no_refusal(disk_of(volume, chance), chance)


def test_no_healthy_or_trimmed_chain_is_refused(volume):
    chance = random.Random(3000)
    expect_no_refusal_of_a_chain(chain_of(volume, chance), chance)


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_no_lost_entry_goes_unsaid_and_recover_calls_none_known(volume, seed):
    chance = random.Random(seed + 1000)
    for _ in range(TRIALS // 10):
        expect_nothing_wrong_is_known(disk_of(volume, chance), chance)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(5))
def test_two_thousand_healthy_and_trimmed_disks_are_not_refused(volume, seed):
    chance = random.Random(seed + 5000)
    for _ in range(9):
        expect_no_refusal(disk_of(volume, chance, (64 * MIB, 64 * MIB, 256 * MIB)), chance, times=5)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(5))
def test_five_hundred_healthy_and_trimmed_chains_are_not_refused(volume, seed):
    chance = random.Random(seed + 7000)
    for _ in range(11):
        expect_no_refusal_of_a_chain(chain_of(volume, chance), chance)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(5))
def test_of_a_thousand_disks_with_lost_entries_none_goes_unsaid(volume, seed):
    chance = random.Random(seed + 9000)
    for _ in range(22):
        expect_nothing_wrong_is_known(disk_of(volume, chance), chance)
