"""Region tables: bytes and records, and everything that can be wrong with two copies."""

from uuid import uuid4

import pytest
from hypothesis import given

from tests.vhdx.structures.records import codes, region_tables
from vhdx.findings import Severity
from vhdx.ranges import NamedRange
from vhdx.structures.constants import BAT_REGION, METADATA_REGION, MIB
from vhdx.structures.region import (
    RegionEntry,
    RegionTable,
    build_region_table,
    check_layout,
    check_region_tables,
    judge_region_tables,
    parse_region_table,
)

SIZE = 32 * MIB
BAT = RegionEntry(BAT_REGION, 3 * MIB, MIB, 1)
METADATA = RegionEntry(METADATA_REGION, 2 * MIB, MIB, 1)


def page(*entries, reserved=0, count=None):
    return build_region_table(RegionTable(b"regi", 0, len(entries) if count is None else count, reserved, entries))


def found(first, second=None, size=SIZE):
    pair = judge_region_tables((first, first if second is None else second))
    return pair, list(check_region_tables(pair, size))


@given(region_tables())
def test_a_table_reads_back(table):
    built = build_region_table(table)
    parsed = parse_region_table(built)
    assert len(built) == 65536
    assert (parsed.entries, parsed.reserved, parsed.entry_count) == (table.entries, table.reserved, table.entry_count)


def test_a_good_table_gives_no_finding():
    pair, findings = found(page(BAT, METADATA))
    assert findings == []
    assert pair.current.find(BAT_REGION) == BAT
    assert pair.current.find(uuid4()) is None
    assert (BAT.name, BAT.end, BAT.is_required) == ("BAT", 4 * MIB, True)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((BAT, METADATA, RegionEntry(uuid4(), 8 * MIB, MIB, 1)), ["REG-11"]),
        ((BAT, METADATA, RegionEntry(uuid4(), 8 * MIB, MIB, 0)), ["REG-12"]),
        ((BAT, RegionEntry(METADATA_REGION, 2 * MIB, MIB, 0)), ["REG-14"]),
        ((BAT, RegionEntry(METADATA_REGION, 2 * MIB + 4096, MIB, 1)), ["REG-08"]),
        ((BAT, RegionEntry(METADATA_REGION, 2 * MIB, MIB + 1, 1)), ["REG-08"]),
        ((BAT, RegionEntry(METADATA_REGION, 2 * MIB, 0, 1)), ["REG-08"]),
        ((BAT, RegionEntry(METADATA_REGION, 0, MIB, 1)), ["REG-08"]),
        ((BAT, RegionEntry(METADATA_REGION, SIZE, MIB, 1)), ["REG-09"]),
        ((BAT, RegionEntry(METADATA_REGION, (1 << 64) - MIB, MIB, 1)), ["REG-09"]),
        ((BAT, METADATA, METADATA), ["REG-10"]),
        ((BAT,), ["REG-13"]),
        ((METADATA,), ["REG-13"]),
        ((), ["REG-13", "REG-13"]),
    ],
)
def test_what_is_wrong_with_an_entry_has_its_code(entries, expected):
    assert codes(found(page(*entries))[1]) == expected


def test_the_count_and_the_reserved_field_are_judged():
    assert codes(found(page(BAT, METADATA, reserved=1))[1]) == ["REG-07"]
    pair, findings = found(page(BAT, METADATA, count=2048))
    assert codes(findings) == ["REG-06"], "entries that nobody wrote are not judged"
    assert len(pair.current.entries) == 2047


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("damage", ["signature", "checksum"])
def test_one_damaged_copy_is_a_warning_and_the_other_serves(bad, damage):
    good = page(BAT, METADATA)
    pages = [good, good]
    pages[bad] = b"rage" + good[4:] if damage == "signature" else good[:-1] + b"\1"
    pair, findings = found(*pages)
    assert codes(findings) == ["REG-03"]
    assert findings[0].severity is Severity.WARNING
    assert pair.current_copy == 1 - bad
    assert pair.current.entries == (BAT, METADATA)


def test_two_damaged_copies_are_an_error_alone():
    assert codes(found(bytes(65536))[1]) == ["REG-04"]


def test_valid_copies_that_differ_are_a_warning_and_the_first_serves():
    other = RegionEntry(BAT_REGION, 9 * MIB, MIB, 1)
    pair, findings = found(page(BAT, METADATA), page(other, METADATA))
    assert codes(findings) == ["REG-05"]
    assert pair.current.find(BAT_REGION) == BAT


def test_structures_that_overlap_are_named():
    touching = [NamedRange(0, 5, "a"), NamedRange(5, 4, "b")]
    assert list(check_layout(touching)) == []
    (finding,) = check_layout([*touching, NamedRange(8, 4, "c")])
    assert finding.code == "REG-15"
    assert "b" in finding.message
    assert "c" in finding.message


def test_a_long_structure_overlaps_all_that_are_inside_it():
    findings = list(check_layout([NamedRange(0, 10, "long"), NamedRange(2, 2, "first"), NamedRange(6, 2, "second")]))
    assert len(findings) == 2
