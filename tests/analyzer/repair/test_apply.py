"""Carrying a plan out: copies, changes in place, the way back, and every point at which it can fail."""

import os
import subprocess
import sys

import pytest

from analyzer.repair.apply import run_undo
from analyzer.repair.undo import undo_of
from tests.analyzer.repair.helpers import HEADERS, MIB, TABLES, fixed_copy, fixed_in_place, flipped, saved, sound
from tests.support.corpus_files import disk_hash
from tests.support.files import ROOT
from vhdx.errors import OutputError, PartlyWrittenError, UndoRefusedError, VhdxError
from vhdx.image import open_image
from vhdx.sink import part_of

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX system calls")


def damaged():
    """A live log that makes the file longer, beside a broken region table: every kind of write there is."""
    return sound("log-growing-zeros").patched(HEADERS[0], bytes(100)).patched(0, b"xx")


def hash_of(path):
    with open_image(path) as image:
        return disk_hash(image)


def test_a_copy_is_fixed_and_the_file_is_as_it_was(tmp_path):
    path = saved(damaged(), tmp_path)
    before = path.read_bytes()
    copy = fixed_copy(path, tmp_path / "copy.vhdx")
    assert path.read_bytes() == before
    assert hash_of(copy) == hash_of(saved(sound("log-growing-zeros"), tmp_path, "sound.vhdx"))
    assert not part_of(copy).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say what a file takes")
def test_a_copy_keeps_holes(tmp_path):
    path = saved(damaged(), tmp_path)
    copy = fixed_copy(path, tmp_path / "copy.vhdx")
    assert copy.stat().st_blocks <= path.stat().st_blocks + 64


