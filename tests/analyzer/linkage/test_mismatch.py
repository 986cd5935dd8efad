"""Evidence on a mismatch: what is looked at, and what the verdict makes of it."""

import struct
import zlib
from dataclasses import replace

import pytest

from analyzer.linkage.mismatch import Verdict, gather_evidence
from analyzer.linkage.record import Bearing
from fixtures import RECIPES, Block, BlockState, Identity, ImageSpec, encode, write_files
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from tests.support.catalogue import fixture_of
from vhdx.errors import VhdxError
from vhdx.image import open_image

pytestmark = pytest.mark.slow

SIZE = 4 * MIB
GPT_ENTRIES = 128 * 128


def image(sectors, state=BlockState.FULLY_PRESENT):
    """The blocks that hold these sectors: a mapping of sector numbers to bytes."""
    blocks = {}
    for number, data in sectors.items():
        block, within = divmod(number, MIB // 512)
        blocks.setdefault(block, {})[within] = data.ljust(-(-len(data) // 512) * 512, b"\0")
    return {block: Block(state=state, data=data) for block, data in blocks.items()}


@pytest.fixture
def evidence_on(tmp_path):
    """The evidence on a child of a base, when another file stands in the base's place."""

    def gather(base, child, *, parent=None):
        """Sectors of the base, those of the child, and those of the parent where they differ from the base's."""
        spec = ImageSpec(size=SIZE, identity=Identity.of("base"), blocks=image(base))
        upper = child_of(spec, "child", image(child, BlockState.PARTIALLY_PRESENT))
        since = replace(spec.identity, data_write_guid=Identity.of("since").data_write_guid)
        lower = replace(spec, identity=since, blocks=image(base if parent is None else parent))
        encode(lower).write_to(tmp_path / "base.vhdx")
        encode(upper).write_to(tmp_path / "child.avhdx")
        with open_image(tmp_path / "child.avhdx") as first, open_image(tmp_path / "base.vhdx") as second:
            return gather_evidence(first, second)

    return gather


def bearings(evidence):
    """What each trace speaks for, the first five facts, which are always there, left out."""
    return [fact.bearing for fact in evidence.facts[5:]]


def mbr(signature, start=0):
    entry = struct.pack("<B3xB3xII", 0, 7 if start else 0, start, 1000 if start else 0)
    return (bytes(440) + signature + bytes(2) + entry + bytes(48) + b"\x55\xaa").ljust(512, b"\0")


def gpt(disk, entries):
    header = bytearray(struct.pack("<8sIIII", b"EFI PART", 0x10000, 92, 0, 0).ljust(512, b"\0"))
    header[56:72] = disk
    struct.pack_into("<QIII", header, 72, 2, 128, 128, zlib.crc32(entries))
    return bytes(header)


def ntfs(serial=1, mft_cluster=4):
    boot = bytearray(512)
    boot[3:11], boot[510:512] = b"NTFS    ", b"\x55\xaa"
    struct.pack_into("<HB", boot, 11, 512, 8)
    struct.pack_into("<QQbxxxbxxxQ", boot, 0x30, mft_cluster, 0, -10, 1, serial)
    return bytes(boot)


def mft(*numbers):
    """$MFT records of 1 KiB with these log sequence numbers."""
    return b"".join(struct.pack("<4sHHQ", b"FILE", 48, 3, number).ljust(1024, b"\1") for number in numbers)


def ext(uuid, written):
    block = bytearray(512)
    struct.pack_into("<I", block, 0x30, written)
    block[0x38:0x3A], block[0x68:0x78] = b"\x53\xef", uuid
    return bytes(block)


def test_a_parent_that_is_the_right_one_is_safe(tmp_path):
    write_files(fixture_of("differencing"), tmp_path)
    with open_image(tmp_path / "child.avhdx") as child, open_image(tmp_path / "base.vhdx") as parent:
        evidence = gather_evidence(child, parent)
    assert (evidence.verdict, evidence.doubtful, evidence.doubtful_bytes) == (Verdict.SAFE, (), 0)


def test_a_changed_parent_without_a_trace_is_doubtful_where_it_shows(evidence_on):
    evidence = evidence_on({0: b"x" * 1024}, {1: b"y"})
    assert evidence.verdict is Verdict.DOUBTFUL
    assert evidence.doubtful == ((0, 512), (1024, MIB - 1024))
    assert evidence.doubtful_sectors == MIB // 512 - 1
    assert evidence.left_bytes == SIZE - 512


def test_a_child_that_leaves_nothing_is_safe_on_any_parent(tmp_path):
    base = ImageSpec(size=MIB, identity=Identity.of("other"))
    whole = {0: Block(state=BlockState.FULLY_PRESENT, data={0: b"x" * 512})}
    child = child_of(ImageSpec(size=MIB, identity=Identity.of("base")), "child", whole)
    encode(base).write_to(tmp_path / "base.vhdx")
    encode(child).write_to(tmp_path / "child.avhdx")
    with open_image(tmp_path / "child.avhdx") as first, open_image(tmp_path / "base.vhdx") as second:
        assert gather_evidence(first, second).verdict is Verdict.SAFE


def test_a_parent_that_was_the_one_and_has_nothing_that_shows_is_safe(tmp_path):
    base = ImageSpec(size=SIZE, identity=Identity.of("base"), blocks=image({0: b"x"}))
    whole = {0: Block(state=BlockState.FULLY_PRESENT, data={0: b"y" * 512})}
    child = child_of(base, "child", whole)
    since = replace(base.identity, data_write_guid=Identity.of("since").data_write_guid)
    headers = (replace(base.headers[0], identity=base.identity), base.headers[1])
    encode(replace(base, identity=since, headers=headers)).write_to(tmp_path / "base.vhdx")
    encode(child).write_to(tmp_path / "child.avhdx")
    with open_image(tmp_path / "child.avhdx") as first, open_image(tmp_path / "base.vhdx") as second:
        evidence = gather_evidence(first, second)
    assert (evidence.verdict, evidence.doubtful_bytes) == (Verdict.SAFE, 0)


def test_the_disk_signature_tells_one_disk_from_another(evidence_on):
    same = evidence_on({0: mbr(b"abcd")}, {0: mbr(b"abcd", 8)})
    assert bearings(same) == [Bearing.SAME_DISK]
    assert same.verdict is Verdict.DOUBTFUL


def test_another_disk_signature_is_a_wrong_parent(evidence_on):
    other = evidence_on({0: mbr(b"abcd")}, {0: mbr(b"abcd")}, parent={0: mbr(b"efgh")})
    assert bearings(other) == [Bearing.OTHER_DISK]
    assert other.verdict is Verdict.WRONG_PARENT


@pytest.mark.parametrize(("entries", "bearing"), [(b"\1", Bearing.SAME_DISK), (b"\2", Bearing.CHANGED)])
def test_a_gpt_of_which_each_holds_a_part_must_fit(evidence_on, entries, bearing):
    ours, theirs = (some.ljust(GPT_ENTRIES, b"\0") for some in (b"\1", entries))
    evidence = evidence_on({1: gpt(b"d" * 16, ours), 2: theirs}, {1: gpt(b"d" * 16, ours)})
    assert bearings(evidence) == [Bearing.SAME_DISK, bearing]


def test_mft_records_that_are_all_older_in_the_parent_speak_for_it_and_prove_nothing(evidence_on):
    boot, place = ntfs(), 4 * 8
    evidence = evidence_on({0: boot, place: mft(1, 2, 3)}, {place + 2: mft(7)})
    assert bearings(evidence) == [Bearing.SAME_DISK]
    assert evidence.verdict is Verdict.DOUBTFUL


def test_mft_records_that_are_newer_in_the_parent_make_it_doubtful(evidence_on):
    boot, place = ntfs(), 4 * 8
    evidence = evidence_on({0: boot, place: mft(1, 9, 3)}, {place + 2: mft(7)})
    assert bearings(evidence) == [Bearing.CHANGED]
    assert evidence.verdict is Verdict.DOUBTFUL


def test_mft_records_of_both_sides_that_interleave_tell_nothing(evidence_on):
    boot, place = ntfs(), 4 * 8
    evidence = evidence_on({0: boot, place: mft(1, 2, 8)}, {place + 2: mft(7)})
    assert bearings(evidence) == [Bearing.NEUTRAL]


def test_a_volume_within_a_partition_is_found(evidence_on):
    base = {0: mbr(b"abcd", 64), 64: ntfs(serial=1)}
    assert bearings(evidence_on(base, {64: ntfs(serial=1)})) == [Bearing.SAME_DISK]


def test_another_volume_is_a_wrong_parent(evidence_on):
    base = {0: mbr(b"abcd", 64), 64: ntfs(serial=1)}
    other = evidence_on(base, {64: ntfs(serial=1)}, parent={0: mbr(b"abcd", 64), 64: ntfs(serial=2)})
    assert other.verdict is Verdict.WRONG_PARENT


@pytest.mark.parametrize(("written", "bearing"), [(5, Bearing.NEUTRAL), (9, Bearing.CHANGED)])
def test_a_superblock_tells_volume_and_time(evidence_on, written, bearing):
    evidence = evidence_on({2: ext(b"u" * 16, written)}, {2: ext(b"u" * 16, 6)})
    assert bearings(evidence) == [Bearing.SAME_DISK, bearing]


@pytest.mark.parametrize("seed", range(20))
def test_structures_made_to_do_harm_raise_nothing(evidence_on, seed):
    """Every number of a boot sector and a GPT at its largest, and noise."""
    import random

    noise = random.Random(seed)
    boot = bytearray(ntfs())
    for at in noise.sample([*range(11, 14), *range(0x30, 0x50)], 6):
        boot[at] = noise.choice([0, 1, 127, 128, 255])
    header = bytearray(gpt(b"d" * 16, b""))
    for at in noise.sample(range(72, 92), 6):
        header[at] = noise.choice([0, 1, 2, 128, 255])
    evidence_on({0: bytes(boot), 1: bytes(header)}, {0: bytes(boot), 1: bytes(header)})


@pytest.mark.parametrize("name", sorted(name for name in RECIPES if not name.startswith("chain-25")))
def test_no_two_files_raise_anything(tmp_path, name):
    """Every file of every recipe that opens, upon a plain disk and upon itself."""
    fixture = fixture_of(name)
    write_files(fixture, tmp_path)
    encode(ImageSpec(size=SIZE, identity=Identity.of("plain"))).write_to(tmp_path / "plain disk")
    for file in list(fixture.files)[:3]:
        try:
            opened = open_image(tmp_path / file)
        except VhdxError:
            continue
        with opened as upper, open_image(tmp_path / "plain disk") as lower:
            for pair in ((upper, lower), (lower, upper), (upper, upper)):
                assert gather_evidence(*pair).facts
