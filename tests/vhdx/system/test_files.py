"""Files as each system has them; Windows and macOS by doubles, so that Linux tries them too."""

import errno
import os
import sys
from pathlib import Path

import pytest

import vhdx
from tests.support.windows import play_windows, refusal
from vhdx import in_place
from vhdx.errors import FileInUseError, OutputError
from vhdx.ranges import Range
from vhdx.sink import Existing, Sink, part_of
from vhdx.source import FileSource, read_at
from vhdx.system import files, windows
from vhdx.targets import check_target

not_windows = pytest.mark.skipif(os.name == "nt", reason="the double stands for Windows")


@not_windows
def test_a_file_gets_its_size_on_windows_without_a_byte_being_written(tmp_path, monkeypatch):
    calls = play_windows(monkeypatch)
    with Sink(tmp_path / "out") as sink:
        sink.make_sparse()
        sink.set_size(1 << 40)
        sink.commit()
    assert (tmp_path / "out").stat().st_size == 1 << 40
    assert calls[1:] == ["make_sparse", "set_size"]


@not_windows
def test_on_windows_a_file_that_is_written_takes_no_other_writer_and_lets_itself_be_renamed(tmp_path, monkeypatch):
    calls = play_windows(monkeypatch)
    with Sink(tmp_path / "out"):
        pass
    (tmp_path / "in").write_bytes(b"x")
    FileSource(tmp_path / "in").close()
    assert calls == [("open", windows.READ | windows.DELETE), ("open", windows.READ | windows.WRITE | windows.DELETE)]


@not_windows
@pytest.mark.parametrize("existing", [Existing.RESUME, Existing.REPLACE])
def test_an_unfinished_output_that_another_run_has_open_is_told_as_such(tmp_path, monkeypatch, existing):
    part_of(tmp_path / "out").write_bytes(b"x")
    play_windows(monkeypatch, in_use={"out.part"})
    with pytest.raises(OutputError, match="another run is writing it now"):
        Sink(tmp_path / "out", existing=existing)


@not_windows
def test_a_source_in_use_says_what_to_stop(tmp_path, monkeypatch):
    (tmp_path / "disk.vhdx").write_bytes(b"x")
    play_windows(monkeypatch, in_use={"disk.vhdx"})
    with pytest.raises(FileInUseError, match=r"another program has it open; stop the virtual machine .* shadow copy"):
        FileSource(tmp_path / "disk.vhdx")


@not_windows
def test_a_parent_in_use_is_not_called_missing(recipe, monkeypatch):
    _, leaf = recipe("chain-3")
    with vhdx.open_chain(leaf) as chain:
        parent = chain.layers[-2].path
    play_windows(monkeypatch, in_use={parent.name})
    with pytest.raises(FileInUseError) as told:
        vhdx.open_chain(leaf)
    assert told.value.path == parent


@not_windows
def test_a_target_that_could_not_be_replaced_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    target = tmp_path / "out.raw"
    target.write_bytes(b"older")
    play_windows(monkeypatch, in_use={"out.raw"})
    with pytest.raises(OutputError, match="another program has it open"):
        check_target(target, [], Existing.REPLACE)
    monkeypatch.setattr(windows, "require_replaceable", lambda _: None)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="read-only"):
        check_target(target, [], Existing.REPLACE)


@not_windows
def test_a_target_with_a_colon_would_be_a_stream_of_a_source(tmp_path, monkeypatch):
    check_target(tmp_path / "disk.vhdx:x", [], Existing.REFUSE)
    play_windows(monkeypatch)
    with pytest.raises(OutputError, match="a stream of another file"):
        check_target(tmp_path / "disk.vhdx:x", [], Existing.REFUSE)


@pytest.mark.parametrize("call", [files.rename, lambda old, _: files.remove(old)])
def test_a_file_that_a_scanner_has_open_for_a_moment_is_waited_for_on_windows(tmp_path, monkeypatch, call):
    refused, waits = [refusal(32), refusal(5)], []

    def scanned(*_, **__):
        if refused:
            raise refused.pop()

    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(files.time, "sleep", waits.append)
    for name in ("replace", "unlink"):
        monkeypatch.setattr(type(tmp_path), name, scanned)
    call(tmp_path / "old", tmp_path / "new")
    assert len(waits) == 2
    refused += [refusal(5)] * 20
    with pytest.raises(PermissionError):
        call(tmp_path / "old", tmp_path / "new")
    assert sum(waits) < 3


