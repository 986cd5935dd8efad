"""New identities for volumes: where they stand, what is left and why."""

import random
import struct
from uuid import UUID

import pytest

import vhdx
from analyzer.convert.new_identity.disk import cloned
from analyzer.convert.new_identity.workspace import Scope
from tests.analyzer.convert.new_identity.disks import MIB, MemoryDisk, changed_bytes, flat, mbr, put
from vhdx.identities import seeded_identities

SEED = seeded_identities("tests")
START = 64 * 512
EXT_UUID = UUID("01234567-89ab-cdef-0123-456789abcdef")


def clone(data, scope=Scope.VOLUMES):
    made = cloned(MemoryDisk(data), SEED, scope=scope)
    return made, flat(made)


def holding(*pieces, size=4 * MIB):
    """A disk with an MBR and a volume from sector 64 on; pieces are (byte of the volume, bytes)."""
    data = bytearray(size)
    put(data, 0, mbr(bytes(4), (7, 64, size // 512 - 64)))
    for at, piece in pieces:
        put(data, START + at, piece)
    return data


def ntfs_boot(serial, sectors):
    boot = bytearray(512)
    boot[:11], boot[510:] = b"\xeb\x52\x90NTFS    ", b"\x55\xaa"
    struct.pack_into("<HB", boot, 11, 512, 8)
    struct.pack_into("<QQQb", boot, 40, sectors, 4, 8, -10)
    boot[72:80] = serial
    return bytes(boot)


def fat32_boot(serial):
    boot = bytearray(512)
    boot[:11], boot[510:] = b"\xeb\x58\x90mkfs.fat", b"\x55\xaa"
    struct.pack_into("<HBHB", boot, 11, 512, 1, 32, 2)
    struct.pack_into("<H", boot, 50, 6)
    boot[66], boot[67:71], boot[82:90] = 0x29, serial, b"FAT32   "
    return bytes(boot)


def ext_superblock(*, compatible=0, incompatible=0, read_only=1, journal=0, blocks=3000):
    block = bytearray(1024)
    struct.pack_into("<10I", block, 0, 100, blocks, 0, 0, 0, 1, 0, 0, 8192, 8192)
    struct.pack_into("<H", block, 56, 0xEF53)
    struct.pack_into("<III", block, 92, compatible, incompatible, read_only)
    block[104:120] = EXT_UUID.bytes
    struct.pack_into("<I", block, 224, journal)
    return bytes(block)


def serials(recipe, name):
    """The bytes that a clone of a recipe's disk changes, and the clone."""
    _, path = recipe(name)
    with vhdx.open_chain(path) as chain:
        made = cloned(chain, SEED)
        old, new = chain.read(0, chain.size), flat(made)
    return made, old, changed_bytes(old, new), new


def test_an_ntfs_serial_changes_in_both_boot_sectors_and_nothing_else_does(recipe):
    made, old, changed, new = serials(recipe, "volume-gpt-ntfs")
    volume = 2048 * 512
    backup = volume + struct.unpack_from("<Q", old, volume + 40)[0] * 512
    places = {at + byte for at in (volume, backup) for byte in range(72, 80)}
    assert new[volume + 72 : volume + 80] == new[backup + 72 : backup + 80] != old[volume + 72 : volume + 80]
    assert {at for at in changed if volume <= at <= backup + 511} <= places
    assert made.clone.kept == ()


def test_an_ntfs_backup_that_differs_is_left_and_told():
    boot = ntfs_boot(b"12345678", 5000)
    made, new = clone(holding((0, boot), (5000 * 512, ntfs_boot(b"87654321", 5000))))
    assert new[START + 72 : START + 80] != b"12345678"
    assert new[START + 5000 * 512 + 72 :][:8] == b"87654321"
    assert [kept.what for kept in made.clone.kept] == ["the copy of the NTFS boot sector"]


def test_a_fat32_serial_changes_in_both_boot_sectors():
    data = holding((0, fat32_boot(b"abcd")), (6 * 512, fat32_boot(b"abcd")))
    _, new = clone(data)
    assert changed_bytes(bytes(data), new) <= {START + at + byte for at in (0, 6 * 512) for byte in range(67, 71)}
    assert new[START + 67 : START + 71] == new[START + 6 * 512 + 67 :][:4] != b"abcd"


def test_a_fat32_backup_of_another_volume_is_left_and_told():
    data = holding((0, fat32_boot(b"abcd")), (6 * 512, fat32_boot(b"efgh")))
    made, new = clone(data)
    assert new[START + 6 * 512 :][:512] == fat32_boot(b"efgh")
    assert [kept.what for kept in made.clone.kept] == ["the copy of the FAT32 boot sector"]


def test_an_exfat_serial_changes_with_the_checksum_of_both_regions(recipe):
    _, old, changed, new = serials(recipe, "volume-exfat")
    size = 12 * 512
    places = {region + at for region in (0, size) for at in (*range(100, 104), *range(11 * 512, size))}
    assert changed <= places
    assert new[100:104] == new[size + 100 : size + 104] != old[100:104]
    for region in (new[:size], new[size : 2 * size]):
        checksum = 0
        for at, byte in enumerate(region[: 11 * 512]):
            if at not in {106, 107, 112}:
                checksum = ((checksum << 31 | checksum >> 1) + byte) % (1 << 32)
        assert region[11 * 512 :] == struct.pack("<I", checksum) * 128


def test_an_exfat_region_that_fails_its_checksum_is_left_and_told(recipe):
    _, path = recipe("volume-exfat")
    with vhdx.open_chain(path) as chain:
        data = bytearray(chain.read(0, chain.size))
    data[300] ^= 1
    made, new = clone(data)
    assert new == bytes(data)
    assert [kept.start for kept in made.clone.kept] == [0]


def test_an_ext_uuid_changes_in_every_superblock(recipe):
    made, old, changed, new = serials(recipe, "volume-ext")
    places = {at + byte for at in (1024, 8193 * 1024) for byte in range(104, 120)}
    assert changed <= places
    assert new[1128:1144] == new[8193 * 1024 + 104 :][:16] != old[1128:1144]
    assert made.changes[0].new == str(UUID(bytes=new[1128:1144]))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"incompatible": 0x4}, "journal is yet to be replayed"),
        ({"incompatible": 0x8}, "are separate"),
        ({"compatible": 0x4}, "are separate"),
        ({"compatible": 0x804, "journal": 8}, "encryption keys"),
        ({"incompatible": 0x40000}, "features that are not known"),
        ({"read_only": 0x401}, "metadata_csum without"),
        ({"read_only": 0x11}, "do not fit the UUID"),
        ({"incompatible": 0x2000, "read_only": 0x401}, "damaged"),
    ],
)
def test_an_ext_uuid_that_something_depends_on_stays_and_the_reason_is_told(flags, why):
    data = holding((1024, ext_superblock(**flags)))
    made, new = clone(data)
    assert new == bytes(data)
    assert made.changes == ()
    (kept,) = made.clone.kept
    assert str(EXT_UUID) in kept.what
    assert why in kept.why
    assert kept.then


