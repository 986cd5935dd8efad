"""The repository's own restore.py where pipes lie and command lines are short: its parts, without the program zstd."""

import hashlib
import importlib.util
import io
import os

import pytest

from tests.support.files import ROOT


@pytest.fixture
def program():
    spec = importlib.util.spec_from_file_location("restore", ROOT / "analyzer/backup/assets/restore.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_pipe_that_says_it_is_seekable_gets_every_zero(program):
    """As pipes do on Windows, up to Python 3.15."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as there, os.fdopen(writing, "wb", buffering=0) as out:

        class Pipe(io.BufferedIOBase):
            write, fileno = out.write, out.fileno

            def seekable(self):
                return True

            def seek(self, *_):
                raise AssertionError("zeros are skipped in a pipe")

        image = program.Image(Pipe(), 3000)
        image.write(1000, b"x" * 1000)
        assert image.finish() == hashlib.sha256(bytes(1000) + b"x" * 1000 + bytes(1000)).hexdigest()
        out.close()
        assert there.read() == bytes(1000) + b"x" * 1000 + bytes(1000)


def test_a_file_has_holes_for_its_zeros(program, tmp_path):
    with (tmp_path / "out.raw").open("wb") as out:
        assert program.Image(out, 1 << 20).sparse


def test_no_command_line_is_longer_than_windows_takes(program, tmp_path):
    items = [(at, at + 4096, f"{at:064x}") for at in range(0, 4096 * 3000, 4096)]
    folder = tmp_path / "a folder of some length" / "chunks.castr"
    batches = list(program.batches(items, folder))
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        line = sum(len(str(folder / chunk[:4] / f"{chunk}.cacnk")) + 3 for _, _, chunk in batch)
        assert line < 32_000
