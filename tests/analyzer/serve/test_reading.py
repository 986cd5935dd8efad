"""What clients read of a disk that is served: all of it, what is known of each range, and errors where it is lost."""

import os
from itertools import accumulate

import pytest

import vhdx
from analyzer.serve.contexts import NO_LAYER
from analyzer.serve.export import Export
from analyzer.serve.spans import WORTH_TELLING
from tests.analyzer.serve.speaker import DF, FLUSH, ONE, READ, STATUS, TRIM, WRITE, Speaker
from tests.support.runs_disk import RunsDisk
from vhdx import sending
from vhdx.disk import Mask, MaskedDisk
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind, Run
from vhdx.source import FileSource
from vhdx.system.sockets import SENDS_FILES

MIB = 1 << 20
ALLOCATION, LAYER, KNOWN = "base:allocation", "vhdx:layer", "vhdx:status"
EIO, EINVAL, EPERM, EOVERFLOW = 5, 22, 1, 75


def held(model):
    """Ranges of a disk of which all have something to compare: its ends, and what is written near its front."""
    return (0, 24 * MIB), (model.size - 3 * MIB, 3 * MIB)


@pytest.mark.parametrize("way", ["sent", "read", "simple"])
def test_every_state_is_served_byte_for_byte(demo, served, monkeypatch, way):
    monkeypatch.setattr(sending, "SENDS_FILES", SENDS_FILES and way == "sent")
    chain, models = demo
    states = {f"@{layer}": chain.upto(layer) for layer in range(3)}
    server = served(**states)
    for layer, name in enumerate(states):
        with Speaker(server.address) as speaker:
            size, _ = speaker.begin(name, structured=way != "simple")
            model = models[layer]
            assert size == model.size
            for start, length in held(model):
                assert speaker.ask(READ, start, length).bytes(start, length) == model.read(start, length)


def test_contexts_say_what_the_runs_say(demo, served):
    chain, _ = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk", [ALLOCATION, LAYER, KNOWN])
        reply = speaker.ask(STATUS, 0, chain.size)
    told = {name: reply.extents[number] for name, number in speaker.numbers.items()}
    for extents in told.values():
        assert sum(length for length, _ in extents) == chain.size
    for run in chain.runs():
        assert said_at(told[ALLOCATION], run.start) == (0 if run.kind is Kind.DATA else 3)
        assert said_at(told[LAYER], run.start) == (NO_LAYER if run.kind is Kind.HOLE else run.layer)
    assert told[KNOWN] == [(chain.size, 0)]


def said_at(extents, start):
    ends = accumulate(length for length, _ in extents)
    return next(status for (_, status), end in zip(extents, ends, strict=True) if start < end)


