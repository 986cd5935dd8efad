"""New identities for partition tables: right checksums, nothing else touched, damage and malice told."""

import random
from uuid import UUID

import pytest

from analyzer.convert.new_identity.disk import cloned
from analyzer.convert.new_identity.workspace import Scope
from tests.analyzer.convert.new_identity.disks import (
    MIB,
    MemoryDisk,
    changed_bytes,
    check_gpt,
    entry,
    flat,
    gpt_disk,
    header,
    mbr,
    put,
)
from vhdx.identities import seeded_identities

SEED = seeded_identities("tests")
ONE, TWO = UUID(int=0x1111), UUID(int=0x2222)
PARTITIONS = ((ONE, 64, 1000), (TWO, 1001, 2000))


def clone(data, sector=512, scope=Scope.VOLUMES):
    made = cloned(MemoryDisk(data, sector), SEED, scope=scope)
    return made, flat(made)


def told(made):
    return {kept.what for kept in made.clone.kept}


@pytest.mark.parametrize("sector", [512, 4096])
def test_both_copies_of_a_gpt_get_the_same_new_guids_and_right_checksums(sector):
    data = gpt_disk(sector=sector, partitions=PARTITIONS)
    made, new = clone(data, sector)
    last = len(data) - sector
    disk, partitions = check_gpt(new, sector, sector)
    assert (disk, partitions) == check_gpt(new, last, sector)
    assert len({disk, *partitions}) == 3
    assert not {disk, *partitions} & {UUID(int=7), ONE, TWO}
    assert {change.old for change in made.changes} == {str(UUID(int=7)), str(ONE), str(TWO)}
    assert [change.new for change in made.changes] == [str(disk), *map(str, partitions)]
    assert made.clone.kept == ()


@pytest.mark.parametrize("sector", [512, 4096])
def test_nothing_but_guids_and_checksums_changes(sector):
    data = gpt_disk(sector=sector, partitions=PARTITIONS, signature=b"abcd")
    _, new = clone(data, sector)
    allowed = set(range(440, 444))
    for at, table in ((sector, 2 * sector), (len(data) - sector, len(data) - sector - 16384)):
        allowed |= {at + n for n in (*range(16, 20), *range(56, 72), *range(88, 92))}
        allowed |= {table + 128 * n + byte for n in (0, 1) for byte in range(16, 32)}
    assert changed_bytes(bytes(data), new) <= allowed


def test_the_same_seed_gives_the_same_clone_and_another_another():
    data = gpt_disk(partitions=PARTITIONS)
    assert clone(data)[1] == clone(data)[1]
    assert clone(data)[1] != flat(cloned(MemoryDisk(data), seeded_identities("other")))
    assert flat(cloned(MemoryDisk(data))) != flat(cloned(MemoryDisk(data)))


def test_a_clone_of_a_clone_has_identities_of_its_own():
    _, first = clone(gpt_disk(partitions=PARTITIONS, signature=b"abcd"))
    _, second = clone(first)
    assert not set(check_gpt(first, 512)[1]) & set(check_gpt(second, 512)[1])
    assert first[440:444] != second[440:444]


def test_an_mbr_gets_a_new_signature_and_keeps_everything_else():
    data = bytearray(MIB)
    put(data, 0, mbr(b"abcd", (7, 64, 100), (0x83, 200, 100), code=b"\xfa\x33"))
    made, new = clone(data)
    assert new[440:444] != b"abcd"
    assert changed_bytes(bytes(data), new) <= set(range(440, 444))
    (change,) = made.changes
    assert change.old == f"{int.from_bytes(b'abcd', 'little'):08x}"
    assert change.new == f"{int.from_bytes(new[440:444], 'little'):08x}"


def test_a_signature_of_zeros_is_none_and_stays():
    data = bytearray(MIB)
    put(data, 0, mbr(bytes(4), (7, 64, 100)))
    made, new = clone(data)
    assert new == bytes(data)
    assert made.changes == ()


def test_a_hybrid_mbr_has_its_signature_changed_beside_the_gpt():
    data = gpt_disk(partitions=PARTITIONS)
    put(data, 0, mbr(b"abcd", (0xEE, 1, 63), (7, 64, 900)))
    made, new = clone(data)
    assert new[440:444] != b"abcd"
    assert new[444:512] == bytes(data[444:512])
    assert ONE not in check_gpt(new, 512)[1]
    assert len(made.changes) == 4


def test_a_backup_is_found_where_the_primary_says_though_the_disk_has_grown():
    data = gpt_disk(backup=5000)
    made, new = clone(data)
    assert check_gpt(new, 512) == check_gpt(new, 5000 * 512)
    assert told(made) == set()


@pytest.mark.parametrize("damage", [512 + 57, 1024 + 17])
def test_a_primary_that_fails_its_checksums_is_left_and_told_and_the_backup_renewed(damage):
    data = gpt_disk(partitions=PARTITIONS)
    data[damage] ^= 0xFF
    made, new = clone(data)
    assert new[: 34 * 512] == bytes(data[: 34 * 512])
    disk, partitions = check_gpt(new, len(data) - 512)
    assert not {disk, *partitions} & {UUID(int=7), ONE, TWO}
    assert told(made) == {"the primary GPT"}


