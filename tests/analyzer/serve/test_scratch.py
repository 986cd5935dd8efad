"""What is written to a served disk: read back as written, and safe whatever a crash leaves of its file."""

import random
from pathlib import Path

import numpy as np
import pytest

from analyzer.serve.scratch import Scratch
from analyzer.serve.scratch_file import create_scratch, resume_scratch
from analyzer.serve.scratch_layout import BLOCK, PAGE, STRIDE, ScratchHeader, build_header, parse_header
from analyzer.serve.views import WritableView
from tests.support.crashing import PagedFile, Recorder, crash_states
from vhdx.disk import Mask, MaskedDisk
from vhdx.errors import FileSystemFullError, InputOutputError, LostDataError, OutputError
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource

PATH = Path("disk.scratch")
SECTOR = 512
SIZE = 3 * BLOCK + 5 * SECTOR


def header(size=SIZE, sector=SECTOR):
    return ScratchHeader(size=size, sector_size=sector, identity="vhdx 1", below="disk.vhdx")


def blank(head):
    file = PagedFile({}, 0, PATH)
    file.put(0, build_header(head))
    file.resize(head.first_place)
    return file


class Below:
    """A disk of a pattern."""

    def __init__(self, size, sector=SECTOR):
        self.bytes = bytes(range(1, 256)) * (size // 255 + 1)
        self.bytes, self.size, self.sector_size = self.bytes[:size], size, sector
        self.sources = (MemorySource(self.bytes),)

    def windows(self, start=0, end=None):
        yield RunTable.of([(start, (end or self.size) - start, Kind.DATA, 0, start)])

    def error_for(self, run):
        return None


def shown(scratch, below):
    """All that a disk shows with a scratch over it, by the runs of the scratch."""
    disk = bytearray(below.bytes)
    for table in scratch.windows(0, below.size):
        for run in table:
            if run.kind is Kind.DATA:
                part = bytearray(run.length)
                scratch.medium.read_into(run.file_offset, memoryview(part))
                disk[run.start : run.end] = part
            elif run.kind is Kind.ZERO:
                disk[run.start : run.end] = bytes(run.length)
    return bytes(disk)


def change(view, disk, chance, tag, unit):
    """One random change, done to the view and to the model alike; returns its range."""
    size = len(disk)
    start = chance.randrange(size // unit) * unit
    length = min(size - start, chance.choice([1, 2, 7, 300, BLOCK // unit, 2 * BLOCK // unit + 3]) * unit)
    if chance.random() < 0.3:
        start, length = start // BLOCK * BLOCK, min(BLOCK, size - start // BLOCK * BLOCK)
    if chance.random() < 0.4:
        view.zero(start, length)
        disk[start : start + length] = bytes(length)
    else:
        data = bytes([tag]) * length
        view.write(start, memoryview(data))
        disk[start : start + length] = data
    return Range(start, length)


@pytest.mark.parametrize("unit", [SECTOR, 1])
@pytest.mark.parametrize("seed", range(4))
def test_everything_reads_back_as_it_was_written_and_again_by_another_run(seed, unit):
    chance, below, head = random.Random(seed), Below(SIZE), header()
    run = Recorder({PATH: blank(head)})
    scratch, disk = Scratch(run.media[PATH], head), bytearray(below.bytes)
    view = WritableView(below, scratch)
    for tag in range(40):
        change(view, disk, chance, tag, unit)
        if chance.random() < 0.2:
            view.flush()
        start = chance.randrange(SIZE - 5000)
        buffer = bytearray(5000)
        assert not view.read_into(start, memoryview(buffer))
        assert buffer == disk[start : start + 5000]
    assert shown(scratch, below) == disk
    scratch.flush()
    again = Scratch(run.media[PATH], head)
    assert again.load()
    assert shown(again, below) == disk


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_crash_leaves_each_sector_is_what_was_flushed_or_was_written_since(seed):
    chance, below, head = random.Random(seed), Below(2 * BLOCK), header(2 * BLOCK)
    run = Recorder({PATH: blank(head)})
    scratch, disk = Scratch(run.media[PATH], head), bytearray(below.bytes)
    view, history = WritableView(below, scratch), [(0, 0, bytes(disk))]
    flushed = [(0, bytes(disk))]
    for tag in range(1, 13):
        change(view, disk, chance, tag, SECTOR)
        history.append((len(run.operations), tag, bytes(disk)))
        if chance.random() < 0.4:
            scratch.flush()
            flushed.append((len(run.operations), bytes(disk)))
    for step, file in states_with_steps(run, seed):
        found = Scratch(Recorder({PATH: file}).media[PATH], head)
        assert found.load()
        now = shown(found, below)
        durable_at, durable = [each for each in flushed if each[0] <= step][-1]
        since = [each for at, _, each in history if durable_at < at <= step]
        following = [each for at, _, each in history if at > step][:1]  # it was under way
        may_be = [(sectors(each) == sectors(now)).all(axis=1) for each in (durable, *since, *following)]
        assert np.logical_or.reduce(may_be).all(), step


def sectors(disk):
    return np.frombuffer(disk, np.uint64).reshape(-1, SECTOR // 8)


def states_with_steps(run, seed):
    """(steps done, file) of crash states."""
    for words, files in crash_states(run, seed=seed, shuffled=1):
        numbers = [int(word) for word in words.split() if word.isdigit()]
        yield (numbers[0] + 1 if numbers else 0), files[PATH]


def test_a_flush_that_fails_is_made_up_for_by_the_next_one():
    head, below = header(), Below(SIZE)
    run = Recorder({PATH: blank(head)})
    scratch = Scratch(run.media[PATH], head)
    scratch.write(0, memoryview(b"x" * SECTOR))
    medium = run.media[PATH]
    flush, medium.flush = medium.flush, lambda: (_ for _ in ()).throw(InputOutputError(PATH, "flush", "no"))
    with pytest.raises(InputOutputError):
        scratch.flush()
    medium.flush = flush
    scratch.flush()
    again = Scratch(medium, head)
    assert again.load()
    assert shown(again, below)[:SECTOR] == b"x" * SECTOR


def test_more_bits_than_are_kept_are_written_and_read_again(monkeypatch):
    monkeypatch.setattr("analyzer.serve.scratch._MOST_KEPT", 2)
    size = 8 * BLOCK
    head, below = header(size), Below(size)
    run = Recorder({PATH: blank(head)})
    scratch = Scratch(run.media[PATH], head)
    for turn in range(2):
        for block in range(8):
            scratch.write(block * BLOCK + turn * SECTOR, memoryview(b"x" * SECTOR))
    expected = bytearray(below.bytes)
    for block in range(8):
        expected[block * BLOCK : block * BLOCK + 2 * SECTOR] = b"x" * 2 * SECTOR
    assert len(scratch._bits) <= 4
    assert shown(scratch, below) == expected


def test_a_block_of_zeros_takes_no_room_and_its_place_is_used_again():
    head = header()
    run = Recorder({PATH: blank(head)})
    scratch = Scratch(run.media[PATH], head)
    for _ in range(5):
        scratch.write(0, memoryview(b"x" * BLOCK))
        scratch.flush()
        scratch.zero(0, BLOCK)
        scratch.flush()
    file = run.files[PATH]
    assert file.size == head.first_place + STRIDE
    assert sum(any(page) for page in file.pages.values()) < 10


def test_zeros_over_a_whole_large_disk_are_a_table_alone():
    size = 1 << 40
    head = header(size)
    run = Recorder({PATH: blank(head)})
    scratch = Scratch(run.media[PATH], head)
    scratch.zero(0, 1 << 32)
    assert run.files[PATH].size == head.first_place
    (table,) = scratch.windows(0, 1 << 33)
    assert [(run.length, run.kind) for run in table] == [(1 << 32, Kind.ZERO), (1 << 32, Kind.HOLE)]
    assert sum(table.end - table.range.start for table in scratch.windows(0, size)) == size


def test_sectors_of_4096_bytes_have_bits_of_their_own():
    head, below = header(2 * BLOCK, 4096), Below(2 * BLOCK, 4096)
    run = Recorder({PATH: blank(head)})
    scratch = Scratch(run.media[PATH], head)
    view = WritableView(below, scratch)
    view.write(4096 + 100, memoryview(b"x" * 10))
    expected = bytearray(below.bytes)
    expected[4196:4206] = b"x" * 10
    assert shown(scratch, below) == expected
    (table,) = scratch.windows(0, head.size)
    assert [run.length for run in table] == [4096, 4096, 2 * BLOCK - 8192]


def test_a_part_of_a_lost_sector_cannot_be_written_and_all_of_it_can(demo):
    chain, _ = demo
    lost = MaskedDisk(chain, Mask.of(Ranges.of([Range(0, 512)]), chain.size, "gone"))
    head = header(chain.size)
    view = WritableView(lost, Scratch(Recorder({PATH: blank(head)}).media[PATH], head))
    with pytest.raises(LostDataError):
        view.write(10, memoryview(b"x"))
    assert view.read_into(0, memoryview(bytearray(1024)))
    view.write(0, memoryview(b"x" * 512))
    buffer = bytearray(1024)
    assert not view.read_into(0, memoryview(buffer))
    assert buffer == b"x" * 512 + Reader(chain).read(512, 512)


def test_a_full_file_system_is_said_and_what_was_there_stays():
    head, below = header(), Below(SIZE)
    run = Recorder({PATH: blank(head)}, room=BLOCK + 16 * PAGE)
    scratch = Scratch(run.media[PATH], head)
    scratch.write(0, memoryview(b"x" * BLOCK))
    scratch.flush()
    with pytest.raises(FileSystemFullError):
        scratch.write(BLOCK, memoryview(b"y" * BLOCK))
    assert shown(scratch, below)[:BLOCK] == b"x" * BLOCK


def test_a_file_of_another_disk_is_not_taken_over(tmp_path):
    path = tmp_path / "f"
    create_scratch(path, header()).close()
    resume_scratch(path, header()).close()
    for other in (header(size=SIZE + 512), ScratchHeader(size=SIZE, sector_size=512, identity="x", below="y")):
        with pytest.raises(OutputError, match="another disk"):
            resume_scratch(path, other)
    with pytest.raises(OutputError, match="exists"):
        create_scratch(path, header())
    with resume_scratch(path, header()), pytest.raises(OutputError, match="another program"):
        resume_scratch(path, header())


def test_a_file_that_is_none_or_is_damaged_is_refused(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"")
    with pytest.raises(OutputError, match="no scratch file"):
        resume_scratch(path, header())
    with create_scratch(tmp_path / "g", header()) as file:
        file.scratch.write(0, memoryview(b"x" * 512))
    content = (tmp_path / "g").read_bytes()
    for entry in (1 << 40 | 2, 2, 3, 4096 | 2, header().first_place + 512 | 2):
        path.write_bytes(content[: 1 << 20] + entry.to_bytes(8, "little") + content[(1 << 20) + 8 :])
        with pytest.raises(OutputError, match="damaged"):
            resume_scratch(path, header())
    for length in (100, PAGE, len(content) - STRIDE):
        path.write_bytes(content[:length])
        with pytest.raises((OutputError, InputOutputError, Exception)) as caught:
            resume_scratch(path, header())
        assert caught.value.exit_code in {3, 5, 6}


def test_a_header_is_read_as_it_was_written_and_noise_is_none():
    assert parse_header(build_header(header())) == header()
    chance, page = random.Random(1), build_header(header())
    for _ in range(200):
        at = chance.randrange(200)
        assert parse_header(page[:at] + bytes([page[at] ^ 1 << chance.randrange(8)]) + page[at + 1 :]) is None
