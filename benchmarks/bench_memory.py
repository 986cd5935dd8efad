"""Peak memory on a 64 TiB disk of 1 MiB blocks, whose BAT of 64 Mi entries is 512 MiB."""

import sys

import numpy as np
import pytest

from benchmarks.chain import MIB, new_disk
from benchmarks.programs import VHDX, run
from vhdx.sink import Existing, Sink
from vhdx.structures.disk import DiskType
from vhdx.writer import VhdxWriter

TIB = 1 << 40
LIMIT = 300
SECONDS = 30
"""How long `hash` may go on: a disk of 64 TiB takes it many hours, and its memory is at its height long before."""

# In a process of its own, and a small one: a child's peak counts from what its parent had when it was started.
WATCH = """
import os, subprocess, sys, threading
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
threading.Timer(float(sys.argv[1]), process.kill).start()
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_maxrss // (1024 if sys.platform != "darwin" else 1 << 20), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def huge(disk_folder, measuring):
    """A disk whose 1,024 blocks of data stand all over it; the file is sparse."""
    path = disk_folder / "huge.vhdx"
    size = 64 * TIB if measuring else TIB // 4
    with Sink(path, existing=Existing.REPLACE) as sink:
        writer = VhdxWriter(sink, new_disk(path, size, DiskType.DYNAMIC, block_size=MIB))
        noise = memoryview(np.random.default_rng(1).bytes(MIB))
        for block in range(0, size // MIB, size // MIB // 1024):
            writer.write(block * MIB, noise)
        writer.finish()
        sink.commit()
    yield path
    path.unlink()


def peak_of(seconds, *command):
    """Whether the command ended well by itself, and the most MiB it held."""
    status, peak = run(sys.executable, "-c", WATCH, str(seconds), *VHDX, *command).split()
    return status == "0", int(peak)


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a child is asked with wait4")
@pytest.mark.parametrize("command", ["map", "check", "convert", "hash"])
def test_a_huge_disk_is_worked_on_in_bounded_memory(pairs, huge, measuring, command):
    target = huge.with_name("copy.vhdx")
    arguments = (command, huge, target) if command == "convert" else (command, huge)
    seconds = (SECONDS if measuring else 2) if command == "hash" else 600
    try:
        ended_well, peak = pairs.benchmark.pedantic(peak_of, (seconds, *arguments))
    finally:
        target.unlink(missing_ok=True)
    assert ended_well or command == "hash"
    if measuring:
        pairs.note((f"peak memory of {command}, 64 TiB disk", f"{LIMIT} MiB"), peak, LIMIT, "MiB", peak / LIMIT, 1.0)