@pytest.mark.parametrize("gone", [range(4 * MIB - 512, 4 * MIB), range(4 * MIB - 512 - 16384, 4 * MIB - 512)])
def test_a_backup_that_is_gone_is_told_and_the_primary_renewed(gone):
    data = gpt_disk(partitions=PARTITIONS)
    put(data, gone.start, bytes(len(gone)))
    made, new = clone(data)
    assert ONE not in check_gpt(new, 512)[1]
    assert changed_bytes(bytes(data), new) <= set(range(512, 34 * 512))
    assert told(made) == {"the backup GPT"}


def test_a_gpt_of_which_no_copy_is_whole_is_left_and_told():
    data = gpt_disk()
    data[512 + 57] ^= 1
    data[len(data) - 512 + 57] ^= 1
    made, new = clone(data)
    assert new == bytes(data)
    assert "the primary GPT" in told(made)


def test_copies_that_disagree_each_lose_their_identities():
    data, other = gpt_disk(partitions=PARTITIONS), gpt_disk(partitions=((UUID(int=0x3333), 64, 1000),))
    put(data, len(data) - 512 - 16384, other[len(data) - 512 - 16384 :])
    _, new = clone(data)
    first, second = check_gpt(new, 512), check_gpt(new, len(data) - 512)
    assert not {ONE, TWO, UUID(int=0x3333)} & {*first[1], *second[1]}
    assert first[0] == second[0]


def test_a_gpt_for_sectors_of_another_size_is_told_and_left():
    data = gpt_disk(sector=512)
    made, new = clone(data, 4096)
    assert new == bytes(data)
    assert "a GPT" in told(made)


def test_a_header_that_stands_elsewhere_than_it_says_is_no_copy():
    data = gpt_disk()
    put(data, 512, header(2, 8191, 2, bytes(data[1024 : 1024 + 16384])))
    made, new = clone(data)
    assert new[: 34 * 512] == bytes(data[: 34 * 512])
    assert "the primary GPT" in told(made)


def test_entries_that_lie_upon_the_master_boot_record_are_left_and_told():
    data = bytearray(4 * MIB)
    put(data, 0, mbr(b"abcd", (0xEE, 1, 8191), code=entry(ONE, 64, 1000)[:128]))
    put(data, 512, header(1, 8191, 0, bytes(data[:512]), count=4))
    made, new = clone(data)
    assert "the GPT" in told(made)
    assert new[512:] == bytes(data[512:])


def test_copies_that_share_their_entries_are_renewed_once():
    data = gpt_disk(partitions=PARTITIONS)
    entries = bytes(data[1024 : 1024 + 16384])
    put(data, len(data) - 512, header(8191, 1, 2, entries))
    _, new = clone(data)
    assert check_gpt(new, 512) == check_gpt(new, len(data) - 512)
    assert ONE not in check_gpt(new, 512)[1]


def test_a_part_of_a_storage_pool_and_a_dynamic_disk_are_told():
    data = bytearray(MIB)
    put(data, 0, mbr(b"abcd", (0x42, 64, 100)))
    assert "a dynamic disk's database" in told(clone(data)[0])
    pool = bytearray(entry(ONE, 64, 1000))
    pool[:16] = UUID("e75caf8f-f680-4cee-afa3-b001e56efc2d").bytes_le
    data = gpt_disk()
    entries = bytes(pool).ljust(16384, b"\0")
    put(data, 512, header(1, 8191, 2, entries))
    put(data, 1024, entries)
    assert "a partition" in told(clone(data)[0])


def test_volumes_are_left_alone_when_only_the_disk_is_asked_for():
    data = gpt_disk(partitions=PARTITIONS)
    put(data, 64 * 512, b"\xeb\x52\x90NTFS    ".ljust(510, b"\1") + b"\x55\xaa")
    _, new = clone(data, scope=Scope.DISK)
    assert new[64 * 512 : 65 * 512] == bytes(data[64 * 512 : 65 * 512])


@pytest.mark.parametrize("seed", range(150))
def test_tables_made_to_do_harm_raise_nothing_and_keep_the_size(seed):
    """Numbers of every field at their edges, with right checksums, and noise in what they point at."""
    noise = random.Random(seed)
    edges = [0, 1, 2, 3, 34, 64, 8190, 8191, 8192, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
    partitions = [(UUID(int=noise.choice([0, 1, 2])), noise.choice(edges), noise.choice(edges)) for _ in range(6)]
    data = gpt_disk(partitions=partitions, signature=noise.randbytes(4))
    count = noise.choice([0, 1, 4, 128, 8192, 1 << 31, (1 << 32) - 1])
    table = noise.choice(edges)
    entries = bytes(data[table * 512 : table * 512 + min(count, 8192) * 128])
    put(data, 512, header(1, noise.choice(edges), table, entries, count=count, entry_size=noise.choice([0, 128, 256])))
    kinds = [0, 5, 7, 0x0F, 0xEE, 0x42]
    records = [(noise.choice(kinds), noise.choice(edges[:8]), noise.choice(edges[:8])) for _ in range(4)]
    for at in (0, *noise.sample(range(64, 8000), 4), 64):
        put(data, at * 512, mbr(b"abcd", *records))
    made, new = clone(data)
    assert len(new) == len(data)
    assert all(0 <= place < len(data) for change in made.changes for place in change.places)
