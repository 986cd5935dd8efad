"""Identifier, checksum, BAT entries, bitmaps, geometry, findings, identities."""

import random
import zlib
from pathlib import Path

import pytest
from construct import Array, StreamError, Struct
from hypothesis import given
from hypothesis import strategies as st

from tests.vhdx.structures.records import codes
from vhdx.errors import CorruptFileError, require
from vhdx.findings import Finding, Severity
from vhdx.geometry import Geometry, bat_region_size
from vhdx.identities import random_identities, seeded_identities
from vhdx.ranges import NamedRange
from vhdx.structures import disk, header, identifier, locator, log, metadata, region
from vhdx.structures.bat import (
    BatEntry,
    BlockState,
    Surroundings,
    check_bitmap_entry,
    check_payload_entry,
    parse_bat_entry,
)
from vhdx.structures.constants import GIB, MIB, TIB
from vhdx.structures.fields import crc32c, crc32c_without_field, parsed, parsed_array, with_checksum
from vhdx.structures.identifier import Identifier, build_identifier, check_identifier, parse_identifier


def test_the_checksum_is_castagnoli():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") != zlib.crc32(b"123456789")


@given(st.binary(min_size=8, max_size=100))
def test_a_checksum_field_counts_as_zero_and_is_set_right(structure):
    sealed = with_checksum(structure)
    assert sealed[:4] + sealed[8:] == structure[:4] + structure[8:]
    assert int.from_bytes(sealed[4:8], "little") == crc32c(structure[:4] + bytes(4) + structure[8:])
    assert crc32c_without_field(sealed) == crc32c_without_field(structure)


@given(st.binary(min_size=512, max_size=512))
def test_an_identifier_reads_back(creator):
    built = build_identifier(Identifier(b"vhdxfile", creator))
    assert parse_identifier(built).creator_raw == creator
    assert not [finding for finding in check_identifier(parse_identifier(built), built) if finding.code == "FID-01"]


def test_the_creator_ends_at_its_terminator_and_may_fill_the_field():
    assert Identifier(b"", "QEMU v7\0rest".encode("utf-16-le")).creator == "QEMU v7"
    assert Identifier(b"", ("x" * 256).encode("utf-16-le")).creator == "x" * 256
    assert Identifier(b"", b"").creator == ""
    lone = Identifier(b"vhdxfile", b"\x00\xd8" + bytes(510))
    assert codes(check_identifier(lone, b"")) == ["FID-03"]


