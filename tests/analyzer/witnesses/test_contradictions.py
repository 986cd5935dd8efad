"""What was encrypted, overwritten, or put in another block's place is in doubt."""

import random

import pytest

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.layouts.fat import SIZE, parse_boot
from analyzer.witnesses.account import State, account_of
from analyzer.witnesses.claims import claims_of
from analyzer.witnesses.model import Cause
from tests.analyzer.guest import images
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB
from tests.analyzer.recover.disasters.evidence import Flat
from tests.analyzer.witnesses.test_false_alarms import account
from vhdx.chain import Chain
from vhdx.image import image_from
from vhdx.ranges import Range, Ranges

pytestmark = pytest.mark.slow

KINDS = ("ext4", "ext4-1k", "ntfs", "fat32", "exfat", "xfs", "btrfs")


class Spoilt:
    """A file with other bytes in some places."""

    def __init__(self, source, patches):
        self.path, self.size, self._source, self._patches = source.path, source.size, source, patches

    def read_into(self, offset, buffer):
        self._source.read_into(offset, buffer)
        for at, data in self._patches:
            first, last = max(at, offset), min(at + len(data), offset + len(buffer))
            if first < last:
                buffer[first - offset : last - offset] = data[first - at : last - at]


def disk(kind, chance, block=MIB):
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    return disks.made(disks.volume(kind, 0), block, chance)