def test_a_copy_upon_the_file_itself_is_refused(tmp_path):
    path = saved(damaged(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(OutputError):
        fixed_copy(path, path)
    assert path.read_bytes() == before


def test_in_place_and_back_is_bit_for_bit(tmp_path):
    path = saved(damaged(), tmp_path)
    before = path.read_bytes()
    undo = fixed_in_place(path)
    assert path.stat().st_size > len(before)
    assert hash_of(path) == hash_of(saved(sound("log-growing-zeros"), tmp_path, "sound.vhdx"))
    assert run_undo(path, undo) == len(before)
    assert path.read_bytes() == before
    run_undo(path, undo)
    assert path.read_bytes() == before


def test_an_undo_file_is_never_replaced(tmp_path):
    path = saved(damaged(), tmp_path)
    before = path.read_bytes()
    undo_of(path).write_bytes(b"precious")
    with pytest.raises(OutputError):
        fixed_in_place(path)
    assert (path.read_bytes(), undo_of(path).read_bytes()) == (before, b"precious")


def refusal(path, undo):
    before = path.read_bytes()
    with pytest.raises(UndoRefusedError) as caught:
        run_undo(path, undo)
    assert path.read_bytes() == before
    assert caught.value.exit_code == 5
    return str(caught.value)


@pytest.mark.parametrize("place", [100, HEADERS[0] + 50, HEADERS[1] + 50, TABLES[1], 400_000, MIB + 5, 3 * MIB])
def test_a_file_that_was_changed_since_is_refused(tmp_path, place):
    path = saved(damaged(), tmp_path)
    undo = fixed_in_place(path)
    with path.open("r+b") as handle:
        handle.seek(place)
        handle.write(b"changed")
    assert "name the file" in refusal(path, undo)


def test_a_file_of_another_length_is_refused(tmp_path):
    path = saved(damaged(), tmp_path)
    undo = fixed_in_place(path)
    with path.open("ab") as handle:
        handle.write(b"more")
    assert "bytes" in refusal(path, undo)


def test_another_file_is_refused(tmp_path):
    path = saved(damaged(), tmp_path)
    undo = fixed_in_place(path)
    other = saved(sound("log-growing-zeros"), tmp_path, "other.vhdx")
    refusal(other, undo)


@pytest.mark.parametrize("place", [0, 9, 40, 200, 5000, -1, -40])
def test_a_damaged_undo_file_is_refused(tmp_path, place):
    path = saved(damaged(), tmp_path)
    undo = fixed_in_place(path)
    data = bytearray(undo.read_bytes())
    data[place] ^= 1
    undo.write_bytes(data)
    refusal(path, undo)


@pytest.mark.parametrize("size", [0, 10, 100, 5000])
def test_a_cut_undo_file_is_refused(tmp_path, size):
    path = saved(damaged(), tmp_path)
    undo = fixed_in_place(path)
    undo.write_bytes(undo.read_bytes()[:size])
    refusal(path, undo)


class CrashError(Exception):
    """The machine stops here."""


def counted(monkeypatch, fail_at, *, torn=False):
    """Count writes, flushes, changes of length and renames; the one with that number does not happen, or half."""
    calls = []

    def wrap(module, name):
        whole = getattr(module, name)

        def call(*arguments, **options):
            calls.append(name)
            if len(calls) == fail_at:
                if torn and name == "pwrite":
                    whole(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], arguments[2])
                raise CrashError
            return whole(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    for name in ("pwrite", "fsync", "ftruncate"):
        wrap(os, name)
    return calls


@pytest.mark.slow
@posix
@pytest.mark.parametrize("torn", [False, True])
def test_whatever_write_fails_the_file_is_as_it_was_or_its_undo_file_brings_it_back(tmp_path, torn):
    file = damaged()
    with pytest.MonkeyPatch.context() as patch:
        calls = counted(patch, -1)
        fixed_in_place(saved(file, tmp_path))
    assert len(calls) > 15
    original = file.to_bytes()
    partly = 0
    for number in range(1, len(calls) + 1):
        path = saved(file, tmp_path)
        undo_of(path).unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            counted(patch, number, torn=torn)
            with pytest.raises((CrashError, VhdxError)) as caught:
                fixed_in_place(path)
        if isinstance(caught.value, PartlyWrittenError):
            partly += 1
            assert undo_of(path).exists()
            run_undo(path, undo_of(path))
        assert path.read_bytes() == original, number
    assert partly > 5


@posix
def test_an_undo_that_fails_can_be_repeated(tmp_path):
    path = saved(damaged(), tmp_path)
    before = path.read_bytes()
    undo = fixed_in_place(path)
    after = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        calls = counted(patch, -1)
        run_undo(path, undo)
    for number in range(1, len(calls) + 1):
        path.write_bytes(after)
        with pytest.MonkeyPatch.context() as patch:
            counted(patch, number, torn=True)
            with pytest.raises(PartlyWrittenError):
                run_undo(path, undo)
        run_undo(path, undo)
        assert path.read_bytes() == before


KILLER = """
import os, sys
from pathlib import Path
from tests.analyzer.repair.helpers import fixed_in_place
count, number = 0, int(sys.argv[2])
whole = os.pwrite
def pwrite(descriptor, data, offset):
    global count
    count += 1
    if count == number:
        whole(descriptor, bytes(data)[: len(data) // 2], offset)
        os._exit(9)
    return whole(descriptor, data, offset)
os.pwrite = pwrite
fixed_in_place(Path(sys.argv[1]))
"""


@posix
@pytest.mark.slow
def test_a_process_that_is_killed_in_the_middle_leaves_a_way_back(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        calls = counted(patch, -1)
        fixed_in_place(saved(damaged(), tmp_path))
    original, total = damaged().to_bytes(), calls.count("pwrite")
    for number in (total // 2, total - 2, total):
        path = saved(damaged(), tmp_path)
        undo_of(path).unlink(missing_ok=True)
        part_of(undo_of(path)).unlink(missing_ok=True)
        command = [sys.executable, "-c", KILLER, str(path), str(number)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 9, done.stderr.decode()
        if undo_of(path).exists():
            run_undo(path, undo_of(path))
        assert path.read_bytes() == original


def test_a_file_that_somebody_else_has_locked_is_left_alone(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = saved(damaged(), tmp_path)
    with path.open("r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(OutputError):
            fixed_in_place(path)
    assert not undo_of(path).exists()


def test_a_flip_in_place_changes_one_byte(tmp_path):
    path = saved(flipped(sound(), HEADERS[1] + 30), tmp_path)
    fixed_in_place(path)
    assert path.read_bytes() == sound().to_bytes()
