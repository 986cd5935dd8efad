"""Writing: a new file beside its target, and every way in which it can fail."""

import errno
import os
import shutil

import pytest

from tests.support.files import symbolic_link
from vhdx import sink as sink_module
from vhdx.errors import InputOutputError, NoSpaceError, OutputError
from vhdx.sink import Existing, Sink, part_of
from vhdx.targets import check_space, check_target

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX system calls")


def write_all(target):
    """Everything that a sink does."""
    with Sink(target) as sink:
        sink.write_at(0, b"x")
        sink.set_size(10)
        sink.commit()


def test_nothing_has_the_targets_name_before_the_commit(tmp_path):
    target = tmp_path / "out"
    with Sink(target) as sink:
        sink.write_at(5, b"hello")
        sink.set_size(20)
        assert sink.size == 20
        assert part_of(target).exists()
        assert not target.exists()
        sink.commit()
    assert target.read_bytes() == b"\0\0\0\0\0hello".ljust(20, b"\0")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_whatever_goes_wrong_the_part_file_is_gone(tmp_path, error):
    with pytest.raises(error), Sink(tmp_path / "out") as sink:  # noqa: PT012 - what is raised is up to the test
        sink.write_at(0, b"x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_leaving_without_a_commit_discards(tmp_path):
    with Sink(tmp_path / "out") as sink:
        sink.write_at(0, b"x")
    assert list(tmp_path.iterdir()) == []
    sink.discard()


@posix
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, "full")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OutputError) as caught, Sink(tmp_path / "out") as sink:
        sink.write_at(0, b"x")
    assert (caught.value.exit_code, caught.value.path) == (5, tmp_path / "out")
    assert "full" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize(("call", "number"), [("pwrite", errno.EIO), ("fsync", errno.EIO), ("ftruncate", errno.EIO)])
def test_a_failing_medium_is_an_input_output_error_and_leaves_nothing(tmp_path, monkeypatch, call, number):
    def fail(*_):
        raise OSError(number, "it is broken")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(InputOutputError) as caught:
        write_all(tmp_path / "out")
    assert caught.value.exit_code == 6
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
def test_a_file_system_that_takes_no_such_file_is_an_output_error(tmp_path, monkeypatch, call):
    def fail(*_):
        raise OSError(errno.EFBIG, "too big")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError) as caught:
        write_all(tmp_path / "out")
    assert caught.value.exit_code == 5


@posix
def test_a_write_that_goes_in_pieces_is_completed(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: whole(fd, data[:3], at))
    with Sink(tmp_path / "out") as sink:
        sink.write_at(2, b"hello world")
        sink.commit()
    assert (tmp_path / "out").read_bytes() == b"\0\0hello world"


def test_an_existing_target_is_refused(tmp_path):
    target = tmp_path / "out"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError) as caught:
        check_target(target, [], Existing.REFUSE)
    assert "--force" in str(caught.value)
    check_target(target, [], Existing.REPLACE)
    assert target.read_bytes() == b"precious"


def test_a_part_file_that_somebody_left_is_refused_and_can_be_replaced(tmp_path):
    target = tmp_path / "out"
    part_of(target).write_bytes(b"another run")
    with pytest.raises(OutputError):
        check_target(target, [], Existing.REFUSE)
    with pytest.raises(OutputError):
        Sink(target)
    assert part_of(target).read_bytes() == b"another run"
    with Sink(target, existing=Existing.REPLACE) as sink:
        sink.write_at(0, b"x")
        sink.commit()
    assert target.read_bytes() == b"x"


@posix
def test_another_run_cannot_take_what_waits_for_its_name(tmp_path):
    target = tmp_path / "out"
    with Sink(target, existing=Existing.REPLACE) as sink:
        sink.write_at(0, b"first")
        sink.flush()
        with pytest.raises(OutputError) as caught:
            Sink(target, existing=Existing.REPLACE)
        assert "another run" in str(caught.value)
        sink.commit()
    assert target.read_bytes() == b"first"


