"""Files that are taken out to a file system which fills up."""

import errno
import multiprocessing.connection  # noqa: F401 - before `os.write` is replaced, which it takes for its own
import os

import pytest

from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need

pytestmark = pytest.mark.peers
FILES = {f"folder/file{number}": content(200 + number, 300_000) for number in range(5)}


@pytest.fixture
def disk(tmp_path):
    need("ext4")
    return images.make_ext(tmp_path / "disk.raw", FILES)


@pytest.fixture
def room(monkeypatch):
    """Lets so many bytes be written, and no more; the system takes a part of what is too much, as it does."""

    def leave(count, number=errno.ENOSPC):
        write, left = os.write, count

        def some(descriptor, data):
            nonlocal left
            if not left:
                raise OSError(number, os.strerror(number))
            done = write(descriptor, data[:left])
            left -= done
            return done

        monkeypatch.setattr(os, "write", some)

    return leave


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_was_written_whole_stays_and_the_exit_code_is_that_of_all_who_write(
    vhdx_command, disk, room, tmp_path, number
):
    room(1_000_000, number)
    answer = vhdx_command("extract", disk, "/", "-o", tmp_path / "out", "--json")
    assert answer.code == 5
    assert answer.err.count("the file system is full; make room") == 1
    written = {f"folder/{path.name}": path.read_bytes() for path in (tmp_path / "out" / "folder").iterdir()}
    assert written == {name: FILES[name] for name in written}
    told = answer.json
    assert (told["files"], told["bytes"], len(written)) == (3, 900_000, 3)
    (left,) = told["left_out"]
    assert left["path"][1:] in set(FILES) - set(written)
    assert "neither it nor what comes after it" in left["text"]


def test_text_says_what_was_written_before_why_it_ended(vhdx_command, disk, room, tmp_path):
    room(700_000)
    answer = vhdx_command("extract", disk, "/folder", "-o", tmp_path / "out")
    assert (answer.code, answer.out) == (5, f"{tmp_path / 'out'}: 2 files, 1 folder, 585.9 KiB\n")
    assert answer.err.splitlines()[-1].startswith(f"error: {tmp_path / 'out' / 'folder' / 'file'}")


@pytest.mark.parametrize("call", ["mkdir", "close"])
def test_a_file_system_that_says_so_elsewhere_is_as_full(vhdx_command, disk, tmp_path, monkeypatch, call):
    before = getattr(os, call)

    def full(*arguments, **more):
        before(*arguments, **more)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if call == "close":
            patch.setattr(
                "analyzer.guest.extract.target.fill", lambda *_: patch.setattr(os, "close", once(full, patch, before))
            )
        else:
            patch.setattr(os, "mkdir", full)
        answer = vhdx_command("extract", disk, "/", "-o", tmp_path / "out")
    assert (answer.code, "the file system is full" in answer.err) == (5, True)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def once(call, patch, then):
    """The call the first time, and never again."""

    def only(*arguments):
        patch.setattr(os, "close", then)
        return call(*arguments)

    return only