def test_one_range_at_a_time_is_told_to_who_asks_so(demo, served):
    chain, _ = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk", [ALLOCATION])
        position, kinds = 0, []
        while position < chain.size:
            (extent,) = speaker.ask(STATUS, position, chain.size - position, ONE).extents.popitem()[1]
            kinds.append(extent[1])
            position += extent[0]
        assert position == chain.size
        assert kinds == [0, 3] * (len(kinds) // 2) + [0] * (len(kinds) % 2)


def test_what_is_lost_is_an_error_at_exactly_its_sectors_and_says_why(demo, served):
    chain, models = demo
    lost = Ranges.of([Range(1024, 512), Range(3 * MIB - 512, 1024)])
    disk = MaskedDisk(chain, Mask.of(lost, chain.size, "the moon ate it"))
    model = models[-1].read(0, 4 * MIB)
    with Speaker(served(disk=disk).address) as speaker:
        speaker.begin("disk", [ALLOCATION, KNOWN])
        for sector in range(8):
            reply = speaker.ask(READ, sector * 512, 512)
            assert reply.error == (EIO if sector == 2 else 0)
        reply = speaker.ask(READ, 0, 4 * MIB)
        # Those that follow one another are one error, or one for each piece that is read.
        assert {1024, 3 * MIB - 512} <= {place for place, _, _ in reply.reasons} <= {1024, 3 * MIB - 512, 3 * MIB}
        assert all("the moon ate it" in reason for _, _, reason in reply.reasons)
        known = reply.bytes(0, 4 * MIB)
        for part, is_lost in lost.split(Range(0, 4 * MIB)):
            assert known[part.start : part.end] == (bytes(part.length) if is_lost else model[part.start : part.end])
        said = speaker.ask(STATUS, 0, 4 * MIB).extents
        assert said[speaker.numbers[KNOWN]][:3] == [(1024, 0), (512, 2), (3 * MIB - 2048, 0)]
        assert said_at(said[speaker.numbers[ALLOCATION]], 1024) == 0  # to be read, or a copy would take it for zeros


@pytest.mark.skipif(not SENDS_FILES, reason="this system sends no files by sockets")
def test_what_fails_while_it_is_sent_is_an_error_behind_its_chunk_and_the_next_request_is_served(tmp_path, served):
    path = tmp_path / "file"
    path.write_bytes(b"x" * MIB)
    with FileSource(path) as source:
        disk = RunsDisk([source], [Run(0, MIB, Kind.DATA, 0, 0)])
        with Speaker(served(disk=disk).address) as speaker:
            speaker.begin("disk")
            os.truncate(path, 300_000)  # nobody looks whether it changed
            reply = speaker.ask(READ, 4096, MIB - 4096)
            assert (reply.error, len(reply.reasons)) == (EIO, 1)
            assert "300000" in reply.reasons[0][2].replace(",", "")
            assert reply.bytes(4096, MIB - 4096)[: reply.reasons[0][0] - 4096] == b"x" * (reply.reasons[0][0] - 4096)
            assert not speaker.ask(READ, 0, 64 << 10).error


def test_zeros_are_told_and_not_sent_but_to_who_wants_one_chunk(tmp_path, served):
    path = tmp_path / "file"
    path.write_bytes(b"x" * MIB)
    with FileSource(path) as source:
        runs = [Run(0, MIB, Kind.DATA, 0, 0), Run(MIB, WORTH_TELLING, Kind.ZERO, 0, 0)]
        runs += [Run(runs[-1].end, 4096, Kind.DATA, 0, 0), Run(runs[-1].end + 4096, 4096, Kind.HOLE, 0, 0)]
        disk = RunsDisk([source], runs)
        expected = b"x" * MIB + bytes(WORTH_TELLING) + b"x" * 4096 + bytes(4096)
        with Speaker(served(disk=disk).address) as speaker:
            speaker.begin("disk")
            reply = speaker.ask(READ, 0, disk.size)
            assert reply.bytes(0, disk.size) == expected
            assert reply.holes == ({MIB: WORTH_TELLING} if SENDS_FILES else {})
            assert speaker.ask(READ, MIB, WORTH_TELLING, DF).data == {MIB: bytes(WORTH_TELLING)}


def test_what_is_lost_is_an_error_to_a_client_of_the_simple_kind_and_it_goes_on(demo, served):
    chain, _ = demo
    disk = MaskedDisk(chain, Mask.of(Ranges.of([Range(0, 512)]), chain.size, "gone"))
    with Speaker(served(disk=disk).address) as speaker:
        speaker.begin("disk", structured=False)
        assert speaker.ask(READ, 0, MIB).error == EIO
        assert not speaker.ask(READ, 512, 512).error


def test_ranges_of_an_older_state_are_told(demo, served):
    chain, _ = demo
    export = Export("disk", chain, "x", Ranges.of([Range(512, 1024)]))
    with Speaker(served(export).address) as speaker:
        speaker.begin("disk", [KNOWN])
        assert speaker.ask(STATUS, 0, MIB).extents.popitem()[1] == [(512, 0), (1024, 1), (MIB - 1536, 0)]


def test_a_source_that_changes_ends_reads_with_a_sentence(chain, served):
    leaf, _ = chain
    with vhdx.open_chain(leaf) as disk:
        server = served(disk=disk)
        with Speaker(server.address) as speaker:
            speaker.begin("disk")
            assert not speaker.ask(READ, 0, 512).error
            os.utime(disk.base.path, ns=(1, 1))
            replies = iter(lambda: speaker.ask(READ, 0, 512), None)
            reply = next(reply for reply in replies if reply.error)
            assert "was changed while it was read" in reply.reasons[0][2]
            assert speaker.ask(READ, 4096, 512).error == EIO


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ((READ, 64 * MIB - 512, 1024), EINVAL),
        ((READ, 1 << 63, 512), EINVAL),
        ((READ, 0, 33 * MIB), EOVERFLOW),
        ((READ, 0, 2 * MIB, DF), EOVERFLOW),
        ((READ, 0, 512, 0x80), EINVAL),
        ((STATUS, 0, 512), EINVAL),
        ((TRIM, 0, 512), EPERM),
        ((FLUSH, 0, 0), EPERM),
        ((99, 0, 512), EINVAL),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_and_the_next_one_is_served(demo, served, request_, error):
    chain, _ = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk")
        reply = speaker.ask(*request_)
        assert reply.error == error
        assert reply.reasons[0][2]
        assert not speaker.ask(READ, 0, 512, DF).error


def test_what_is_written_to_a_disk_that_is_read_only_is_refused_whole(demo, served):
    chain, models = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk")
        assert speaker.ask(WRITE, 0, 3 * MIB, payload=b"x" * 3 * MIB).error == EPERM
        assert speaker.ask(READ, 0, 512).bytes(0, 512) == models[-1].read(0, 512)


def test_requests_that_are_sent_together_are_answered_in_turn(demo, served):
    chain, models = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk")
        cookies = [speaker.send(READ, number * 4096, 4096) for number in range(200)]
        model = models[-1]
        for number, cookie in enumerate(cookies):
            assert speaker.reply(cookie).data[number * 4096] == model.read(number * 4096, 4096)


def test_a_disk_of_4096_byte_sectors_says_so(built, served):
    leaf, _ = built("sectors-4096")
    with vhdx.open_chain(leaf) as disk, Speaker(served(disk=disk).address) as speaker:
        speaker.hello()
        infos = speaker.option(7, b"\0\0\0\4disk\0\1\0\3")
    blocks = next(data for kind, data in infos if data[:2] == b"\0\3")
    assert int.from_bytes(blocks[2:6], "big") == 4096
