"""Log entries, and which of them are alive."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import Fault, LogSpec, PageWrite, ZeroRange, encode
from fixtures.recipes.kit import disk
from tests.support.effort import calls_of
from tests.support.sources import image_of
from tests.vhdx.structures.records import build_entry, codes, log_headers
from vhdx.errors import CorruptFileError
from vhdx.structures.log import (
    LogHeader,
    Write,
    check_entry,
    check_log_header,
    parse_entry,
    parse_log_header,
)

KIB, MIB, PAGE = 1 << 10, 1 << 20, 4096
GUID = UUID(int=99)
HEAD = LogHeader(b"loge", 0, 0, 0, (7 << 32) + 5, 0, 0, GUID, MIB, MIB)
TARGET = 3 * MIB
pages = st.binary(min_size=16, max_size=16).map(lambda data: data * 256)
writes = st.lists(
    st.builds(Write, st.integers(48, 1000).map(lambda n: n * PAGE), st.just(PAGE), pages)
    | st.builds(
        Write, st.integers(48, 1000).map(lambda n: n * PAGE), st.integers(0, 50).map(lambda n: n * PAGE), st.none()
    ),
    max_size=8,
)


@given(log_headers)
def test_an_entrys_header_reads_back(header):
    parsed = parse_log_header(build_entry(header, []))
    same = {"checksum": 0, "entry_length": 0, "descriptor_count": 0}
    assert replace(parsed, **same) == replace(header, **same)
    assert (parsed.entry_length, parsed.descriptor_count) == (PAGE, 0)


@given(writes)
def test_an_entry_gives_back_its_writes(todo):
    raw = build_entry(HEAD, todo)
    entry = parse_entry(raw)
    assert list(entry.writes()) == todo
    assert entry.header.entry_length == len(raw)
    assert list(check_log_header(entry.header, 0, MIB)) == []
    assert list(check_entry(entry, 0, 900 * MIB, MIB)) == []


@given(writes, st.integers(0), st.integers(0, 7))
def test_an_entry_with_any_bit_flipped_is_not_valid(todo, at, bit):
    raw = bytearray(build_entry(HEAD, todo))
    raw[at % len(raw)] ^= 1 << bit
    header = parse_log_header(bytes(raw))
    flaws = codes(check_log_header(header, 0, MIB))
    if not flaws:
        flaws = codes(check_entry(parse_entry(bytes(raw)), 0, 900 * MIB, MIB))
    assert set(flaws) == {"LOG-04"}


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": b"loga"},
        {"entry_length": 0},
        {"entry_length": PAGE + 512},
        {"entry_length": MIB + PAGE},
        {"descriptor_count": 127},
        {"descriptor_count": (1 << 32) - 1},
        {"tail": 512},
        {"tail": MIB},
        {"sequence_number": 0},
    ],
)
def test_a_header_that_cannot_be_is_refused(changes):
    good = replace(HEAD, entry_length=PAGE, descriptor_count=126)
    assert list(check_log_header(good, 0, MIB)) == []
    assert set(codes(check_log_header(replace(good, **changes), 0, MIB))) == {"LOG-04"}


PAGE_WRITE = Write(TARGET, PAGE, b"\x5a" * PAGE)


def reasons(*todo, poke=None, log_start=MIB):
    raw = bytearray(build_entry(HEAD, list(todo)))
    if poke:
        from vhdx.structures.fields import with_checksum

        at, data = poke
        raw[at : at + len(data)] = data
        raw = with_checksum(bytes(raw))
    return [finding.message for finding in check_entry(parse_entry(bytes(raw)), 0, log_start, MIB)]


@pytest.mark.parametrize(
    ("todo", "poke", "words"),
    [
        (PAGE_WRITE, (64, b"dusc"), "unknown signature"),
        (PAGE_WRITE, (64 + 24, b"\0"), "another sequence number"),
        (PAGE_WRITE, (PAGE, b"dat0"), "another signature"),
        (PAGE_WRITE, (PAGE + 4, b"\0"), "another sequence number"),
        (PAGE_WRITE, (2 * PAGE - 4, b"\0"), "another sequence number"),
        (replace(PAGE_WRITE, file_offset=TARGET + 512), None, "multiple of 4 KiB"),
        (Write(TARGET, 100, None), None, "multiple of 4 KiB"),
        (replace(PAGE_WRITE, file_offset=188 * KIB), None, "headers"),
        (Write(0, PAGE, None), None, "headers"),
        (Write((1 << 64) - PAGE, 2 * PAGE, None), None, "past the end"),
        (replace(PAGE_WRITE, file_offset=MIB), None, "the log itself"),
        (Write(256 * KIB, 2 * MIB, None), None, "the log itself"),
        (replace(PAGE_WRITE, file_offset=2 * MIB - PAGE), None, "the log itself"),
    ],
)
def test_a_descriptor_that_must_not_be_applied_says_why(todo, poke, words):
    found = reasons(todo, poke=poke)
    assert any(words in reason for reason in found), found


@pytest.mark.parametrize("at", [192 * KIB, MIB - PAGE, 2 * MIB])
def test_everything_from_the_region_tables_on_but_the_log_may_be_a_target(at):
    assert reasons(replace(PAGE_WRITE, file_offset=at)) == []


def test_an_entry_without_enough_data_sectors_is_refused():
    raw = bytearray(build_entry(HEAD, [PAGE_WRITE])[:PAGE])
    raw[8:12] = PAGE.to_bytes(4, "little")
    from vhdx.structures.fields import with_checksum

    found = [finding.message for finding in check_entry(parse_entry(with_checksum(bytes(raw))), 0, MIB, MIB)]
    assert any("data sectors" in reason for reason in found)


# The log as a whole. Each entry sets one page of free space to its own number.

FREE = 20 * MIB


def page(number):
    return PageWrite(FREE, bytes([number]) * PAGE)


def opened(*logs, log_length=MIB):
    live, *old = logs
    spec = replace(disk("log-unit"), log=live, old_logs=tuple(old), log_length=log_length)
    file = encode(replace(spec, layout=replace(spec.layout, tail_mib=20)))
    return image_of(file)


def seen(image):
    buffer = bytearray(PAGE)
    image.source.read_into(FREE, memoryview(buffer))
    assert len(set(buffer)) == 1
    return buffer[0]


def session(*numbers, **options):
    return LogSpec(guid=GUID, entries=tuple((page(number),) for number in numbers), **options)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_entries_are_applied_in_order_and_the_last_one_counts(count):
    image = opened(session(*range(1, count + 1)))
    assert seen(image) == count
    assert len(image.log.active) == count
    assert image.log_was_replayed


@pytest.mark.parametrize("start", [MIB - PAGE, MIB - 2 * PAGE, MIB - 3 * PAGE, MIB - 7 * PAGE])
def test_entries_may_go_around_the_end_of_the_ring(start):
    image = opened(session(1, 2, 3, 4, start=start))
    assert seen(image) == 4
    assert image.log.active[0] == start


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_entry_ends_the_sequence(fault, torn):
    image = opened(session(1, 2, 3, 4, faults={torn: fault}))
    assert seen(image) == torn
    found = {finding.code for finding in image.findings}
    assert ("LOG-05" in found) == (torn < 3)
    assert "LOG-01" in found


def test_a_tail_in_the_middle_leaves_out_what_came_before():
    image = opened(session(1, 2, 3, 4, tail_entry=2))
    assert len(image.log.active) == 2
    assert seen(image) == 4


def test_a_sequence_whose_tail_is_lost_is_refused():
    for faults in ({0: Fault.FLIPPED}, {0: Fault.HEADLESS}, {0: Fault.TORN}):
        with pytest.raises(CorruptFileError) as caught:
            opened(session(1, 2, 3, faults=faults))
        assert caught.value.finding.code == "LOG-02"


def test_entries_of_other_sessions_are_never_applied():
    old = LogSpec(guid=uuid4(), entries=((page(99),),) * 3, start=40 * PAGE, first_sequence=9000)
    image = opened(session(1, 2), old)
    assert seen(image) == 2
    assert len(image.log.places) == 5


def test_of_two_sequences_of_one_session_the_newer_one_wins():
    older = session(7, 8, start=60 * PAGE, first_sequence=10)
    image = opened(session(1, 2, first_sequence=41), older)
    assert seen(image) == 2
    image = opened(session(1, 2, first_sequence=3), older)
    assert seen(image) == 8


def test_a_closed_log_is_not_replayed_although_it_holds_entries():
    spec = replace(disk("log-closed"), old_logs=(session(5),))
    image = image_of(encode(replace(spec, layout=replace(spec.layout, tail_mib=20))))
    assert not image.log_was_replayed
    assert seen(image) == 0
    assert image.source is image.file


def test_zero_ranges_and_pages_hide_one_another_in_the_order_of_writing():
    spec = LogSpec(guid=GUID, entries=((page(3),), (ZeroRange(FREE, 2 * PAGE),)))
    assert seen(opened(spec)) == 0
    spec = LogSpec(guid=GUID, entries=((ZeroRange(FREE - PAGE, 8 * PAGE),), (page(4),)))
    assert seen(opened(spec)) == 4


def test_replay_makes_the_file_as_long_as_the_log_says():
    image = opened(session(1, last_file_offset=30 * MIB))
    assert image.source.size == 30 * MIB > image.file.size
    buffer = bytearray(b"x" * PAGE)
    image.source.read_into(30 * MIB - PAGE, memoryview(buffer))
    assert not any(buffer)


def test_a_file_shorter_than_its_log_knows_is_refused():
    with pytest.raises(CorruptFileError) as caught:
        opened(session(1, flushed_file_offset=1000 * MIB))
    assert caught.value.finding.code == "LOG-03"


def test_an_entry_can_be_as_large_as_the_log():
    count = 252
    entry = tuple(PageWrite(FREE + n * PAGE, bytes([n % 255 + 1]) * PAGE) for n in range(count))
    image = opened(LogSpec(guid=GUID, entries=(entry,), start=100 * PAGE))
    assert len(image.log.active) == 1
    buffer = bytearray(count * PAGE)
    image.source.read_into(FREE, memoryview(buffer))
    assert bytes(buffer) == b"".join(write.page for write in entry)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5), st.booleans()), min_size=1, max_size=12))
def test_replay_equals_writing_to_a_bytearray(steps):
    area, entries = bytearray(20 * PAGE), []
    for number, (first, count, zero) in enumerate(steps, 1):
        at, length = first * PAGE, count * PAGE
        if zero:
            entries.append((ZeroRange(FREE + at, length),))
            area[at : at + length] = bytes(length)
        else:
            entries.append(tuple(PageWrite(FREE + at + n * PAGE, bytes([number]) * PAGE) for n in range(count)))
            area[at : at + length] = bytes([number]) * length
    image = opened(LogSpec(guid=GUID, entries=tuple(entries), start=MIB - 5 * PAGE))
    buffer = bytearray(len(area))
    image.source.read_into(FREE, memoryview(buffer))
    assert buffer == area
    part = bytearray(5000)
    image.source.read_into(FREE + 3000, memoryview(part))
    assert part == area[3000:8000]


@pytest.mark.slow
def test_a_log_full_of_signatures_is_judged_with_bounded_work():
    """Every sector claims to begin an entry of the whole ring: the work must not grow with the square of it."""
    sectors = 16 * MIB // PAGE - 10
    spec = replace(disk("log-bomb"), log=session(1), log_length=16 * MIB)
    bomb = build_entry(replace(HEAD, log_guid=GUID), [])[:PAGE]
    bomb = bomb[:8] + (16 * MIB).to_bytes(4, "little") + bomb[12:]
    file = encode(replace(spec, layout=replace(spec.layout, tail_mib=20))).patched(MIB + 10 * PAGE, bomb * sectors)
    calls, image = calls_of(lambda: image_of(file))
    assert seen(image) == 1
    assert calls < 500 * sectors  # 186 of each; one look at the others from each would be 4,086


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - MIB])
def test_a_log_that_makes_the_file_longer_than_any_file_is_refused(size):
    with pytest.raises(CorruptFileError):
        opened(session(1, last_file_offset=size)).runs()


@pytest.mark.parametrize("place", [1 << 63, (1 << 64) - 2 * PAGE])
def test_a_log_that_writes_where_no_file_can_reach_is_refused(place):
    log = LogSpec(guid=GUID, entries=((PageWrite(place, b"x" * PAGE),),), last_file_offset=30 * MIB)
    with pytest.raises(CorruptFileError):
        opened(log).runs()
