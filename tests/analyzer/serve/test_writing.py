"""What clients write to a disk that is served: seen by all of them, told in block status, and never in a source."""

import threading

import pytest

import vhdx
from analyzer.convert.model import Options
from analyzer.serve.contexts import NO_LAYER
from analyzer.serve.export import Export
from analyzer.serve.save import plan_save, run_save
from analyzer.serve.scratch import Scratch
from analyzer.serve.scratch_file import create_scratch, resume_scratch
from analyzer.serve.scratch_layout import ScratchHeader
from tests.analyzer.serve.speaker import FLUSH, FUA, NO_HOLE, READ, STATUS, TRIM, WRITE, WRITE_ZEROES, Speaker
from tests.support.crashing import Recorder
from vhdx.disk import Mask, MaskedDisk
from vhdx.ranges import Range, Ranges

MIB = 1 << 20
ENOSPC, EIO, EINVAL = 28, 5, 22
ALLOCATION, LAYER = "base:allocation", "vhdx:layer"
HAS, FLUSHES, FUAS, TRIMS, ZEROES = 1, 4, 8, 32, 64


def header_of(disk):
    return ScratchHeader(size=disk.size, sector_size=disk.sector_size, identity="x", below="disk.vhdx")


@pytest.fixture
def writable(tmp_path):
    """Makes an export that clients may write to."""
    files = []

    def make(disk):
        files.append(create_scratch(tmp_path / f"{len(files)}.scratch", header_of(disk)))
        return Export("", disk, "disk.vhdx", scratch=files[-1].scratch)

    yield make
    for file in files:
        file.close()


def test_what_is_written_is_read_by_every_client_and_unaligned_too(demo, served, writable):
    chain, models = demo
    expected = bytearray(models[-1].read(0, 4 * MIB))
    server = served(writable(chain))
    with Speaker(server.address) as first, Speaker(server.address) as second:
        _, flags = first.begin()
        assert flags & (HAS | FLUSHES | FUAS | TRIMS | ZEROES) == HAS | FLUSHES | FUAS | TRIMS | ZEROES
        assert not flags & 2
        second.begin(structured=False)
        changes = [
            (WRITE, 0, 512, 0), (WRITE, 1000, 3000, FUA), (WRITE, MIB - 7, 2 * MIB, 0), (TRIM, 4096, 4096, 0),
            (WRITE_ZEROES, 2 * MIB + 3, 10_000, NO_HOLE | FUA), (WRITE, 5, 0, 0),
        ]  # fmt: skip
        for number, (command, start, length, flag) in enumerate(changes, 1):
            data = bytes([number]) * length if command == WRITE else b""
            speaker = (first, second)[number % 2]
            assert not speaker.ask(command, start, length, flag, data).error
            expected[start : start + length] = data or bytes(length)
            for reader in (first, second):
                assert reader.ask(READ, 0, 4 * MIB).bytes(0, 4 * MIB) == expected
        assert not first.ask(FLUSH, 0, 0).error
        assert not second.ask(FLUSH, 0, 0).error


