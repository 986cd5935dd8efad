"""Runs sent by the system: the bytes are those that a reader reads, and where it cannot go on it says so."""

import os
import random
import socket
import threading

import pytest

from tests.support.effort import SAFETY
from tests.support.runs_disk import RunsDisk
from vhdx.plans import Plans
from vhdx.reader import Reader
from vhdx.runs import Kind, Run
from vhdx.sending import MOST_ZEROS, RunSender
from vhdx.source import FileSource, MemorySource
from vhdx.system.sockets import SENDS_FILES

pytestmark = pytest.mark.skipif(not SENDS_FILES, reason="this system sends no files by sockets")
SECTOR = 512
HEAD = b"in front"


@pytest.fixture
def files(tmp_path):
    """Two sources of 300,000 bytes."""
    made = []
    for number in range(2):
        path = tmp_path / str(number)
        path.write_bytes(random.Random(number).randbytes(300_000))
        made.append(FileSource(path))
    yield made
    for source in made:
        source.close()


@pytest.fixture
def pair():
    """A connection of which one end takes all that comes, until `taken` is called."""
    here, there = socket.socketpair()
    got = bytearray()

    def take():
        while data := there.recv(1 << 16):
            got.extend(data)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()

    def taken():
        here.close()
        thread.join(SAFETY)
        there.close()
        return bytes(got)

    yield here, taken
    taken()


def runs_of(chance, count):
    position, runs = 0, []
    for _ in range(count):
        length = chance.randrange(1, 40) * SECTOR
        kind = chance.choice([Kind.DATA, Kind.DATA, Kind.ZERO, Kind.TRIM, Kind.HOLE])
        offset = chance.randrange(0, 300_000 - length) if kind is Kind.DATA else 0
        runs.append(Run(position, length, kind, chance.randrange(2), offset))
        position += length
    return runs


def test_what_is_sent_is_what_is_read(files, pair):
    chance = random.Random(7)
    disk = RunsDisk(files, runs_of(chance, 60))
    here, taken = pair
    sender, plan, expected = RunSender(disk, here), Plans(disk).keep(0), b""
    for _ in range(30):
        start, end = sorted(chance.sample(range(disk.size), 2))
        assert sender.send(HEAD, plan, start, end) == end
        expected += HEAD + Reader(disk).read(start, end - start)
    assert taken() == expected


def test_a_file_that_ends_early_stops_it_there(files, pair):
    os.truncate(files[1].path, 1000)
    runs = [Run(0, 4096, Kind.DATA, 0, 0), Run(4096, 4096, Kind.DATA, 1, 0), Run(8192, 4096, Kind.DATA, 0, 0)]
    disk = RunsDisk(files, runs)
    here, taken = pair
    assert RunSender(disk, here).send(HEAD, Plans(disk).keep(0), 0, 12288) == 4096 + 1000
    assert len(taken()) == len(HEAD) + 4096 + 1000


def test_a_file_that_fails_stops_it_there(files, pair):
    disk = RunsDisk(files, [Run(0, 4096, Kind.DATA, 0, 0), Run(4096, 4096, Kind.DATA, 1, 0)])
    here, taken = pair
    sender = RunSender(disk, here)
    files[1].close()
    folder = os.open(files[0].path.parent, os.O_RDONLY)  # takes the number of the file: no folder is sent
    try:
        assert sender.send(b"", Plans(disk).keep(0), 0, 8192) == 4096
    finally:
        os.close(folder)
    assert len(taken()) == 4096


def test_a_connection_that_is_gone_is_an_error(files):
    disk = RunsDisk(files, [Run(0, 4096, Kind.DATA, 0, 0)])
    here, there = socket.socketpair()
    there.close()
    with here:
        sender, plan = RunSender(disk, here), Plans(disk).keep(0)
        with pytest.raises(BrokenPipeError):
            sender.send(HEAD, plan, 0, 4096)


def test_a_long_head_goes_in_front_too(files, pair):
    disk = RunsDisk(files, [Run(0, 4096, Kind.DATA, 0, 0)])
    here, taken = pair
    assert RunSender(disk, here).send(b"x" * 100_000, Plans(disk).keep(0), 0, 4096) == 4096
    assert taken() == b"x" * 100_000 + Reader(disk).read(0, 4096)


def test_what_is_in_no_plain_file_cannot_be_sent(files):
    here, there = socket.socketpair()
    with here, there:
        disk = RunsDisk([files[0], MemorySource(bytes(10))], [Run(0, MOST_ZEROS, Kind.ZERO, 0, 0)])
        assert RunSender(disk, here).can_send == [True, False]
