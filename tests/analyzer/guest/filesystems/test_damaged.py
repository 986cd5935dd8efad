"""Damaged file systems: whatever they lead their library to, the work ends, and says what it could not do."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import FileKind, Include
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from tests.analyzer.guest.conftest import need
from tests.analyzer.guest.damaged import KINDS, damaged, made
from vhdx.image import open_image
from vhdx.structures.bat import ENTRY_SIZE, BlockState

pytestmark = pytest.mark.peers
MOST_ENDS = 9
"""Of processes, each after some seconds of processor time at most."""
_EXPECTED = {0, 1, 3}
"""All came out, or not all, or no volume that can be read."""


def read_all(path):
    """Every file of every volume, and what it holds."""
    with RawDisk(path) as disk:
        for volume in open_volumes(ReadableDisk(disk)):
            if not volume.is_readable:
                assert volume.record.reason
                continue
            for record in (*volume.walk(Include.DELETED), *volume.unnamed()):
                assert record.kind in FileKind
                assert all(place.start >= 0 and place.end < 1 << 63 for place in (*record.content, *record.metadata))
                _read(volume, record)
            assert volume.ends <= MOST_ENDS


def _read(volume, record):
    with contextlib.suppress(UnreadableFileError):
        for stream in filter(None, (record.data, *record.streams)):
            for piece in Content(volume, record, stream).pieces():
                assert piece.data
                if piece.offset > 1 << 22:  # a size that damage has made
                    break


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Makes a healthy volume of a kind, once."""
    kept = {}

    def make(kind):
        need(kind)
        if kind not in kept:
            kept[kind] = made(kind, tmp_path_factory.mktemp(kind))
        return kept[kind]

    return make


def _survives(raw, kind, seed, folder):
    path = folder / "damaged.raw"
    path.write_bytes(damaged(kind, raw, seed))
    read_all(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_at_random_ends_no_work(healthy, tmp_path, kind):
    for seed in range(1, 6):
        _survives(healthy(kind), kind, seed, tmp_path)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_damaged_volumes_end_no_work(healthy, tmp_path, vhdx_command, kind):
    for seed in range(1000, 1250):
        _survives(healthy(kind), kind, seed, tmp_path)
        _commands_end(vhdx_command, tmp_path, seed)
        if seed % 8 == 0 and sys.platform == "linux":
            _ends_when_interrupted(tmp_path, seed)


def _commands_end(vhdx_command, folder, seed):
    """`extract` of everything; `recover` of the disk with one block lost, so that it looks for files."""
    disk, image = folder / "damaged.raw", folder / "damaged.vhdx"
    everything = ("/", "-o", folder / "out", "--deleted", "--partial", "--force")
    assert vhdx_command("extract", disk, *everything).code in _EXPECTED
    assert vhdx_command("convert", disk, image, "--block-size", "1M", "--no-verify", "--force").code == 0
    with open_image(image) as opened:
        lost = random.Random(seed).randrange(1, opened.geometry.block_count)
        place = opened.table.bat_offset + opened.geometry.payload_slot(lost) * ENTRY_SIZE
    with image.open("r+b") as file:
        file.seek(place)
        file.write(BlockState.INVALID_5.to_bytes(ENTRY_SIZE, "little"))
    assert vhdx_command("recover", image, "-o", folder / "recovered.raw", "--force").code == 1


def _ends_when_interrupted(folder, seed):
    """Ctrl-C at some moment ends it within a second of processor time: the clock says nothing where all are busy."""
    command = [sys.executable, "-m", "cli", "extract", folder / "damaged.raw", "/", "-o", folder / "never"]
    ignored = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a child of what ignores it would be deaf
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, ignored)
    time.sleep(random.Random(seed).uniform(0.2, 1.2))
    before = _processor_time(process.pid)
    process.send_signal(signal.SIGINT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {*_EXPECTED, 130, -signal.SIGINT}  # it may have ended, or not have begun
    assert before == 0 or used.ru_utime + used.ru_stime - before < 1


def _processor_time(pid):
    """Seconds that a process has used; 0 of one that is gone."""
    with contextlib.suppress(OSError):
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    return 0