@pytest.mark.parametrize(
    ("pieces", "name"),
    [
        ([(0, b"XFSB")], "XFS"),
        ([(0x10040, b"_BHRfS_M")], "Btrfs"),
        ([(0, b"LUKS\xba\xbe")], "LUKS"),
        ([(536, b"LVM2 001")], "LVM"),
        ([(3, b"ReFS\0\0\0\0")], "ReFS"),
        ([(0, fat32_boot(b"abcd")), (3, b"-FVE-FS-")], "BitLocker"),
        ([(4096, b"\xfc\x4e\x2b\xa9")], "Linux RAID"),
        ([(0, ntfs_boot(b"12345678", 10)), (4 * MIB - START - 8192, b"\xfc\x4e\x2b\xa9")], "Linux RAID"),
    ],
)
def test_a_volume_whose_identity_is_everywhere_keeps_it_and_the_way_out_is_told(pieces, name):
    data = holding(*pieces)
    made, new = clone(data)
    assert new == bytes(data)
    (kept,) = made.clone.kept
    assert kept.what == f"the identity of the {name} volume"
    assert kept.start == START
    assert kept.then


def test_an_ext_whose_descriptors_could_not_fit_their_groups_is_damaged():
    """Else a few bytes could ask for terabytes of checksums."""
    block = bytearray(ext_superblock(read_only=0x10, blocks=3000))
    struct.pack_into("<I", block, 32, 2)
    made, _ = clone(holding((1024, bytes(block))))
    assert "damaged" in made.clone.kept[0].why
    assert made.changes == ()


