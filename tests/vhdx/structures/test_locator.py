"""The parent locator: text in a metadata item."""

import struct
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vhdx.structures.records import codes
from vhdx.structures.constants import NIL
from vhdx.structures.locator import build_locator, check_locator, parse_linkage, parse_locator

GUID = UUID("0d5c6f0e-95a8-4f6c-9d63-0f9d8b7f2a11")
GOOD = (("parent_linkage", f"{{{GUID}}}"), ("relative_path", ".\\base.vhdx"))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


def found(item):
    return codes(check_locator(parse_locator(item), 0, len(item)))


def poked(at, layout, *values):
    item = bytearray(build_locator(GOOD))
    struct.pack_into(layout, item, at, *values)
    return bytes(item)


@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_keys_and_values_read_back(pairs):
    locator = parse_locator(build_locator(pairs))
    assert [(entry.key, entry.value) for entry in locator.entries] == pairs


def test_a_good_locator_gives_no_finding():
    assert found(build_locator(GOOD)) == []


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (poked(0, "<I", 1), ["LOC-03"]),
        (poked(18, "<H", 0), ["LOC-04"]),
        (poked(18, "<H", 0xFFFF), ["LOC-04"]),
        (poked(20, "<I", 1 << 31), ["LOC-05", "LOC-09"]),
        (poked(24, "<I", 1 << 31), ["LOC-05", "LOC-09"]),
        (poked(20, "<I", 0), ["LOC-06", "LOC-09"]),
        (poked(24, "<I", 0), ["LOC-06", "LOC-09"]),
        (poked(28, "<H", 0), ["LOC-06", "LOC-09"]),
        (poked(28, "<H", 27), ["LOC-06", "LOC-09"]),
        (poked(24, "<I", 73), ["LOC-06", "LOC-09"]),
        (build_locator((*GOOD, ("vendor", "a\0b"))), ["LOC-07"]),
        (build_locator((*GOOD, GOOD[1])), ["LOC-08"]),
        (build_locator(GOOD[1:]), ["LOC-09"]),
        (build_locator((("parent_linkage", "{nobody}"), GOOD[1])), ["LOC-09"]),
        (build_locator(GOOD[:1]), ["LOC-10"]),
        (b"", ["LOC-03", "LOC-04"]),
    ],
)
def test_what_is_wrong_has_its_code(item, expected):
    got = found(item)
    assert set(expected) <= set(got)
    assert set(got) - set(expected) <= {"LOC-06", "LOC-07", "LOC-09"}  # what follows from a key that is not read


def test_a_lone_surrogate_is_no_text():
    item = bytearray(build_locator(GOOD))
    item[44:46] = b"\x00\xd8"
    assert "LOC-07" in found(bytes(item))


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_parsed_and_judged(item):
    locator = parse_locator(item)
    assert locator.linkages is not None
    assert locator.paths is not None
    found(item)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{{{GUID}}}", GUID),
        (str(GUID), GUID),
        (f"{{{GUID}}}".upper(), GUID),
        (f"{{{GUID}", GUID),
        (GUID.hex, None),
        (f"urn:uuid:{GUID}", None),
        (f" {GUID}", None),
        ("", None),
        (None, None),
        ("{}", None),
        (f"{GUID}0", None),
    ],
)
def test_a_linkage_is_a_guid_in_either_case_with_or_without_braces(text, expected):
    assert parse_linkage(text) == expected


def test_a_second_linkage_counts_unless_it_is_zero():
    second = uuid4()
    assert parse_locator(build_locator((*GOOD, ("parent_linkage2", f"{{{second}}}")))).linkages == (GUID, second)
    assert parse_locator(build_locator((*GOOD, ("parent_linkage2", f"{{{NIL}}}")))).linkages == (GUID,)
    zero = (("parent_linkage", f"{{{UUID(int=0)}}}"),)
    assert parse_locator(build_locator(zero)).linkages == ()


def test_paths_come_in_the_order_of_trying():
    pairs = (("absolute_win32_path", "C:\\a"), ("volume_path", "v"), ("relative_path", "r"), ("other", "x"))
    locator = parse_locator(build_locator(pairs))
    assert [key for key, _ in locator.paths] == ["relative_path", "volume_path", "absolute_win32_path"]
    assert locator.get("other") == "x"
    assert locator.get("nothing") is None