def test_block_status_is_that_of_what_was_written_over_the_disk(demo, served, writable):
    """A copy that trusts block status would leave out what the guest has written where the disk has zeros."""
    chain, _ = demo
    empty = next(run for run in chain.runs() if run.kind is vhdx.Kind.HOLE and run.length >= 8 * MIB)
    with Speaker(served(writable(chain)).address) as speaker:
        speaker.begin("", [ALLOCATION, LAYER])
        at = empty.start + 4096
        assert not speaker.ask(WRITE, at, 512, payload=b"x" * 512).error
        assert not speaker.ask(TRIM, 0, 2 * MIB).error
        told = speaker.ask(STATUS, empty.start, 8 * MIB).extents
        assert told[speaker.numbers[ALLOCATION]][:3] == [(4096, 3), (512, 0), (8 * MIB - 4608, 3)]
        assert told[speaker.numbers[LAYER]][:3] == [(4096, NO_LAYER), (512, 3), (8 * MIB - 4608, NO_LAYER)]
        told = speaker.ask(STATUS, 0, 2 * MIB).extents
        assert told[speaker.numbers[ALLOCATION]] == [(2 * MIB, 3)]
        assert told[speaker.numbers[LAYER]] == [(2 * MIB, 3)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ((WRITE, 64 * MIB - 512, 1024, 0, b"x" * 1024), ENOSPC),
        ((TRIM, 64 * MIB, 512), ENOSPC),
        ((WRITE, 0, 512, 0x40, b"x" * 512), EINVAL),
        ((FLUSH, 0, 0, FUA), EINVAL),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_next_one_is_written(demo, served, writable, request_, error):
    chain, _ = demo
    with Speaker(served(writable(chain)).address) as speaker:
        speaker.begin()
        assert speaker.ask(*request_).error == error
        assert not speaker.ask(WRITE, 0, 512, payload=b"y" * 512).error
        assert speaker.ask(READ, 0, 512).bytes(0, 512) == b"y" * 512


def test_a_full_file_system_is_an_error_to_the_client_alone(demo, served):
    chain, _ = demo
    head = header_of(chain)
    from tests.analyzer.serve.test_scratch import PATH, blank

    scratch = Scratch(Recorder({PATH: blank(head)}, room=64 * 1024).media[PATH], head)
    with Speaker(served(Export("", chain, "x", scratch=scratch)).address) as speaker:
        speaker.begin()
        reply = speaker.ask(WRITE, 0, MIB, payload=b"x" * MIB)
        assert reply.error == ENOSPC
        assert "full" in reply.reasons[0][2]
        assert not speaker.ask(READ, 0, MIB).error


def test_a_lost_sector_that_is_written_is_known_from_then_on(demo, served, writable):
    chain, _ = demo
    lost = MaskedDisk(chain, Mask.of(Ranges.of([Range(1024, 1024)]), chain.size, "gone"))
    with Speaker(served(writable(lost)).address) as speaker:
        speaker.begin("", ["vhdx:status"])
        assert speaker.ask(WRITE, 1030, 10, payload=b"x" * 10).error == EIO
        assert not speaker.ask(WRITE, 1024, 512, payload=b"x" * 512).error
        assert speaker.ask(READ, 1024, 512).bytes(1024, 512) == b"x" * 512
        assert speaker.ask(READ, 1536, 512).error == EIO
        assert speaker.ask(STATUS, 0, MIB).extents.popitem()[1][:3] == [(1536, 0), (512, 2), (MIB - 2048, 0)]


def test_clients_that_write_at_a_time_lose_nothing(demo, served, writable):
    chain, _ = demo
    server = served(writable(chain))

    def write(number):
        with Speaker(server.address) as speaker:
            speaker.begin()
            for turn in range(20):
                speaker.ask(WRITE, (turn * 8 + number) * 700, 700, payload=bytes([number]) * 700)
                if turn % 5 == 0:
                    speaker.ask(FLUSH, 0, 0)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Speaker(server.address) as speaker:
        speaker.begin()
        got = speaker.ask(READ, 700, 160 * 700).bytes(700, 160 * 700)
    for place in range(20 * 8):
        assert got[place * 700 : place * 700 + 700] == bytes([place % 8 + 1]) * 700


@pytest.mark.parametrize("recipe_name", ["demo", "sectors-4096", "dynamic"])
def test_what_was_written_becomes_a_checkpoint_that_reads_the_same(recipe, tmp_path, served, recipe_name):
    fixture, leaf = recipe(recipe_name)
    before = {path: path.read_bytes() for path in leaf.parent.glob("*.*vhdx")}
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(leaf) as chain, create_scratch(tmp_path / "s", header_of(chain)) as file:
        expected = bytearray(model.read(0, model.size))
        with Speaker(served(Export("", chain, "x", scratch=file.scratch)).address) as speaker:
            speaker.begin()
            for command, start, length in (
                (WRITE, 4096, 8192), (WRITE, model.size - 5 * 4096, 5 * 4096), (TRIM, 0, 4096), (TRIM, 2 * MIB, MIB),
                (WRITE_ZEROES, 0, 2 * MIB), (WRITE, 100, 5000),
            ):  # fmt: skip
                data = bytes(range(1, 251)) * (length // 250 + 1) if command == WRITE else bytes(length)
                expected[start : start + length] = data[:length]
                assert not speaker.ask(command, start, length, 0, data[:length] if command == WRITE else b"").error
        file.scratch.flush()
        child = leaf.parent / "child.avhdx"
        run_save(plan_save(chain, file.scratch, child, Options()), chain, file.scratch)
    with vhdx.open_chain(child) as saved:
        assert saved.layers[-2].path.samefile(leaf)
        assert saved.read(0, saved.size) == expected
        own = sum(table.bytes_of(vhdx.Kind.DATA) for table in saved.windows_above(len(saved.layers) - 1))
        assert own < 4 * MIB
    assert before == {path: path.read_bytes() for path in before}


def test_a_checkpoint_is_made_although_the_disk_below_has_lost_sectors(damaged, tmp_path, quiet):
    with (
        vhdx.open_chain(damaged("two-blocks-in-one-place")) as chain,
        create_scratch(tmp_path / "s", header_of(chain)) as file,
    ):
        lost = next(iter(chain.runs().of_kind(vhdx.Kind.LOST)))
        file.scratch.write(lost.start + 512, memoryview(b"x" * 512))
        child = chain.path.parent / "child.avhdx"
        run_save(plan_save(chain, file.scratch, child, Options()), chain, file.scratch)
    with vhdx.open_chain(child) as saved:
        assert saved.read(lost.start + 512, 512) == b"x" * 512
        with pytest.raises(vhdx.VhdxError):
            saved.read(lost.start, 512)


def test_another_run_goes_on_with_what_was_written(demo, served, tmp_path):
    chain, models = demo
    head = header_of(chain)
    with (
        create_scratch(tmp_path / "s", head) as file,
        Speaker(served(Export("", chain, "x", scratch=file.scratch)).address) as speaker,
    ):
        speaker.begin()
        speaker.ask(WRITE, 512, 512, payload=b"x" * 512)
    with (
        resume_scratch(tmp_path / "s", head) as file,
        Speaker(served(Export("", chain, "x", scratch=file.scratch)).address) as speaker,
    ):
        speaker.begin()
        got = speaker.ask(READ, 0, 2048).bytes(0, 2048)
    expected = models[-1].read(0, 2048)
    assert got == expected[:512] + b"x" * 512 + expected[1024:]
