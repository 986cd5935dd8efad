"""A disk of 1 TiB whose block table is noise: processor time and peak memory of finding where its blocks belong."""

import random
import shutil
import sys

import pytest

from benchmarks.chain import MIB
from benchmarks.programs import VHDX, run
from vhdx.image import open_image

TIB = 1 << 40
SECONDS, LIMIT = 300, 1024
"""Of processor time, and MiB of memory."""

# In a process of its own, and a small one: a child's peak counts from what its parent had when it was started.
WATCH = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
unit = 1024 if sys.platform != "darwin" else 1 << 20
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss // unit, flush=True)
os._exit(0)
"""


def write_files(folder, size):
    """Files of noise, most of them small, of so many bytes in all."""
    draw, number = random.Random(1), 0
    while size > 0:
        length = min(size, 64 * MIB, int(draw.lognormvariate(10.5, 2.2)) + 1)
        place = folder / str(number // 200)
        place.mkdir(parents=True, exist_ok=True)
        (place / str(number)).write_bytes(draw.randbytes(length))
        size, number = size - length, number + 1
    return folder


@pytest.fixture(scope="module")
def without_table(disk_folder, measuring):
    """An ext4 of 2 GiB of files on a sparse disk, in blocks of 32 MiB, and noise where its table was."""
    if not shutil.which("mkfs.ext4"):
        pytest.skip("mkfs.ext4 is not installed")
    files = write_files(disk_folder / "files", 2048 * MIB if measuring else 16 * MIB)
    raw, lost = disk_folder / "lost.raw", disk_folder / "lost.vhdx"
    with raw.open("wb") as disk:
        disk.truncate(TIB if measuring else 256 * MIB)
    run("mkfs.ext4", "-q", "-F", "-d", files, raw)
    run(*VHDX, "convert", raw, lost, "--block-size", "32M", "--no-verify", "--force")
    with open_image(lost) as image:
        table, length = image.table.bat_offset, image.table.bat_length
    with lost.open("r+b") as file:
        file.seek(table)
        file.write(random.Random(2).randbytes(length))
    raw.unlink()
    shutil.rmtree(files)
    yield lost
    lost.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a child is asked with wait4")
def test_a_large_disk_without_its_table_is_put_together_in_minutes_and_bounded_memory(pairs, without_table, measuring):
    command = (sys.executable, "-c", WATCH, *VHDX, "recover", "--dry-run", without_table)
    code, seconds, peak = pairs.benchmark.pedantic(run, command).split()
    assert code == "1"  # what comes back is likely, no more
    if measuring:
        what = "of `recover`, 1 TiB without its table, 2 GiB of files"
        pairs.note(
            (f"processor time {what}", f"{SECONDS} s"), float(seconds), SECONDS, "s", float(seconds) / SECONDS, 1
        )
        pairs.note((f"peak memory {what}", f"{LIMIT} MiB"), int(peak), LIMIT, "MiB", int(peak) / LIMIT, 1)
