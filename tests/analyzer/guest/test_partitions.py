"""The one walk of partitions: GPT, its backup, MBR with logical ones, protective and hybrid; hostile tables end."""

import struct
import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.guest.layouts.gpt import Entries
from analyzer.guest.layouts.partitions import Partition, Pool, Scheme, partitions_of

SIZE, SECTOR = 1 << 20, 512
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
LDM = UUID("af9b60a0-1431-4f62-bc68-3311714a69ad")
SPACES = UUID("e75caf8f-f680-4cee-afa3-b001e56efc2d")


def gpt(data, parts, sector=SECTOR):
    """Both copies of a GPT for (type, first, last, name)."""
    table = b"".join(
        struct.pack("<16s16sQQQ72s", kind.bytes_le, bytes([n + 1]) * 16, first, last, 0, name.encode("utf-16-le"))
        for n, (kind, first, last, name) in enumerate(parts)
    ).ljust(128 * 128, b"\0")
    last, room = len(data) // sector - 1, len(table) // sector
    for here, other, at in ((1, last, 2), (last, 1, last - room)):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 1 << 16, 92, 0, 0, here, other, 0, 0, b"d" * 16, at, 128,
                           128, zlib.crc32(table))  # fmt: skip
        head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
        data[here * sector : here * sector + 92] = head
        data[at * sector : at * sector + len(table)] = table


def mbr(data, *entries, at=0):
    """(type, first, sectors) of the four, and the mark."""
    for n, (kind, first, sectors) in enumerate(entries):
        data[at + 446 + 16 * n : at + 462 + 16 * n] = struct.pack("<B3xB3xII", 0, kind, first, sectors)
    data[at + 510 : at + 512] = b"\x55\xaa"


def walked(data, entries=Entries.WHOLE, sectors=(512, 4096)):
    return partitions_of(lambda start, length: bytes(data[start : start + length]), len(data), sectors, entries)


def places(parts):
    return [(part.index, part.start // SECTOR, part.end // SECTOR) for part in parts]


@pytest.fixture
def disk():
    data = bytearray(SIZE)
    mbr(data, (0xEE, 1, 2047))
    gpt(data, [(LINUX, 64, 127, "one"), (LDM, 128, 191, ""), (SPACES, 192, 255, "")])
    return data


def test_the_partitions_of_a_gpt_say_number_place_type_and_name(disk):
    first, second, third = walked(disk)
    assert first == Partition(1, 64 * SECTOR, 128 * SECTOR, LINUX, "one", Scheme.GPT)
    assert (first.pool, second.pool, third.pool) == (None, Pool.LDM, Pool.SPACES)


def test_the_backup_stands_in_for_a_damaged_primary_and_says_so(disk):
    for at in (SECTOR, 2 * SECTOR):
        damaged = bytearray(disk)
        damaged[at] ^= 0xFF
        parts = walked(damaged)
        assert places(parts) == places(walked(disk))
        assert all(part.from_backup for part in parts)


def test_entries_that_fail_their_checksum_are_named_only_where_they_are_asked_for_as_found(disk):
    disk[2 * SECTOR + 56] ^= 0xFF
    disk[-SECTOR:] = bytes(SECTOR)
    assert walked(disk) == ()
    assert places(walked(disk, Entries.AS_FOUND)) == [(1, 64, 128), (2, 128, 192), (3, 192, 256)]


def test_a_gpt_made_for_other_sectors_is_read_with_those():
    data = bytearray(SIZE)
    gpt(data, [(LINUX, 16, 31, "")], sector=4096)
    assert [(part.start, part.end) for part in walked(data)] == [(16 * 4096, 32 * 4096)]
    assert walked(data, sectors=(512,)) == ()


def test_a_hybrid_mbr_adds_only_what_the_gpt_does_not_name(disk):
    mbr(disk, (0xEE, 1, 63), (0x83, 64, 64), (0x07, 300, 10))
    parts = walked(disk)
    assert places(parts) == [(1, 64, 128), (2, 128, 192), (3, 192, 256), (3, 300, 310)]
    assert [part.scheme for part in parts] == [*3 * [Scheme.GPT], Scheme.MBR]


def test_an_mbr_that_names_partitions_and_no_gpt_makes_the_gpt_one_of_former_days(disk):
    mbr(disk, (0x42, 63, 100))
    (part,) = walked(disk)
    assert (part.index, part.scheme, part.type, part.pool) == (1, Scheme.MBR, 0x42, Pool.LDM)


def test_logical_partitions_are_numbered_from_five_and_follow_their_chain():
    data = bytearray(SIZE)
    mbr(data, (0x83, 10, 5), (0x0F, 100, 900))
    mbr(data, (0x83, 2, 8), (0x05, 50, 100), at=100 * SECTOR)
    mbr(data, (0x07, 3, 7), at=150 * SECTOR)
    assert places(walked(data)) == [(1, 10, 15), (5, 102, 110), (6, 153, 160)]


@pytest.mark.parametrize("following", [0, 100])
def test_a_chain_of_logical_partitions_that_runs_in_a_circle_ends(following):
    data = bytearray(SIZE)
    mbr(data, (0x05, 100, 900), (0x05, 100, 900))
    mbr(data, (0x83, 1, 1), (0x05, following, 10), at=100 * SECTOR)
    mbr(data, (0x83, 1, 1), (0x05, following, 10), at=200 * SECTOR)
    assert len(walked(data)) <= 4


def test_a_table_of_a_million_entries_is_not_believed(disk):
    head = bytearray(disk[SECTOR : SECTOR + 92])
    struct.pack_into("<I", head, 80, 1 << 20)
    head[16:20] = bytes(4)
    struct.pack_into("<I", head, 16, zlib.crc32(head))
    disk[SECTOR : SECTOR + 92] = head
    asked = []

    def read(start, length):
        asked.append(length)
        return bytes(disk[start : start + length])

    assert partitions_of(read, len(disk), (512,))[0].from_backup
    assert max(asked) <= 128 * 128


@given(st.binary(max_size=2048), st.lists(st.tuples(st.integers(0, SIZE - 2048), st.binary(max_size=64)), max_size=4))
def test_whatever_the_tables_say_the_walk_ends_with_at_most_256_partitions(front, damage):
    data = bytearray(SIZE)
    mbr(data, (0xEE, 1, 2047), (0x05, 100, 900))
    gpt(data, [(LINUX, n, n, "") for n in range(40, 100)])
    data[: len(front)] = bytes(a ^ b for a, b in zip(data, front, strict=False))
    for at, piece in damage:
        data[at : at + len(piece)] = piece
    for entries in Entries:
        parts = walked(data, entries)
        assert len(parts) <= 256
        assert all(0 <= part.start < part.end for part in parts)