@pytest.mark.parametrize(
    ("front", "words"),
    [
        (b"conectix", "VHD"),
        (b"QFI\xfb", "qcow2"),
        (b"KDMV", "VMDK"),
        (b"EVF\x09\x0d\x0a\xff\x00", "E01"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\3\4", "ZIP"),
        (b"\xfd7zXZ\0", "xz"),
        (b"version https://git-lfs", "LFS"),
        (bytes(510) + b"\x55\xaa", "boot sector"),
        (bytes(512) + b"EFI PART", "GPT"),
        (bytes(1080) + b"\x53\xef", "ext"),
        (bytes(600), "zeros"),
        (b"", "empty"),
        (b"hello", "has 5 bytes"),
        (b"vhdxfilf" + bytes(600), "begins like no virtual disk"),
        (bytes(512) + b"vhdxfile", "begins at byte 512"),
        (b"PK\x03\x04".ljust(39, b"-") + b"vhdxfile", "a ZIP archive"),
        (b"disk.vhdx".ljust(257, b"\0") + b"ustar".ljust(255, b"\0") + b"vhdxfile", "a tar archive"),
        (bytes(257) + b"ustar", "tar"),
        (b"MSWIM\0\0\0", "WIM"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML>", "HTML"),
        (b"root:x:0:0:root:/root:/bin/bash\n" * 9, "text file"),
        (bytes(32769) + b"CD001", "ISO"),
        ("\ufeffIt was moved to the other server.\r\n".encode("utf-16"), "text file"),
        (("Größe der Café-Bestände, 磁盘 💾\n" * 300).encode(), "text file"),
        (("Größe der Café-Bestände\r\n" * 9).encode("latin-1"), "text file"),
        ('\ufeff<?xml version="1.0"?>'.encode("utf-16-le"), "XML"),
        (b"\x28\xb5\x2f\xfd\xa0..vhdxfile", "zstd"),
        (b"\x04\x22\x4d\x18\x64\x40\xa7..vhdxfile", "lz4"),
        (b"Salted__", "OpenSSL"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"LUKS\xba\xbe", "LUKS"),
        (b"\xeb\x58\x90-FVE-FS-" + bytes(499) + b"\x55\xaa", "BitLocker"),
        (random.Random(1).randbytes(4096), "begins like no virtual disk"),
        (bytes([0xFF, 0xFE]) + random.Random(2).randbytes(4096), "begins like no virtual disk"),
        (b"conectix" + bytes(52) + bytes([0, 0, 0, 4]), "checkpoint of a VHD"),
    ],
)
def test_what_is_no_vhdx_is_called_by_its_name(front, words):
    (finding,) = check_identifier(parse_identifier(front), front)
    assert finding.code == "FID-01"
    assert words in finding.message
    assert finding.advice


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_nothing_of_the_content_is_printed(front, tail):
    secret = b"TOPSECRET-" + bytes(range(33, 127))
    for page in (secret + front, front + secret):
        for finding in check_identifier(parse_identifier(page), page, secret + tail):
            assert "TOPSEC" not in str(finding)


def test_a_checkpoint_of_a_vhd_is_never_sent_to_a_reader_that_leaves_its_parents_out():
    front = b"conectix" + bytes(52) + bytes([0, 0, 0, 4])
    (finding,) = check_identifier(parse_identifier(front), front, front)
    assert "qemu-img" not in finding.advice
    assert "vhdx merge" in finding.advice


@pytest.mark.parametrize(
    "front", [bytes(510) + b"\x55\xaa", bytes(512) + b"EFI PART", bytes(1080) + b"\x53\xef", bytes(1 << 16)]
)
def test_whoever_hands_in_a_raw_image_is_told_what_makes_a_vhdx_of_it(front):
    (finding,) = check_identifier(parse_identifier(front), front)
    assert "`vhdx convert FILE NEW.vhdx`" in finding.advice


def test_a_vhd_whose_footer_stands_in_front_too_is_not_called_fixed():
    (finding,) = check_identifier(parse_identifier(b"conectix"), b"conectix", b"conectix")
    assert "fixed" not in finding.message
    (finding,) = check_identifier(parse_identifier(b"data"), b"data", b"conectix")
    assert "fixed VHD" in finding.message


@given(st.integers(0, (1 << 64) - 1))
def test_any_64_bits_are_a_bat_entry(value):
    entry = parse_bat_entry(value.to_bytes(8, "little"))
    assert (entry.state, entry.reserved, entry.offset_mib) == (value & 7, value >> 3 & 0x1FFFF, value >> 20)
    assert entry.file_offset == (value >> 20) * MIB


AROUND = Surroundings(20 * MIB, (NamedRange(2 * MIB, MIB, "metadata region"),))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (BatEntry(BlockState.FULLY_PRESENT, 0, 4), []),
        (BatEntry(BlockState.INVALID_4, 0, 4), ["BAT-01"]),
        (BatEntry(BlockState.INVALID_5, 0, 4), ["BAT-01"]),
        (BatEntry(BlockState.ZERO, 1, 0), ["BAT-02"]),
        (BatEntry(BlockState.FULLY_PRESENT, 1 << 16, 4), ["BAT-02"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 0), ["BAT-03"]),
        (BatEntry(BlockState.PARTIALLY_PRESENT, 0, 19), ["BAT-04"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 18), []),
        (BatEntry(BlockState.FULLY_PRESENT, 0, (1 << 44) - 1), ["BAT-04"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 1), ["BAT-05"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 2), ["BAT-05"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 3), []),
        (BatEntry(BlockState.NOT_PRESENT, 0, 1 << 40), []),
        (BatEntry(BlockState.UNMAPPED, 0, 2), []),
    ],
)
def test_what_is_wrong_with_a_payload_entry_has_its_code(entry, expected):
    assert codes(check_payload_entry(entry, 0, 2 * MIB, 2 * MIB, AROUND)) == expected