def pattern(made, chance, period, length, first, fill):
    """What `fill` makes of the places, as patches of the file."""
    size = len(made.front) + len(made.held) * made.block_size
    start = first if first >= len(made.front) else first + -(-(len(made.front) - first) // period) * period
    return [(at, fill(min(length, size - at))) for at in range(start, size, period)]


def wrong(made, patches):
    """The ranges of the disk whose bytes are others now, by pages."""
    found = []
    for number, block in enumerate(made.held):
        start = len(made.front) + number * made.block_size
        for at, data in patches:
            first, last = max(at, start), min(at + len(data), start + made.block_size)
            for page in range(first, last, 4096):
                place = block * made.block_size + page - start
                if made.flat[place : place + 4096] != data[page - at : page - at + 4096]:
                    found.append(Range(place, 4096))
    return Ranges.of(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("period", "length"), [(4, MIB)])
def test_what_was_encrypted_in_a_pattern_is_in_doubt_and_nothing_else_is_called_known(kind, period, length):
    chance = random.Random(f"{kind} {period}")
    made = disk(kind, chance)
    patches = pattern(made, chance, period * MIB, length, chance.randrange(period) * MIB, chance.randbytes)
    found = account(Spoilt(made.without(set()), patches))
    assert {one.cause for one in found.contradictions} == {Cause.ENCRYPTED}
    assert not wrong(made, patches) - found.ranges_of(0)
    assert found.contradictions[0].pattern.period == period * MIB


@pytest.mark.parametrize("kind", ["ext4", "ext4-1k", "ntfs", "xfs"])  # of FAT and btrfs all copies are in that block
def test_a_structure_in_the_place_of_another_puts_its_block_in_doubt(kind):
    chance = random.Random(kind)
    made = disk(kind, chance)
    source = made.without(set())
    holder = next(number for number, block in enumerate(made.held) if block == 0)
    other = next(number for number, block in enumerate(made.held) if block not in {0, *made.trimmable})
    places = [len(made.front) + number * MIB for number in (holder, other)]
    contents = [made.content(made.held[number]) for number in (other, holder)]
    found = account(Spoilt(source, list(zip(places, contents, strict=True))))
    assert found.ranges_of(0).covers(Range(0, MIB))


def test_a_backup_of_the_partition_table_that_is_something_else_is_in_doubt():
    if is_missing("ext"):
        pytest.skip("nothing here makes ext4")
    made = disks.made(disks.partitioned(disks.volume("ext4", 0), "gpt"), MIB, random.Random(5))
    last, size = len(made.flat) // MIB - 1, len(made.flat)
    number = made.held.index(last)
    assert not account(made.without(set())).contradictions
    patch = [(len(made.front) + number * MIB + MIB - 512, b"another header ".ljust(512, b"."))]
    assert account(Spoilt(made.without(set()), patch)).ranges_of(0).covers(Range(size - 512, 512))


def test_a_partition_table_by_itself_is_no_check_of_what_is_in_its_partitions():
    chance = random.Random(6)
    disk_of_noise = disks.made(disks.partitioned(chance.randbytes(8 * MIB), "gpt"), MIB, chance)
    found = account(disk_of_noise.without(set()))
    assert not found.is_checked
    assert not found.contradictions


@pytest.mark.parametrize("kind", ["fat16", "xfs"])
def test_noise_where_a_volume_begins_that_ends_at_a_whole_mib_is_in_doubt(kind):
    """Nothing else tells that there was a volume: a FAT has no copy of its boot sector."""
    made = disk(kind, random.Random(8), 2 * MIB)
    place = len(made.front) + made.held.index(0) * made.block_size
    found = account(Spoilt(made.without(set()), [(place, random.Random(9).randbytes(MIB))]))
    assert found.ranges_of(0).covers(Range(0, MIB))


@pytest.mark.parametrize("fill", [bytes, random.Random(12).randbytes])
def test_clusters_of_a_fat_folder_without_entries_are_in_doubt(fill):
    """A folder grows by a cluster for each of its entries that has no room."""
    made = disk("fat32", random.Random(13))
    boot = parse_boot(made.flat[:SIZE])
    claims = claims_of(Flat(made.flat)).metadata
    grown = claims.start[(claims.length == boot.cluster_size) & (claims.start > boot.heap_start)]
    last = int(grown.max()) // MIB
    number = made.held.index(last)
    patch = [(len(made.front) + number * MIB, fill(MIB))]
    assert account(Spoilt(made.without(set()), patch)).ranges_of(0).covers(Range(last * MIB, MIB))


@pytest.mark.parametrize("rest", [bytes(MIB), b""])
def test_a_partition_that_is_encrypted_as_a_whole_is_believed(rest):
    chance = random.Random(10)
    flat = disks.partitioned(chance.randbytes(3 * MIB) + rest + chance.randbytes(4 * MIB), "gpt")
    assert not account(disks.made(flat, 2 * MIB, chance).without(set())).contradictions


def test_what_hides_the_files_of_a_lower_layer_does_not_hide_that_it_was_encrypted():
    """The newest state shows of it what is in free space there; its own files tell of the pattern."""
    chance = random.Random(11)
    base = disk("ext4", chance)
    upon = disks.made_upon(base.flat, disks.volume("ext4", 1), MIB, chance)
    patches = pattern(base, chance, 4 * MIB, MIB, 2 * MIB, chance.randbytes)
    layers = [image_from(Spoilt(base.without(set()), patches)), image_from(upon.without(set()))]
    chain = Chain(tuple(layers), ())
    older = [State(chain.upto(0), ReadableDisk(chain.upto(0)))]
    free = wrong(base, patches) - Ranges.of(Range(n * MIB, MIB) for n in {*upon.held, *upon.cleared})
    assert free
    assert not free - account_of(chain, ReadableDisk(chain), [MIB, MIB], older).ranges_of(0)


def test_whatever_two_blocks_of_btrfs_change_places_both_are_in_doubt():
    """There every sector of a file has a checksum."""
    chance = random.Random(3)
    made = disk("btrfs", chance)
    others = {0, *made.trimmable}
    for _ in range(2):
        pair = chance.sample([number for number, block in enumerate(made.held) if block not in others], 2)
        places = [len(made.front) + number * MIB for number in pair]
        contents = [made.content(made.held[number]) for number in reversed(pair)]
        patches = list(zip(places, contents, strict=True))
        found = account(Spoilt(made.without(set()), patches))
        free = Ranges.of(part for part in wrong(made, patches) if not made.flat[part.start : part.end].strip(b"\0"))
        assert not wrong(made, patches) - free - found.ranges_of(0)


def test_a_file_put_together_from_two_states_is_in_doubt_from_the_edge_on(tmp_path):
    """The second half of the file is of a time with other files, whose folders name other inodes."""
    if is_missing("ext"):
        pytest.skip("nothing here makes ext4")
    chance = random.Random(7)
    before = images.make_ext(tmp_path / "disk", disks.files_of(chance), 64 * MIB)
    made = disks.made(before.read_bytes(), MIB, chance)
    renamed = [f"f{number:03}" for number in range(30)]
    images.debugfs(before, *(f"rm {name}" for name in renamed), *(f"write /etc/hostname g{n}" for n in range(9)))
    after = disks.Made(before.read_bytes(), MIB, made.held, made.front, made.bat)
    half = len(made.front) + len(made.held) // 2 * MIB
    rest = bytearray(after.without(set()).size - half)
    after.without(set()).read_into(half, memoryview(rest))
    found = account(Spoilt(made.without(set()), [(half, bytes(rest))]))
    if wrong(made, [(half, bytes(rest))]):
        assert found.contradictions