def test_a_name_is_taken_once_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    for content in (b"first", b"second"):
        (tmp_path / "part").write_bytes(content)
        assert files.name_new(tmp_path / "part", tmp_path / "name") == (content == b"first")
    assert (tmp_path / "name").read_bytes() == b"first"


def test_what_a_link_fails_with_otherwise_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.name_new(tmp_path / "absent", tmp_path / "name")


@not_windows
def test_macos_flushes_the_drive_too_and_a_share_that_has_none_by_fsync(tmp_path, monkeypatch):
    asked, synced = [], []

    def control(_descriptor, command):
        asked.append(command)
        if len(asked) > 1:
            raise OSError(errno.ENOTSUP, "no drive")

    monkeypatch.setattr(files.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(files.fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", synced.append)
    files.flush(1)
    assert (asked, synced) == ([51], [])
    files.flush(1)
    assert synced == [1]


@not_windows
def test_a_device_of_macos_is_as_large_as_its_blocks_together(tmp_path, monkeypatch):
    sizes = {0x40046418: 512, 0x40086419: 1 << 33}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(files.fcntl, "ioctl", lambda _, code, room: sizes[code].to_bytes(len(room), "little"))
    (tmp_path / "empty").touch()
    descriptor = os.open(tmp_path / "empty", os.O_RDONLY)
    try:
        assert files.device_size(descriptor) == 512 << 33
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="the kinds of file systems are asked of Linux")
@pytest.mark.parametrize(
    ("kind", "holes", "of_windows"),
    [("ext4", True, False), ("exfat", False, False), ("ntfs3", True, True), ("fuseblk", True, True)],
)
def test_the_file_system_says_whether_there_are_holes_and_whether_windows_reads_it(
    tmp_path, monkeypatch, kind, holes, of_windows
):
    mounts = ["1 0 0:1 / /proc rw - proc proc rw", f"29 1 8:1 / / rw,relatime shared:1 - {kind} /dev/sda1 rw"]
    facts = ["pos:\t0", "flags:\t0100000", "mnt_id:\t29"]
    monkeypatch.setattr(files, "_lines", lambda path: mounts if path.name == "mountinfo" else facts)
    assert files.keeps_holes(tmp_path) == holes
    assert files.is_read_by_windows(tmp_path) == of_windows


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_who_has_a_file_open_for_writing_is_seen_and_nobody_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert not files.has_writer(descriptor)
        with path.open("r+b"):
            assert files.has_writer(descriptor)
        assert not files.has_writer(descriptor)
        path.write_bytes(b"still possible")
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_writer_that_comes_while_it_is_asked_for_ends_no_process(tmp_path, monkeypatch):
    path, real, refused = tmp_path / "file", files.fcntl.fcntl, []
    path.write_bytes(bytes(10))

    def a_writer_comes(descriptor, command, *rest):
        if rest == (files.fcntl.F_UNLCK,):
            try:
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
            except BlockingIOError as error:
                refused.append(error)
        return real(descriptor, command, *rest)

    monkeypatch.setattr(files.fcntl, "fcntl", a_writer_comes)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert not files.has_writer(descriptor)
    finally:
        os.close(descriptor)
    assert len(refused) == 1


@not_windows
@pytest.mark.parametrize("way", ["posix_fallocate", "zeros"])
def test_holes_are_filled_with_room_and_nothing_else_changes(tmp_path, monkeypatch, way):
    if way == "zeros":
        monkeypatch.delattr(os, "posix_fallocate")
    elif not hasattr(os, way):
        pytest.skip("Linux alone")
    with Sink(tmp_path / "out") as sink:
        sink.write_at(1 << 20, b"x")
        sink.set_size(3 << 20)
        sink.fill_holes()
        sink.commit()
    assert (tmp_path / "out").read_bytes() == bytes(1 << 20) + b"x" + bytes((2 << 20) - 1)
    assert (tmp_path / "out").stat().st_blocks * 512 >= 3 << 20


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("C:\\short", "C:\\short"),
        ("C:\\" + "x" * 300, "\\\\?\\C:\\" + "x" * 300),
        ("\\\\nas\\vm\\" + "x" * 300, "\\\\?\\UNC\\nas\\vm\\" + "x" * 300),
        ("\\\\?\\C:\\" + "x" * 300, "\\\\?\\C:\\" + "x" * 300),
    ],
)
def test_a_long_path_is_given_to_windows_as_one_that_may_be_long(monkeypatch, path, made):
    monkeypatch.setattr(os.path, "abspath", str)
    assert windows.extended(path) == made