def test_only_the_part_of_the_last_block_that_the_disk_needs_must_be_there():
    entry = BatEntry(BlockState.FULLY_PRESENT, 0, 19)
    assert codes(check_payload_entry(entry, 0, MIB, 2 * MIB, AROUND)) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (BatEntry(BlockState.FULLY_PRESENT, 0, 4), []),
        (BatEntry(BlockState.PARTIALLY_PRESENT, 0, 4), ["BAT-09"]),
        (BatEntry(BlockState.NOT_PRESENT, 0, 4), ["BAT-07"]),
        (BatEntry(BlockState.ZERO, 0, 4), ["BAT-07"]),
        (BatEntry(BlockState.FULLY_PRESENT, 5, 4), ["BAT-02"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 0), ["BAT-03"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 20), ["BAT-04"]),
        (BatEntry(BlockState.FULLY_PRESENT, 0, 2), ["BAT-05"]),
    ],
)
def test_what_is_wrong_with_a_bitmaps_entry_has_its_code(entry, expected):
    assert codes(check_bitmap_entry(entry, 0, AROUND)) == expected


@pytest.mark.parametrize("block_size", [MIB << n for n in range(9)])
@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("size", [512 * 8, 3 * MIB + 4096, 5 * GIB, 33 * GIB + 4096, 64 * TIB])
def test_the_formulas_are_those_of_a_table_laid_out_by_hand(block_size, sector, size):
    geometry = Geometry(size, block_size, sector)
    assert geometry.chunk_ratio * block_size == (1 << 23) * sector == geometry.chunk_size
    blocks = -(-size // block_size)
    assert geometry.block_count == blocks
    assert geometry.bytes_of_block(blocks - 1) == size - (blocks - 1) * block_size
    chance = random.Random(size)
    for block in {0, blocks - 1, *(chance.randrange(blocks) for _ in range(20))}:
        # Before a block stand all blocks and one bitmap for each whole chunk.
        assert geometry.payload_slot(block) == block + block // geometry.chunk_ratio
        chunk = block // geometry.chunk_ratio
        assert geometry.bitmap_slot(chunk) > geometry.payload_slot(block)
        assert geometry.bitmap_slot(chunk) == geometry.payload_slot((chunk + 1) * geometry.chunk_ratio) - 1
        assert geometry.block_at(block * block_size) == block
    assert geometry.slots_in_base == geometry.payload_slot(blocks - 1) + 1
    assert geometry.slots_in_child == geometry.chunk_count * (geometry.chunk_ratio + 1)


def test_a_bat_region_is_whole_mebibytes():
    assert [bat_region_size(slots) for slots in (1, 131072, 131073)] == [MIB, MIB, 2 * MIB]


def test_the_first_error_is_raised_and_lesser_findings_are_kept():
    note, warning = (Finding("A-1", severity, "text") for severity in (Severity.NOTE, Severity.WARNING))
    kept = require(Path("x"), [note, warning])
    assert [(finding.code, finding.severity) for finding in kept] == [("A-1", Severity.NOTE), ("A-1", Severity.WARNING)]
    error = Finding("A-2", Severity.ERROR, "it is broken", 7, 2, "2.2", "fix it")
    with pytest.raises(CorruptFileError) as caught:
        require(Path("x"), [note, error, Finding("A-3", Severity.ERROR, "later")])
    assert caught.value.finding.code == "A-2"
    for words in ("x", "it is broken", "byte 7", "A-2", "2.2", "fix it"):
        assert words in str(caught.value)


def test_identities_come_from_chance_or_from_a_seed():
    assert random_identities("a") != random_identities("a")
    first, again, other = seeded_identities("s"), seeded_identities("s"), seeded_identities("t")
    assert first("a") == again("a") != first("b")
    assert first("a") != other("a")
    assert first("a").version == 4


LAYOUTS = {
    f"{module.__name__.rsplit('.', 1)[1]}.{name}": layout
    for module in (disk, header, identifier, locator, log, metadata, region)
    for name, layout in vars(module).items()
    if isinstance(layout, Struct)
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_struct_reads_is_what_construct_reads(name):
    layout, chance = LAYOUTS[name], random.Random(name)
    data = chance.randbytes(3 * layout.sizeof())
    names = [field.name for field in layout.subcons]
    wanted = [{name: read[name] for name in names} for read in Array(3, layout).parse(data)]
    assert parsed_array(layout, 3, data) == wanted
    assert parsed(layout, data) == wanted[0]
    for short in (b"", data[: layout.sizeof() - 1]):
        with pytest.raises(StreamError):
            parsed(layout, short)
