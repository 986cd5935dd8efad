"""A chain of six files mounted, against the same served by NBD: what the way through the kernel costs."""

import os
import subprocess

import pytest

from benchmarks.bench_serve import _copy, servers
from benchmarks.programs import ROOT, VHDX
from tests.cli.test_mount import sha256, works

__all__ = ["servers"]
pytestmark = works
PIECE = 1 << 20


@pytest.fixture(scope="module")
def mounted_leaf(chain, tmp_path_factory):
    """The file of the leaf's state in a mounted folder."""
    folder = tmp_path_factory.mktemp("mounted")
    with subprocess.Popen([*VHDX, "mount", str(chain.leaf), str(folder)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield folder / "leaf.raw"
        subprocess.run(["fusermount3", "-u", str(folder)], check=True)
        process.wait(60)


def _read(path):
    """Read the file from its front to its end, with nothing of it in the system's memory."""
    buffer = bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.readinto(buffer):
            pass


def test_a_mounted_file_takes_at_most_twice_as_long_as(pairs, chain, servers, mounted_leaf):
    assert sha256(mounted_leaf) == chain.leaf_sha256
    pairs.compare(
        ("read the chain through a mount", "nbdcopy from `vhdx serve`"),
        lambda: _read(mounted_leaf),
        lambda: _copy(servers[0]),
        bar=2,
        rounds=5,
    )