def test_a_file_has_as_many_ranges_as_windows_answers_in_several_calls(monkeypatch):
    answers = [
        (b"".join(number.to_bytes(8, "little") for number in (0, 10, 20, 10)), True),
        (b"".join(number.to_bytes(8, "little") for number in (40, 100)), False),
    ]
    asked = []

    def control(_descriptor, _code, given, _room):
        asked.append(int.from_bytes(given[:8], "little"))
        return answers[len(asked) - 1]

    monkeypatch.setattr(windows, "control", control)
    assert list(windows.allocated_ranges(3, 0, 100)) == [(0, 10), (20, 30), (40, 100)]
    assert asked == [0, 30]


@pytest.mark.skipif(os.name != "nt", reason="the real calls of Windows")
class TestOnWindows:
    def test_what_is_open_here_is_renamed_and_takes_no_other_writer(self, tmp_path):
        target = tmp_path / "out"
        with Sink(target) as sink, FileSource(sink.path):
            sink.set_size(1 << 30)
            with pytest.raises(OutputError, match="another run"):
                Sink(target, existing=Existing.RESUME)
            sink.commit()
        assert target.stat().st_size == 1 << 30

    def test_a_file_that_shares_nothing_is_in_use(self, tmp_path):
        (tmp_path / "disk").write_bytes(b"x")
        descriptor = windows.open_shared(str(tmp_path / "disk"), os.O_RDWR, 0)
        try:
            with pytest.raises(FileInUseError):
                FileSource(tmp_path / "disk")
            assert files.why_not_replaceable(tmp_path / "disk") == "another program has it open"
        finally:
            os.close(descriptor)

    def test_a_process_has_a_moment_at_which_it_was_started(self):
        assert windows.started(os.getpid()) == windows.started(os.getpid()) > 0

    def test_nul_is_no_console(self):
        with Path(os.devnull).open() as nul:
            assert nul.isatty()
            assert not windows.is_console(nul.fileno())


@pytest.mark.parametrize("ask", [files.start_reading, files.start_writing])
def test_what_the_system_is_merely_asked_for_costs_nothing_where_it_refuses(ask):
    ask(-1, 0, 4096)


@pytest.mark.skipif(sys.platform != "linux", reason="others are not asked")
def test_what_is_on_its_way_to_the_medium_reads_as_it_was_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 << 20))
    with in_place.open_edited(path) as file:
        for start in (0, 4096, 2 << 20, 8192):  # near, far, and back: what is complete is begun with each step away
            file.write_at(start, b"x" * 4096)
        assert [read_at(file, start, 1) for start in (0, 4096, 8192, 2 << 20, 12288)] == [b"x"] * 4 + [b"\0"]


@not_windows
@pytest.mark.parametrize("is_of_windows", [True, False])
def test_zeros_are_no_holes_in_a_file_that_windows_will_read(tmp_path, monkeypatch, is_of_windows):
    monkeypatch.setattr(files, "is_read_by_windows", lambda _: is_of_windows)
    path = tmp_path / "file"
    path.write_bytes(b"x" * (1 << 20))
    with in_place.open_edited(path) as file:
        file.zero(Range(0, 1 << 20))
        file.flush()
    assert path.read_bytes() == bytes(1 << 20)
    assert path.stat().st_blocks * 512 >= (1 << 20) * is_of_windows


def test_whether_room_comes_back_is_tried_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "zero", lambda *_: False)
    assert not files.takes_room_back(tmp_path)
    assert not list(tmp_path.iterdir())
