"""Reading by position, exactly."""

import os

import pytest

from vhdx.errors import InputOutputError, ShortReadError, SourceChangedError
from vhdx.patched import OverlaySource
from vhdx.source import FileSource, MemorySource, SourceFrom, read_at

DATA = bytes(range(256)) * 64


@pytest.fixture(params=["file", "memory", "overlay", "from"])
def source(request, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    if request.param == "file":
        with FileSource(path) as opened:
            yield opened
    elif request.param == "memory":
        yield MemorySource(DATA, path)
    elif request.param == "from":
        yield SourceFrom(MemorySource(b"front" + DATA, path), 5)
    else:
        yield OverlaySource(MemorySource(DATA, path), ())


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 1), (5, 1000), (len(DATA) - 1, 1), (0, len(DATA))])
def test_what_is_asked_for_is_given(source, offset, length):
    assert read_at(source, offset, length) == DATA[offset : offset + length]


@pytest.mark.parametrize(("offset", "length", "got"), [(len(DATA), 1, 0), (len(DATA) - 3, 10, 3), (1 << 40, 5, 0)])
def test_a_short_read_is_an_error_with_the_numbers_in_it(source, offset, length, got):
    for read in (
        lambda: read_at(source, offset, length),
        lambda: source.read_into(offset, memoryview(bytearray(length))),
    ):
        with pytest.raises(ShortReadError) as caught:
            read()
        error = caught.value
        assert (error.path, error.offset, error.wanted, error.got, error.exit_code) == (
            source.path,
            offset,
            length,
            got,
            3,
        )
        for number in (offset, length, got):
            assert str(number) in str(error)


READ = "preadv" if hasattr(os, "preadv") else "read"


def test_a_failing_medium_is_an_input_error_with_its_place(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(DATA)

    def fail(*_):
        raise OSError(5, "Input/output error")

    with FileSource(path) as source:
        monkeypatch.setattr(os, READ, fail)
        with pytest.raises(InputOutputError) as caught:
            read_at(source, 100, 5)
    assert (caught.value.path, caught.value.offset, caught.value.exit_code) == (path, 100, 6)
    assert "Input/output error" in str(caught.value)


def test_a_read_that_comes_in_pieces_is_put_together(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    whole = getattr(os, READ)
    pieces = {
        "preadv": lambda fd, buffers, at: whole(fd, [buffers[0][:7]], at),
        "read": lambda fd, length: whole(fd, min(length, 7)),
    }
    monkeypatch.setattr(os, READ, pieces[READ])
    with FileSource(path) as source:
        assert read_at(source, 3, 100) == DATA[3:103]


def test_the_extents_of_a_sparse_file_hold_all_that_is_not_zero(tmp_path):
    path = tmp_path / "f"
    with path.open("wb") as handle:
        handle.truncate(64 << 20)
        for at in (1 << 20, 40 << 20):
            handle.seek(at)
            handle.write(b"x" * 100)
    with FileSource(path) as source:
        extents = list(source.extents())
    assert extents == sorted(extents)
    assert any(one.start <= 1 << 20 < one.end for one in extents)
    assert any(one.start <= 40 << 20 < one.end for one in extents)
    empty = tmp_path / "empty"
    empty.touch()
    with FileSource(empty) as source:
        assert list(source.extents()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell when a file was changed")
def test_a_file_that_was_written_to_and_whose_time_was_put_back_is_noticed(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(100))
    with FileSource(path) as source:
        source.require_unchanged()
        before = path.stat()
        with path.open("r+b") as file:
            file.write(b"x")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(SourceChangedError):
            source.require_unchanged()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell when a file was changed")
def test_a_file_that_gets_another_link_or_mode_is_as_it_was(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(100))
    with FileSource(path) as source:
        os.link(path, tmp_path / "other")
        source.require_unchanged()
        path.chmod(0o600)
        source.require_unchanged()
