"""The metadata table, and the items that say what disk this is."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vhdx.structures.records import codes, metadata_tables, u32, u64
from vhdx.findings import Severity
from vhdx.structures.constants import (
    FILE_PARAMETERS,
    INCOMPLETE_FILE,
    KIB,
    LOGICAL_SECTOR_SIZE,
    MIB,
    NIL,
    PARENT_LOCATOR,
    PHYSICAL_SECTOR_SIZE,
    TIB,
    VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
)
from vhdx.structures.disk import DiskParameters, build_disk_parameters, check_disk_parameters, parse_disk_parameters
from vhdx.structures.metadata import (
    MetadataEntry,
    MetadataTable,
    build_metadata_table,
    check_metadata_table,
    parse_metadata_table,
)

FIRST = 64 * KIB
ITEMS = (
    MetadataEntry(FILE_PARAMETERS, FIRST, 8, 4, 0),
    MetadataEntry(VIRTUAL_DISK_SIZE, FIRST + 8, 8, 6, 0),
    MetadataEntry(VIRTUAL_DISK_ID, FIRST + 16, 16, 6, 0),
    MetadataEntry(LOGICAL_SECTOR_SIZE, FIRST + 32, 4, 6, 0),
    MetadataEntry(PHYSICAL_SECTOR_SIZE, FIRST + 36, 4, 6, 0),
)
OTHER = UUID("11111111-2222-3333-4444-555555555555")


def table(*entries, **changes):
    return replace(MetadataTable(b"metadata", 0, len(entries), bytes(20), entries), **changes)


def found(checked, region=MIB):
    return codes(check_metadata_table(checked, 2 * MIB, region))


@given(metadata_tables())
def test_a_table_reads_back(checked):
    built = build_metadata_table(checked)
    assert len(built) == 64 * KIB
    assert parse_metadata_table(built) == checked


def test_a_good_table_gives_no_finding_and_finds_its_items():
    good = table(*ITEMS)
    assert found(good) == []
    assert good.find(VIRTUAL_DISK_ID) == ITEMS[2]
    assert good.find(OTHER) is None
    assert ITEMS[0].name == "file parameters"


def test_a_user_item_is_never_taken_for_a_system_item():
    disguised = table(replace(ITEMS[0], flags=1), *ITEMS)
    assert disguised.find(FILE_PARAMETERS) == ITEMS[0]
    assert found(table(replace(ITEMS[0], flags=1), *ITEMS[1:])) == ["MET-12"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (MetadataEntry(OTHER, FIRST - 8, 4, 0, 0), ["MET-04"]),
        (MetadataEntry(OTHER, MIB - 3, 4, 0, 0), ["MET-04"]),
        (MetadataEntry(OTHER, FIRST + 100, MIB + 1, 0, 0), ["MET-04"]),
        (MetadataEntry(OTHER, (1 << 32) - 1, (1 << 32) - 1, 0, 0), ["MET-04"]),
        (MetadataEntry(OTHER, FIRST + 38, 4, 0, 0), ["MET-05"]),
        (MetadataEntry(OTHER, FIRST + 100, 0, 0, 0), ["MET-07"]),
        (MetadataEntry(OTHER, 0, 0, 0, 0), []),
        (MetadataEntry(NIL, FIRST + 100, 4, 0, 0), ["MET-08"]),
        (MetadataEntry(OTHER, FIRST + 100, 4, 5, 0), ["MET-09"]),
        (MetadataEntry(OTHER, FIRST + 100, 4, 4, 0), ["MET-10"]),
        (MetadataEntry(OTHER, FIRST + 100, 4, 1, 0), []),
        (MetadataEntry(OTHER, FIRST + 100, 4, 0, 0), []),
        (MetadataEntry(INCOMPLETE_FILE, 0, 0, 4, 0), ["MET-11"]),
        (MetadataEntry(PARENT_LOCATOR, FIRST + 100, 40, 6, 0), ["MET-14"]),
        (MetadataEntry(PARENT_LOCATOR, FIRST + 100, 40, 4, 0), []),
    ],
)
def test_what_is_wrong_with_an_item_has_its_code(extra, expected):
    assert found(table(*ITEMS, extra)) == expected


def test_the_table_itself_is_judged():
    assert found(table(*ITEMS, signature=b"METADATA")) == ["MET-01"]
    assert found(table(*ITEMS, reserved=1)) == ["MET-02"]
    assert found(table(*ITEMS, reserved2=bytes(19) + b"\1")) == ["MET-02"]
    assert found(table(*ITEMS, entry_count=2048)) == ["MET-03"]
    padded = build_metadata_table(table(*ITEMS, entry_count=2048))
    assert found(parse_metadata_table(padded)) == ["MET-03"], "entries that nobody wrote are not judged"
    assert found(table(*ITEMS, ITEMS[0]))[0] == "MET-06"
    users = tuple(MetadataEntry(uuid4(), 0, 0, 1, 0) for _ in range(1025))
    assert found(table(*ITEMS, *users)) == ["MET-03"]
    assert found(table(*ITEMS, *users[1:])) == []


def test_a_table_that_claims_too_many_entries_is_cut():
    built = bytearray(build_metadata_table(table(*ITEMS)))
    built[10:12] = b"\xff\xff"
    parsed = parse_metadata_table(bytes(built))
    assert (parsed.entry_count, len(parsed.entries)) == (0xFFFF, 2047)


@pytest.mark.parametrize("missing", range(5))
def test_every_mandatory_item_is_missed_and_must_have_its_length(missing):
    rest = ITEMS[:missing] + ITEMS[missing + 1 :]
    assert found(table(*rest)) == ["MET-12"]
    for step in (-1, 1):
        moved = replace(ITEMS[missing], length=ITEMS[missing].length + step, offset=FIRST + 500)
        assert found(table(*rest, moved)) == ["MET-13"]


DISK = DiskParameters(2 * MIB, 0, 64 * MIB, uuid4(), 512, 4096)
AT = {item.item_id: 2 * MIB + item.offset for item in ITEMS}


@given(st.builds(DiskParameters, u32, u32, u64, st.uuids(), u32, u32))
def test_the_parameters_read_back(disk):
    assert parse_disk_parameters(build_disk_parameters(disk)) == disk


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"block_size": 0}, ["MET-15"]),
        ({"block_size": MIB // 2}, ["MET-15"]),
        ({"block_size": 3 * MIB}, ["MET-15"]),
        ({"block_size": 512 * MIB}, ["MET-15"]),
        ({"block_size": 256 * MIB}, []),
        ({"size": 0}, ["MET-16"]),
        ({"size": 513}, ["MET-16"]),
        ({"size": 64 * TIB}, []),
        ({"size": 64 * TIB + 512}, ["MET-16"]),
        ({"size": 512, "logical_sector_size": 4096}, ["MET-16"]),
        ({"logical_sector_size": 1024}, ["MET-17"]),
        ({"logical_sector_size": 0}, ["MET-17"]),
        ({"physical_sector_size": 8192}, ["MET-18"]),
        ({"logical_sector_size": 4096, "physical_sector_size": 512}, []),
        ({"flags": 4}, ["MET-19"]),
        ({"flags": 3}, ["MET-20"]),
        ({"disk_id": NIL}, ["MET-21"]),
    ],
)
def test_what_is_wrong_with_a_parameter_has_its_code(changes, expected):
    findings = list(check_disk_parameters(replace(DISK, **changes), AT))
    assert codes(findings) == expected
    notes = {"MET-20": Severity.NOTE, "MET-21": Severity.WARNING}
    assert all(finding.severity is notes.get(finding.code, Severity.ERROR) for finding in findings)


def test_the_flags_have_names():
    assert replace(DISK, flags=1).is_fixed
    assert replace(DISK, flags=2).has_parent
    assert not DISK.is_fixed
    assert not DISK.has_parent