def swap(magic):
    return (1024, b"\1\0\0\0" + bytes(8) + EXT_UUID.bytes), (4086, magic)


def test_a_swap_space_gets_a_new_uuid():
    data = holding(*swap(b"SWAPSPACE2"))
    _, new = clone(data)
    assert changed_bytes(bytes(data), new) <= {START + 1036 + byte for byte in range(16)}
    assert new[START + 1036 :][:16] != EXT_UUID.bytes


def test_a_sleeping_system_is_told_and_left():
    data = holding(*swap(b"S1SUSPEND\0"))
    made, new = clone(data)
    assert new == bytes(data)
    assert "memory" in made.clone.kept[0].why


def test_a_partition_of_unknown_content_is_told_and_an_empty_one_is_not():
    assert clone(holding((0, b"what is this?")))[0].clone.kept[0].what == "what the partition holds"
    assert clone(holding())[0].clone.kept == ()


def test_logical_partitions_are_followed_and_a_ring_of_them_ends():
    data = bytearray(4 * MIB)
    put(data, 0, mbr(b"abcd", (5, 64, 8000)))
    put(data, 64 * 512, mbr(bytes(4), (7, 63, 100), (5, 200, 100)))
    put(data, 127 * 512, fat32_boot(b"abcd"))
    put(data, 264 * 512, mbr(bytes(4), (7, 63, 100), (5, 200, 100)))  # names itself as the next one
    put(data, 327 * 512, fat32_boot(b"efgh"))
    _, new = clone(data)
    assert new[127 * 512 + 67 :][:4] != b"abcd"
    assert new[327 * 512 + 67 :][:4] != b"efgh"


def test_volumes_that_lie_upon_one_another_are_told():
    """The backup boot sector of the first is the boot sector of the second."""
    data = bytearray(4 * MIB)
    put(data, 0, mbr(b"abcd", (7, 64, 100), (7, 74, 100)))
    put(data, START, ntfs_boot(b"12345678", 10))
    put(data, START + 10 * 512, ntfs_boot(b"12345678", 10))
    put(data, START + 20 * 512, ntfs_boot(b"12345678", 10))
    made, new = clone(data)
    assert len(new) == len(data)
    boots = [new[START + at * 512 :][:512] for at in (0, 10, 20)]
    assert boots[0] == boots[1] == boots[2]  # what was alike stays alike
    assert made.clone.kept == ()


@pytest.mark.parametrize("seed", range(100))
def test_volumes_made_to_do_harm_raise_nothing(seed):
    """Every number of boot sectors and superblocks at its largest, and noise."""
    noise = random.Random(seed)
    fronts = [
        ntfs_boot(b"12345678", 100),
        fat32_boot(b"abcd"),
        bytes(1024) + ext_superblock(read_only=noise.choice([1, 0x11, 0x401, 0])),
        b"\xeb\x76\x90EXFAT   ".ljust(512, b"\0"),
    ]
    front = bytearray(noise.choice(fronts))
    for at in noise.sample([*range(11, 14), *range(0x30, 0x50), *range(90, 120)], 8):
        front[at % len(front)] = noise.choice([0, 1, 127, 128, 255])
    if len(front) > 1024:
        for at in noise.sample(range(1024, 1024 + 128), 8):
            if at not in {1080, 1081}:
                front[at] = noise.choice([0, 1, 2, 128, 255])
    data = holding((0, bytes(front)))
    _, new = clone(data, scope=noise.choice(list(Scope)))
    assert len(new) == len(data)
