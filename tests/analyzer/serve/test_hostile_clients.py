"""Clients that mean harm, or are broken: nobody else is served worse, and memory stays what it is."""

import contextlib
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from analyzer.nbd.uri import NbdAddress
from analyzer.serve.export import Export
from analyzer.serve.server import Limits
from tests.analyzer.serve.conftest import Running
from tests.analyzer.serve.speaker import DISC, READ, STATUS, WRITE, Speaker, text
from tests.cli.test_serve import connected
from tests.support.effort import SAFETY
from tests.support.files import ROOT
from tests.support.runs_disk import RunsDisk
from vhdx import compiling
from vhdx.runs import Kind, Run
from vhdx.source import FileSource

MIB = 1 << 20


def still_serves(address, models):
    with Speaker(address) as speaker:
        speaker.begin("disk")
        assert speaker.ask(READ, 0, 4096).bytes(0, 4096) == models[-1].read(0, 4096)


def noise(chance):
    """Options and requests of all kinds, and bytes of none."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 400))
    data = chance.choice([b"", chance.randbytes(chance.randrange(60)), text("disk") + b"\0\0", text("disk") * 3])
    length = chance.choice([len(data), len(data), 0, 0xFFFFFFFF, chance.randrange(1 << 17)])
    if kind < 3:
        return b"IHAVEOPT" + struct.pack(">II", chance.choice([*range(12), 0xFFFFFFFF]), length) + data
    return struct.pack(
        ">IHHQQI", 0x25609513, chance.choice([0, 1, 4, 8, 0xFFFF]), chance.choice([*range(9), 77]), chance.randrange(9),
        chance.choice([0, 512, 1 << 26, (1 << 64) - 1]), chance.choice([0, 1, 512, 1 << 25, 0xFFFFFFFF]),
    ) + data  # fmt: skip


def harass(address, chance):
    """One client that says anything, in an order that may make sense, and leaves when it likes."""
    with contextlib.suppress(OSError, EOFError, struct.error, AssertionError), Speaker(address, timeout=0.2) as speaker:
        if chance.random() < 0.7:
            speaker.hello(chance.choice([0, 1, 2, 3, 0xFFFFFFFF]))
        if chance.random() < 0.4:
            speaker.option(8)
            speaker.option(7, text("disk") + b"\0\0")
        for _ in range(chance.randrange(12)):
            speaker.socket.sendall(noise(chance))
            if chance.random() < 0.3:
                speaker.socket.recv(chance.randrange(1, 5000))
        if chance.random() < 0.3:
            speaker.socket.shutdown(chance.choice([socket.SHUT_WR, socket.SHUT_RD]))
            speaker.socket.recv(100)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_clients_say_others_are_served(demo, served, seed):
    chain, models = demo
    server, chance = served(disk=chain, limits=Limits(patience=0.5)), random.Random(seed)
    for _ in range(40):
        harass(server.address, chance)
    still_serves(server.address, models)
    assert not server.said


@pytest.mark.fuzz
def test_whatever_a_thousand_clients_at_a_time_say_others_are_served(demo, served):
    chain, models = demo
    server = served(disk=chain, limits=Limits(patience=0.5))
    chance = random.Random(3)
    for _ in range(50):
        threads = [
            threading.Thread(target=harass, args=(server.address, random.Random(chance.random()))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SAFETY)
        still_serves(server.address, models)


def test_clients_that_leave_in_the_middle_of_a_request_are_let_go(demo, served):
    chain, models = demo
    server = served(disk=chain, limits=Limits(clients=3))
    for turn in range(9):
        with Speaker(server.address) as speaker:
            speaker.begin("disk")
            head = struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, MIB)
            speaker.socket.sendall((head + bytes(1000), head[:20], b"")[turn % 3])
    for _ in range(SAFETY * 50):  # their threads need a moment to notice
        with contextlib.suppress(AssertionError):
            still_serves(server.address, models)
            return
        threading.Event().wait(0.02)
    raise AssertionError("their places are not given free")


def test_a_fault_of_the_server_lets_one_client_go_and_is_said(demo, served, monkeypatch):
    chain, models = demo
    server = served(disk=chain)
    with monkeypatch.context() as faulty:
        faulty.setattr("analyzer.serve.client.Client._tell_status", lambda *_: 1 / 0)
        with Speaker(server.address) as speaker:
            speaker.begin("disk", ["base:allocation"])
            speaker.send(STATUS, 0, 512)
            assert speaker.is_closed()
    still_serves(server.address, models)
    for _ in range(SAFETY * 50):  # it is said after the client was let go
        if server.said:
            break
        threading.Event().wait(0.02)
    assert "ZeroDivisionError" in server.said[0]


def test_a_client_that_closes_its_half_gets_its_answers(demo, served):
    chain, models = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk")
        cookie = speaker.send(READ, 0, 4096)
        speaker.send(DISC, 0, 0)
        speaker.socket.shutdown(socket.SHUT_WR)
        assert speaker.reply(cookie).bytes(0, 4096) == models[-1].read(0, 4096)
        assert speaker.is_closed()


def test_a_client_that_never_reads_holds_up_nobody(demo, served):
    chain, models = demo
    server = served(disk=chain)
    with Speaker(server.address) as deaf:
        deaf.begin("disk")
        for _ in range(8):
            deaf.send(READ, 0, 32 * MIB)
        still_serves(server.address, models)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_server_ends_while_it_sends_to_a_client_that_never_reads(tmp_path, monkeypatch, is_compiled):
    monkeypatch.setattr(compiling, "is_loaded", lambda: is_compiled)
    path = tmp_path / "file"
    path.write_bytes(b"x" * MIB)
    with FileSource(path) as source:
        runs = [Run(start, 4096, Kind.DATA, 0, start % MIB) for start in range(0, 4 * MIB, 4096)]
        running = Running([Export("disk", RunsDisk([source], runs), "x")], None).start()
        with Speaker(running.address) as deaf:
            deaf.begin("disk")
            deaf.send(READ, 0, 4 * MIB)
            assert deaf.take(100)  # it is sent to, and waits
            running.end()


def test_a_client_that_asks_for_all_block_status_in_small_pieces_gets_it(demo, served):
    chain, _ = demo
    with Speaker(served(disk=chain).address) as speaker:
        speaker.begin("disk", ["base:allocation", "vhdx:layer", "vhdx:status"])
        for start in range(0, MIB, 4096):
            reply = speaker.ask(STATUS, start, 1)
            assert all(extents == [(1, extents[0][1])] for extents in reply.extents.values())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of another process is asked of /proc")
def test_thousands_of_connections_and_huge_requests_take_no_memory(built):
    """32 clients at a time ask for 32 MiB each, again and again; thousands connect and say nothing."""
    import resource  # Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip("no process may have so many sockets here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        address = NbdAddress(socket=Path(folder, "s"))
        command = [sys.executable, "-m", "cli", "serve", str(built("demo")[0]), "--socket", str(address.socket)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server, contextlib.ExitStack() as open_:
            try:
                readers = [open_.enter_context(connected(address)) for _ in range(24)]
                for number, reader in enumerate(readers):
                    reader.begin(structured=number < 16)
                before = peak_of(server.pid)
                for _ in range(2000):
                    with contextlib.suppress(OSError):
                        open_.enter_context(Speaker(address, timeout=1))
                for reader in readers[:16]:
                    cookies = [reader.send(READ, 0, 32 * MIB) for _ in range(3)]
                    for cookie in cookies:
                        assert not reader.reply(cookie).error
                last = open_.enter_context(Speaker(address))
                last.begin()
                assert not last.ask(READ, 0, 512).error
                for reader in readers[16:]:
                    reader.send(READ, 0, 32 * MIB)
                for reader in readers[16:]:
                    assert not reader.reply(reader.cookie, 32 * MIB).error
                # a piece of 1 MiB each
                assert peak_of(server.pid) - before < 100 * MIB
            finally:
                server.terminate()


def peak_of(process):
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
