"""Reading a chain of six files through a file object: from end to end, 1 MiB at a time, and 4 KiB here and there."""

import hashlib
import random
import time
import zlib
from contextlib import contextmanager
from functools import partial

import pytest

import vhdx
from benchmarks.chain import MIB
from tests.support.peer_tools import libvhdi_disk

pytestmark = pytest.mark.peers


def _ours_read(chain, take):
    with vhdx.open_chain(chain.leaf) as disk:
        _drain(disk.stream(), take)


def _ours_readinto(chain, take, size=MIB):
    """Into one buffer; of the peers, pyvhdi has `read` alone, and dissect has a `readinto` that reads and copies."""
    with vhdx.open_chain(chain.leaf) as disk:
        stream, buffer = disk.stream(), memoryview(bytearray(size))
        while count := stream.readinto(buffer):
            take(buffer[:count])


def _libvhdi(chain, take, size=MIB):
    leaf, layers = libvhdi_disk(chain.paths)
    _drain(leaf, take, size)
    for layer in reversed(layers):
        layer.close()


def _dissect(chain, take):
    from dissect.hypervisor.disk.vhdx import VHDX

    leaf = layer = VHDX(chain.leaf)
    _drain(leaf, take)
    while layer:  # it leaves its files open
        layer.fh.close()
        layer = layer.parent


def _drain(file, take, size=MIB):
    while data := file.read(size):
        take(data)


def _sha256(read, chain):
    digest = hashlib.sha256()
    read(chain, digest.update)
    return digest.hexdigest()


@pytest.mark.parametrize("ours", [_ours_read, _ours_readinto], ids=["read", "readinto"])
@pytest.mark.parametrize(
    ("peer", "read", "bar", "rounds"),
    [("pyvhdi", _libvhdi, 1.0, 11), ("dissect.hypervisor", _dissect, 1 / 5, 3)],
    ids=["libvhdi", "dissect"],
)
def test_sequential_reads_keep_up_with(pairs, chain, require_peer, peer, read, bar, rounds, ours):
    require_peer(peer)
    for reader in (ours, read):
        assert _sha256(reader, chain) == chain.leaf_sha256
    pairs.compare(
        (f"read the chain sequentially, 1 MiB each, {ours.__name__.removeprefix('_ours_')}", peer),
        lambda: ours(chain, bool),
        lambda: read(chain, bool),
        bar=bar,
        rounds=rounds,
    )


def test_sequential_reads_of_64_kib_keep_up_with_libvhdi(pairs, chain, require_peer):
    require_peer("pyvhdi")
    ours, theirs = partial(_ours_readinto, size=64 << 10), partial(_libvhdi, size=64 << 10)
    assert _sha256(ours, chain) == _sha256(theirs, chain)
    pairs.compare(
        ("read the chain sequentially, 64 KiB each", "pyvhdi"),
        lambda: ours(chain, bool),
        lambda: theirs(chain, bool),
        bar=1.0,
        rounds=7,
    )


GRAIN = 4096
PLACES = 50_000


@contextmanager
def _open_ours(chain):
    with vhdx.open_chain(chain.leaf) as disk:
        yield disk.stream()


@contextmanager
def _open_libvhdi(chain):
    leaf, layers = libvhdi_disk(chain.paths)
    yield leaf
    for layer in reversed(layers):
        layer.close()


def _latencies(opened, chain, places):
    """Seconds of each read of 4 KiB, and the CRC of all that was read."""
    found, checksum = [], 0
    with opened(chain) as file:
        for place in places:
            begin = time.perf_counter()
            file.seek(place)
            data = file.read(GRAIN)
            found.append(time.perf_counter() - begin)
            checksum = zlib.crc32(data, checksum)
    return sorted(found), checksum


def test_random_reads_take_half_as_long_as(pairs, chain, require_peer):
    require_peer("pyvhdi")
    chance = random.Random(1)
    places = [chance.randrange(chain.recipe.size // GRAIN) * GRAIN for _ in range(PLACES)]
    (ours, mine), (theirs, other) = (_latencies(opened, chain, places) for opened in (_open_ours, _open_libvhdi))
    assert mine == other
    pairs.compare(
        ("read 4 KiB at random places of the chain", "pyvhdi"),
        lambda: _latencies(_open_ours, chain, places),
        lambda: _latencies(_open_libvhdi, chain, places),
        bar=0.5,
        rounds=5,
    )
    if pairs.measuring:
        at = PLACES * 99 // 100
        names = "the same, the slowest but 1 %", "pyvhdi"
        pairs.note(names, ours[at] * 1e6, theirs[at] * 1e6, "us", ours[at] / theirs[at], 1.0)
