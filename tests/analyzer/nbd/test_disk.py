"""An export as a disk: what a server has is read as it is, and what a server makes up is told in one sentence."""

import struct
import subprocess
import threading

import pytest

import vhdx
from analyzer.nbd.disk import NbdDisk
from analyzer.nbd.errors import NbdReadError, NbdServerError
from analyzer.nbd.uri import NbdAddress
from tests.analyzer.nbd.liar import ACK, INFO, SIZE, Liar, answer, chunk, data, status
from tests.analyzer.serve.conftest import demo, demo_files, served
from vhdx.disk import Mask, MaskedDisk
from vhdx.errors import LostDataError
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind

__all__ = ["demo", "demo_files", "served"]
MIB = 1 << 20
READ, STATUS = 0, 7
PATTERN = bytes(range(256)) * (SIZE // 256)


def honest(command, cookie, start, length):
    if command == READ:
        return data(cookie, start, PATTERN[start : start + length])
    return status(cookie, (4096, 0), (SIZE - 4096, 3))


def test_a_disk_that_we_serve_reads_as_it_is(demo, served):
    chain, models = demo
    with NbdDisk(served(disk=chain).address.with_export("disk")) as disk:
        assert disk.size == chain.size
        for start, length in ((0, 24 * MIB), (5, 7), (511, 1024), (chain.size - 100, 1000)):
            assert disk.read(start, length) == models[-1].read(start, length)[: chain.size - start]
        zeros = sum(run.length for run in chain.runs() if run.kind is not Kind.DATA)
        assert disk.runs().bytes_of(Kind.ZERO) == zeros
        for run in disk.runs().of_kind(Kind.DATA):
            assert run.file_offset == run.start


def test_what_is_lost_where_it_is_served_is_lost_here(demo, served):
    chain, models = demo
    lost = Ranges.of([Range(1024, 512)])
    masked = MaskedDisk(chain, Mask.of(lost, chain.size, "the moon ate it"))
    with NbdDisk(served(disk=masked).address.with_export("disk")) as disk:
        assert disk.runs().of_kind(Kind.LOST).ranges.size == 512
        with pytest.raises(LostDataError, match=rf"^{disk.address}: "):
            disk.read(0, 4096)
        assert disk.read(0, 1024) == models[-1].read(0, 1024)
        with pytest.raises(NbdReadError, match="the moon ate it"):
            disk.source.read_into(512, memoryview(bytearray(MIB)))
        assert disk.read(1536, 512) == models[-1].read(1536, 512)


def test_sectors_of_4096_bytes_are_known_from_the_least_block(built, served):
    leaf, fixture = built("sectors-4096")
    with vhdx.open_chain(leaf) as chain, NbdDisk(served(disk=chain).address.with_export("disk")) as disk:
        assert disk.sector_size == 4096
        assert disk.read(100, 5000) == fixture.models[fixture.leaf].read(100, 5000)


def test_several_threads_read_at_a_time(demo, served):
    chain, models = demo
    with NbdDisk(served(disk=chain).address.with_export("disk")) as disk:
        wrong = []

        def read(number):
            buffer = bytearray(MIB)
            disk.source.read_into(number * MIB, memoryview(buffer))
            if buffer != models[-1].read(number * MIB, MIB):
                wrong.append(number)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_a_server_without_structured_replies_is_read(tmp_path):
    def simple(command, cookie, start, length):
        assert command == READ
        return struct.pack(">IIQ", 0x67446698, 0, cookie) + PATTERN[start : start + length]

    with Liar(simple, options={8: answer(8, 1 << 31 | 1)}) as liar, NbdDisk(liar.address) as disk:
        assert disk.read(10, 1000) == PATTERN[10:1010]
        assert [run.kind for run in disk.runs()] == [Kind.DATA]


def test_a_sector_that_the_server_cannot_read_is_an_error_and_the_connection_is_used_again():
    def failing(command, cookie, start, length):
        if command == READ and start == 0:
            body = struct.pack(">IH", 5, 9) + b"no medium" + struct.pack(">Q", 0)
            return chunk(cookie, 0x8002, body, flags=0) + chunk(cookie, 0)
        return honest(command, cookie, start, length)

    with Liar(failing) as liar, NbdDisk(liar.address) as disk:
        with pytest.raises(NbdReadError, match="no medium") as caught:
            disk.read(0, 512)
        assert str(liar.address) in str(caught.value)
        assert disk.read(512, 512) == PATTERN[512:1024]


LIES = {
    "too few bytes": lambda command, cookie, start, length: data(cookie, start, PATTERN[: length - 1]),
    "bytes of another place": lambda command, cookie, start, length: data(cookie, start + 1, PATTERN[:length]),
    "too many bytes": lambda command, cookie, start, length: data(cookie, start, PATTERN[: length + 1]),
    "a place before the start": lambda command, cookie, start, length: data(cookie, 1 << 63, PATTERN[:length]),
    "nothing": lambda command, cookie, start, length: chunk(cookie, 0),
    "no place": lambda command, cookie, start, length: chunk(cookie, 1, b"x"),
    "another request": lambda command, cookie, start, length: data(cookie + 1, start, PATTERN[:length]),
    "noise": lambda *_: bytes(64),
    "a huge chunk": lambda command, cookie, start, length: chunk(cookie, 0, length=0xFFFFFFFF),
    "a huge hole": lambda command, cookie, start, length: chunk(cookie, 2, struct.pack(">QI", 0, 0xFFFFFFFF)),
    "an unknown chunk": lambda command, cookie, start, length: chunk(cookie, 99, b"x"),
    "a short error": lambda command, cookie, start, length: chunk(cookie, 0x8001, b"x"),
    "a status": lambda command, cookie, start, length: status(cookie, (length, 0)),
    "single bytes for ever": lambda command, cookie, start, length: data(cookie, start, b"x", flags=0) * 10_000,
    "the end": lambda *_: None,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_answers_a_read_with_nonsense_is_told_in_one_sentence(lie):
    with Liar(LIES[lie], contexts=False) as liar, NbdDisk(liar.address) as disk:
        with pytest.raises(NbdServerError) as caught:
            disk.read(0, 4096)
        assert str(caught.value).startswith(f"{liar.address} cannot be read: ")


@pytest.mark.parametrize(
    "extents", [[], [(0, 0)], [(4096, 0), (0, 3)], [(0, 3)]]
)  # fmt: skip
def test_a_server_that_says_nothing_of_a_range_is_told(extents):
    with (
        Liar(lambda command, cookie, *_: status(cookie, *extents)) as liar,
        NbdDisk(liar.address) as disk,
        pytest.raises(NbdServerError),
    ):
        disk.runs()


def test_a_server_that_tells_of_single_sectors_is_asked_a_bounded_number_of_times(monkeypatch):
    monkeypatch.setattr("analyzer.nbd.disk._PATIENCE", 100)
    with (
        Liar(lambda command, cookie, *_: status(cookie, (512, 3)), size=1 << 40) as liar,
        NbdDisk(liar.address) as disk,
    ):
        kinds = [run.kind for table in disk.windows() for run in table]
    assert kinds[-1] is Kind.DATA
    assert len(liar.asked) <= 100


def test_ranges_past_the_end_are_cut():
    with Liar(lambda command, cookie, *_: status(cookie, (0xFFFFFFFF, 3))) as liar, NbdDisk(liar.address) as disk:
        assert [(run.length, run.kind) for run in disk.runs()] == [(SIZE, Kind.ZERO)]


@pytest.mark.parametrize(
    "liar",
    [
        Liar(greeting=b"NBDMAGIC" + b"\0\0\x42\x02\x81\x86\x12\x53" + bytes(200)),  # as before 2012
        Liar(greeting=b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        Liar(greeting=b""),
        Liar(options={7: answer(7, 1 << 31 | 6, b"no such export")}),
        Liar(options={7: answer(7, ACK)}),
        Liar(options={7: answer(7, INFO, bytes(5)) + answer(7, ACK)}),
        Liar(options={7: answer(7, INFO, b"x", length=1 << 30)}),
        Liar(options={7: answer(3, ACK)}),
        Liar(options={7: answer(7, INFO, b"\0\1name") * 1000}),
        Liar(options={7: answer(7, INFO, struct.pack(">HIII", 3, 0, 0, 0)) + answer(7, ACK)}),
        Liar(size=1 << 63),
    ],
)
def test_a_server_with_which_nothing_can_be_agreed_on_is_told_in_one_sentence(liar):
    with liar, pytest.raises(NbdServerError, match="cannot be read"):
        NbdDisk(liar.address, patience=0.2)


def test_a_server_that_falls_silent_is_given_up():
    with (
        Liar(lambda *_: b"", contexts=False) as liar,
        NbdDisk(liar.address, patience=0.1) as disk,
        pytest.raises(NbdServerError, match="said nothing for"),
    ):
        disk.read(0, 512)


def test_a_second_connection_that_shows_another_disk_is_not_mixed_with_the_first(demo, served):
    with Liar(LIES["the end"], contexts=False) as liar, NbdDisk(liar.address) as disk:
        with pytest.raises(NbdServerError, match="closed"):
            disk.read(0, 512)
        liar._size = 2 * SIZE
        with pytest.raises(NbdServerError, match="another disk"):
            disk.read(0, 512)


def test_nobody_at_the_address_is_said():
    with pytest.raises(NbdServerError, match="nobody answers"):
        NbdDisk(NbdAddress(host="127.0.0.1", port=1))


@pytest.mark.peers
@pytest.mark.parametrize("form", ["qcow2", "vmdk"])
def test_other_formats_are_read_through_qemu_nbd(demo, require_peer, tmp_path, form):
    require_peer("qemu-nbd")
    _, models = demo
    raw, image = tmp_path / "disk.raw", tmp_path / f"disk.{form}"
    with raw.open("wb") as file:
        file.write(models[0].read(0, 64 * MIB))
    subprocess.run(["qemu-img", "convert", "-O", form, raw, image], check=True, capture_output=True)
    command = ["qemu-nbd", "-r", "-f", form, "-k", str(tmp_path / "s"), "--fork", str(image)]
    subprocess.run(command, check=True, capture_output=True)  # it ends when its one client leaves
    with NbdDisk(NbdAddress(socket=tmp_path / "s")) as disk:
        assert disk.read(0, disk.size) == models[0].read(0, 64 * MIB)
        assert disk.runs().bytes_of(Kind.ZERO)


@pytest.mark.peers
@pytest.mark.parametrize("options", [[], ["--no-sr"]])
def test_what_nbdkit_has_is_read(require_peer, tmp_path, options):
    require_peer("nbdkit")
    content = PATTERN + bytes(SIZE) + PATTERN[:1000]
    (tmp_path / "f").write_bytes(content)
    arguments = ["nbdkit", *options, "-f", "-r", "-U", str(tmp_path / "s"), "file", str(tmp_path / "f")]
    with subprocess.Popen(arguments) as server:
        try:
            disk = _as_soon_as_it_is_there(NbdAddress(socket=tmp_path / "s"))
            with disk:
                assert disk.read(0, disk.size) == content
        finally:
            server.terminate()


def _as_soon_as_it_is_there(address):
    for _ in range(500):
        try:
            return NbdDisk(address)
        except NbdServerError:
            threading.Event().wait(0.02)
    raise AssertionError("nbdkit does not listen")