@posix
def test_what_another_run_begins_meanwhile_is_not_removed_with_what_was_left(tmp_path, monkeypatch):
    target = tmp_path / "out"
    part_of(target).write_bytes(b"left over")
    begun = []

    def locked(descriptor):
        if not begun:  # the other run is quicker by a moment
            part_of(target).unlink()
            part_of(target).write_bytes(b"of the other run")
            begun.append(descriptor)
        return True

    monkeypatch.setattr(sink_module.files, "lock", locked)
    with pytest.raises(OutputError):
        Sink(target, existing=Existing.REPLACE)
    assert part_of(target).read_bytes() == b"of the other run"


def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "out"
    with Sink(target) as sink:
        sink.write_at(0, b"x")
        target.write_bytes(b"precious")
        with pytest.raises(OutputError):
            sink.commit()
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("existing", Existing)
@pytest.mark.parametrize("how", ["itself", "symbolic link", "hard link", "dots", "part file"])
def test_a_source_is_never_a_target(tmp_path, how, existing):
    source = tmp_path / "in.vhdx"
    source.write_bytes(b"evidence")
    other = tmp_path / "other.vhdx"
    other.touch()
    target = tmp_path / "out"
    if how == "itself":
        target = source
    elif how == "symbolic link":
        symbolic_link(target, source)
    elif how == "hard link":
        os.link(source, target)
    elif how == "dots":
        (tmp_path / "sub").mkdir()
        target = tmp_path / "sub" / ".." / "in.vhdx"
    else:
        symbolic_link(part_of(target), source)
    with pytest.raises(OutputError) as caught:
        check_target(target, [other, source], existing)
    assert caught.value.exit_code == 5
    assert "source" in str(caught.value)
    assert source.read_bytes() == b"evidence"


@posix
@pytest.mark.parametrize("existing", Existing)
def test_a_target_that_is_no_regular_file_is_refused(tmp_path, existing):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "pipe", tmp_path / "folder"):
        with pytest.raises(OutputError):
            check_target(target, [], existing)


@posix
def test_a_dangling_link_is_something_that_exists(tmp_path):
    symbolic_link(tmp_path / "out", tmp_path / "nowhere")
    with pytest.raises(OutputError):
        check_target(tmp_path / "out", [], Existing.REFUSE)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError) as caught:
        check_target(tmp_path / "gone" / "out", [], Existing.REFUSE)
    assert "folder" in str(caught.value)


def test_too_little_space_is_refused_with_both_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(100, 90, 10))
    check_space(tmp_path / "out", 10)
    with pytest.raises(NoSpaceError) as caught:
        check_space(tmp_path / "out", 11)
    error = caught.value
    assert (error.needed, error.free, error.exit_code) == (11, 10, 5)
    assert isinstance(error, OutputError)
    assert "11" in str(error)
    assert "10" in str(error)


@posix
def test_a_clone_shares_the_bytes_where_the_file_system_can_and_says_so_where_not(tmp_path, monkeypatch):
    import fcntl

    source = tmp_path / "source"
    source.write_bytes(b"evidence")

    def share(descriptor, _request, other):
        os.pwrite(descriptor, os.pread(other, 100, 0), 0)

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr("sys.platform", "linux")
    for action, shared in ((share, True), (refuse, False)):
        monkeypatch.setattr(fcntl, "ioctl", action)
        with source.open("rb") as file, Sink(tmp_path / "out", existing=Existing.REPLACE) as sink:
            assert sink.clone(file.fileno(), 8) is shared
            assert sink.size == (8 if shared else 0)
            sink.commit()
        assert (tmp_path / "out").read_bytes() == (b"evidence" if shared else b"")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
@pytest.mark.parametrize("is_there", [True, False])
def test_an_unfinished_output_that_is_a_link_is_never_followed(tmp_path, is_there):
    victim, target = tmp_path / "victim", tmp_path / "out.raw"
    if is_there:
        victim.write_bytes(b"mine")
    symbolic_link(part_of(target), victim)
    with pytest.raises(OutputError, match="symbolic link"):
        Sink(target, existing=Existing.RESUME)
    assert victim.exists() == is_there
    assert not is_there or victim.read_bytes() == b"mine"
