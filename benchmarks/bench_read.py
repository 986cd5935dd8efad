"""Reading a chain of six files from end to end, 1 MiB at a time, through a file object."""

import hashlib

import pytest

import vhdx
from benchmarks.chain import MIB
from tests.support.peer_tools import libvhdi_disk

pytestmark = pytest.mark.peers


def _ours_read(chain, take):
    with vhdx.open_chain(chain.leaf) as disk:
        _drain(disk.stream(), take)


def _ours_readinto(chain, take):
    """Into one buffer; of the peers, pyvhdi has `read` alone, and dissect has a `readinto` that reads and copies."""
    with vhdx.open_chain(chain.leaf) as disk:
        stream, buffer = disk.stream(), memoryview(bytearray(MIB))
        while count := stream.readinto(buffer):
            take(buffer[:count])


def _libvhdi(chain, take):
    leaf, layers = libvhdi_disk(chain.paths)
    _drain(leaf, take)
    for layer in reversed(layers):
        layer.close()


def _dissect(chain, take):
    from dissect.hypervisor.disk.vhdx import VHDX

    leaf = layer = VHDX(chain.leaf)
    _drain(leaf, take)
    while layer:  # it leaves its files open
        layer.fh.close()
        layer = layer.parent


def _drain(file, take):
    while data := file.read(MIB):
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
