"""A chain of six files served by NBD, against QEMU's server of the same disk merged to one file."""

import contextlib
import hashlib
import random
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import pytest

from analyzer.nbd.client import NbdClient
from analyzer.nbd.errors import NbdServerError
from analyzer.nbd.uri import NbdAddress
from benchmarks.programs import ROOT, VHDX, run
from tests.support.peer_tools import PEERS_REQUIRED, missing_peer

pytestmark = pytest.mark.peers

GRAIN = 4096
PLACES = 10_000


@contextlib.contextmanager
def _listening(command, address):
    """A server in a process of its own, from when it listens on."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            while not _is_there(address):
                assert server.poll() is None
                time.sleep(0.05)
            yield address
        finally:
            server.terminate()


def _is_there(address):
    try:
        NbdClient(address).close()
    except NbdServerError:
        return False
    return True


@pytest.fixture(scope="module")
def servers(chain):
    """The addresses of ours and of QEMU's."""
    missing = [name for name in ("nbdcopy", "qemu-nbd") if missing_peer(name)]
    if missing:
        (pytest.fail if PEERS_REQUIRED else pytest.skip)(f"{missing[0]} is not installed")
    merged = chain.folder / "merged.vhdx"
    if not merged.exists():
        run(*VHDX, "merge", chain.leaf, merged, "--no-verify")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        ours, theirs = (NbdAddress(socket=Path(folder, name)) for name in ("ours", "theirs"))
        stack.enter_context(_listening([*VHDX, "serve", str(chain.leaf), "--socket", str(ours.socket)], ours))
        qemu = ["qemu-nbd", "-r", "-t", "-e", "16", "-f", "vhdx", "-k", str(theirs.socket), str(merged)]
        yield ours, stack.enter_context(_listening(qemu, theirs))


def _copy(address):
    run("nbdcopy", str(address), "null:")


def _sum_of(address):
    with subprocess.Popen(["nbdcopy", str(address), "-"], stdout=subprocess.PIPE) as copy:
        return hashlib.file_digest(copy.stdout, "sha256").hexdigest()


def test_nbdcopy_takes_half_as_long_as_from(pairs, chain, servers):
    ours, theirs = servers
    assert _sum_of(ours) == _sum_of(theirs) == chain.leaf_sha256
    pairs.compare(
        ("copy the chain, by nbdcopy to nowhere", "qemu-nbd, merged"),
        lambda: _copy(ours),
        lambda: _copy(theirs),
        bar=0.5,
        rounds=5,
    )


def _read_here_and_there(address, places):
    checksum, buffer = 0, memoryview(bytearray(GRAIN))
    with NbdClient(address) as client:
        for place in places:
            client.read_into(place, buffer)
            checksum = zlib.crc32(buffer, checksum)
    return checksum


def test_random_reads_take_no_longer_than_from(pairs, chain, servers):
    ours, theirs = servers
    chance = random.Random(1)
    places = [chance.randrange(chain.recipe.size // GRAIN) * GRAIN for _ in range(PLACES)]
    assert _read_here_and_there(ours, places) == _read_here_and_there(theirs, places)
    pairs.compare(
        ("read 4 KiB at random places, one at a time", "qemu-nbd, merged"),
        lambda: _read_here_and_there(ours, places),
        lambda: _read_here_and_there(theirs, places),
        bar=1.0,
        rounds=5,
    )
