"""Headers: bytes and records, and which of two is current."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from construct import StreamError
from hypothesis import given
from hypothesis import strategies as st

from tests.vhdx.structures.records import codes, headers
from vhdx.findings import Severity
from vhdx.structures.constants import HEADER_OFFSETS, MIB, NIL
from vhdx.structures.header import Header, build_header, check_header, check_headers, judge_headers, parse_header

SIZE = 64 * MIB
GOOD = Header(b"head", 0, 5, uuid4(), uuid4(), NIL, 0, 1, MIB, MIB)


def page(**changes):
    return build_header(replace(GOOD, **changes))


def judged(first, second, size=SIZE):
    pair = judge_headers((first, second))
    return pair, codes(check_headers(pair, size))


@given(headers)
def test_a_header_reads_back_with_its_checksum_made_right(header):
    built = build_header(header)
    assert len(built) == 4096
    parsed = parse_header(built)
    assert replace(parsed, checksum=0) == replace(header, checksum=0)
    assert codes(check_header(parsed, built, 0)) == ([] if header.signature == b"head" else ["HDR-01"])


def test_the_layout_is_that_of_the_specification():
    built = page(sequence_number=0x0102030405060708, log_version=0xAABB, version=0xCCDD, log_length=7, log_offset=9)
    assert built[:4] == b"head"
    assert built[8:16] == bytes.fromhex("0807060504030201")
    assert built[16:32] == GOOD.file_write_guid.bytes_le
    assert built[32:48] == GOOD.data_write_guid.bytes_le
    assert built[48:64] == bytes(16)
    assert built[64:68] == bytes.fromhex("bbaaddcc")
    assert built[68:72] == (7).to_bytes(4, "little")
    assert built[72:80] == (9).to_bytes(8, "little")
    assert not any(built[80:])


@given(st.integers(0, 4095), st.integers(0, 7))
def test_a_header_with_any_bit_flipped_is_not_believed(at, bit):
    built = bytearray(page())
    built[at] ^= 1 << bit
    found = codes(check_header(parse_header(bytes(built)), bytes(built), HEADER_OFFSETS[0]))
    assert found == (["HDR-01"] if at < 4 else ["HDR-02"])


def test_half_a_header_is_no_header():
    with pytest.raises(StreamError):
        parse_header(page()[:79])


@pytest.mark.parametrize(("first", "second", "current"), [(5, 6, 1), (6, 5, 0), (0, 1, 1), ((1 << 64) - 1, 0, 0)])
def test_the_greater_sequence_number_is_current(first, second, current):
    pair, found = judged(page(sequence_number=first), page(sequence_number=second))
    assert pair.current_copy == current
    assert pair.current.sequence_number == max(first, second)
    assert pair.previous.sequence_number == min(first, second)
    assert found == []


def test_identical_twins_are_a_note_and_the_first_serves():
    pair, found = judged(page(), page())
    assert (pair.current_copy, found) == (0, ["HDR-06"])


def test_different_twins_are_an_error():
    _, found = judged(page(), page(data_write_guid=uuid4()))
    assert found == ["HDR-05"]


@pytest.mark.parametrize("bad", [0, 1])
def test_one_damaged_copy_is_a_warning_and_the_other_serves(bad):
    pages = [page(sequence_number=5), page(sequence_number=6)]
    pages[bad] = bytes(4096)
    pair = judge_headers(tuple(pages))
    finding = next(iter(check_headers(pair, SIZE)))
    assert (finding.code, finding.severity, finding.offset) == ("HDR-03", Severity.WARNING, HEADER_OFFSETS[bad])
    assert pair.current_copy == 1 - bad
    assert pair.previous is None


def test_two_damaged_copies_are_an_error_that_tells_both_reasons():
    damaged = page()[:-1] + b"\1"
    pair = judge_headers((bytes(4096), damaged))
    findings = list(check_headers(pair, SIZE))
    assert codes(findings) == ["HDR-04"]
    assert "signature" in findings[0].message
    assert "checksum" in findings[0].message
    assert pair.current_copy is None


LIVE = UUID(int=7)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"version": 0}, ["HDR-07"]),
        ({"version": 2}, ["HDR-07"]),
        ({"log_version": 1}, ["HDR-08"]),
        ({"log_version": 1, "log_guid": LIVE}, ["HDR-08"]),
        ({"log_guid": LIVE}, []),
        ({"log_guid": LIVE, "log_length": 0}, ["HDR-10"]),
        ({"log_length": 0, "log_offset": 5}, []),
        ({"log_length": MIB + 4096}, ["HDR-09"]),
        ({"log_offset": MIB + 4096}, ["HDR-09"]),
        ({"log_offset": 0}, ["HDR-09"]),
        ({"log_offset": SIZE}, ["HDR-11"]),
        ({"log_offset": SIZE - MIB}, []),
        ({"log_offset": (1 << 64) - MIB}, ["HDR-11"]),
    ],
)
def test_the_current_header_alone_is_judged(changes, expected):
    _, found = judged(page(sequence_number=9, **changes), page(sequence_number=8, version=7))
    assert found == expected


def test_an_unknown_log_version_is_an_error_only_while_the_log_is_live():
    for guid, severity in ((NIL, Severity.NOTE), (LIVE, Severity.ERROR)):
        pair = judge_headers((page(log_version=1, log_guid=guid), bytes(4096)))
        found = [finding for finding in check_headers(pair, SIZE) if finding.code == "HDR-08"]
        assert [finding.severity for finding in found] == [severity]
