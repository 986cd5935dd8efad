"""The process that reads file systems: what it does when its library hangs or dies, and what it may tell."""

import contextlib
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems import reader_process, volume
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.opened import At, Avoid
from analyzer.guest.filesystems.reader_process import ReaderEndedError, ReaderProcess
from analyzer.guest.filesystems.record import (
    ENDLESS,
    IMPOSSIBLE,
    Extent,
    FileKind,
    FileRecord,
    FileState,
    Packing,
    Stream,
    Times,
)
from analyzer.guest.filesystems.rows import NonsenseError, item_of, maker_for, row_of
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.filesystems.walk import Begun, Said
from analyzer.guest.filesystems.watch import OUT_OF_MEMORY, OUT_OF_TIME
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need
from tests.support.readers import start_as_the_product_does
from vhdx.ranges import Range

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
STREAM = Stream("", 5000, 128, 3, Packing.PLAIN, (), (Extent(0, 1 << 40, 5000),))
FILE = FileRecord(
    volume=3, path="/a\udcff/b", address=12, sequence=4, parent=5, kind=FileKind.FILE, state=FileState.DELETED,
    size=5000, times=Times(-5, None, 1 << 70, 0), mode=0o644, owner=(1 << 32) - 1, links=1, data=STREAM,
    streams=(STREAM._replace(name="zone", resident=(Range(7, 8),), extents=()),), metadata=(Range(512, 1024),),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _as_the_product_does(monkeypatch):
    """Here each process is a new interpreter, which in other tests would cost more than what they are about.

    And each volume is read by one, also a plain one.
    """
    monkeypatch.setattr(reader_process, "_start", start_as_the_product_does)
    monkeypatch.setattr(volume, "plain_volume", lambda *_: None)


def endless(path, size=8 * images.MIB, *, is_ext4=False):
    """An ext2 of which one file's blocks of numbers point to themselves; its other files.

    Where it says that it is an ext4, such files are not looked for, and end the process that comes to them.
    """
    files = {f"f{n}": content(n, 2000) for n in range(12)} | {"d/in": b"below", "endless": content(99, 600_000)}
    images.make_ext(path, files, size, "-t", "ext2", "-b", "1024")
    own = int(re.search(r"\((?:T|D)IND\):(\d+)", images.debugfs_said(path, "stat /endless"))[1])
    with path.open("r+b") as file:
        file.seek(own * 1024)
        file.write(own.to_bytes(4, "little") * 256)
    images.debugfs(path, f"set_inode_field endless block[TIND] {own}", "set_inode_field endless size 1000000000")
    if is_ext4:
        images.debugfs(path, "feature extent")
    return {name for name in files if name != "endless"}


def _impatient():
    """The program with a limit of one second: it goes over it four times, and how long it is does not matter here."""
    *before, last = reader_process._PROGRAM.splitlines(keepends=True)
    return "".join([*before, "from analyzer.guest.filesystems import watch\n", "watch.SECONDS = 1\n", last])


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("is_ext4", [False, True])
def test_a_file_that_leads_its_library_in_circles_is_named_and_all_others_come_out(
    vhdx_command, tmp_path, monkeypatch, is_ext4
):
    need("ext4")
    monkeypatch.setattr(reader_process, "_PROGRAM", _impatient())
    others = endless(tmp_path / "disk.raw", is_ext4=is_ext4)
    answer = vhdx_command("files", tmp_path / "disk.raw", "-r", "--json")
    assert answer.code == 1
    told = {file["path"][1:]: file["obstacle"] for file in answer.json["files"] if file["kind"] == "file"}
    assert told == dict.fromkeys(others) | {"endless": ENDLESS}
    assert [trouble["path"] for trouble in answer.json["troubles"]] == ["/endless"]
    assert vhdx_command("extract", tmp_path / "disk.raw", "/", "-o", tmp_path / "out").code == 1
    assert {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    } == others


@pytest.mark.slow
@pytest.mark.peers
def test_a_file_of_ext2_that_leads_in_circles_ends_no_process(tmp_path):
    need("ext4")
    endless(tmp_path / "disk.raw")
    with RawDisk(tmp_path / "disk.raw") as disk:
        (volume,) = open_volumes(ReadableDisk(disk))
        told = {record.name: record.obstacle for record in volume.walk() if record.kind is FileKind.FILE}
    assert told["endless"] == ENDLESS
    assert volume.ends == 0


@linux
@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_ends_the_work_within_a_second_and_leaves_no_process(tmp_path, number):
    need("ext4")
    number = signal.Signals[number]
    size = 8 * images.MIB + 4096 * random.randrange(1, 200)  # by which its process is found
    endless(tmp_path / "disk.raw", size, is_ext4=True)
    # In the background of a shell SIGINT is ignored, and that is inherited.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from cli.main import main; main()"
    command = [sys.executable, "-c", heard, "files", "-r", tmp_path / "disk.raw"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert _within(60, lambda: any(_processor_time(one) > 1 for one in _processes_of(size)))
        process.send_signal(number)
        assert process.wait(30) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -signal.SIGKILL)
    assert _within(30, lambda: not list(_processes_of(size)))


def _within(seconds, is_so):
    """Whether it is so, asked again for about so long: on a machine that is not busy it takes a tenth of a second."""
    return any(is_so() or time.sleep(0.05) for _ in range(seconds * 20)) or is_so()


def _processes_of(size):
    """The processes that read a disk of this size."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if str(size).encode() in arguments and any(b"filesystems.worker" in one for one in arguments):
                yield process


def _processor_time(process):
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")
    return 0


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["ntfs", "fat16", "exfat"])
def test_where_the_library_dies_what_came_before_is_listed_and_the_end_is_told(states_of, monkeypatch, kind):
    states = states_of(kind)
    monkeypatch.setattr(reader_process, "_PROGRAM", _dying_at("poked.bin"))
    with RawDisk(states.raw[0]) as disk:
        (volume,) = open_volumes(ReadableDisk(disk))
        names = [record.name for record in volume.walk()]
    assert "poked.bin" not in names
    assert any(ENDLESS in trouble.text for trouble in volume.troubles)
    assert len(names) == len(set(names))


def _dying_at(name):
    """The program of the process, with a library that ends it when it comes to a file."""
    fault = f"""
import os
from analyzer.guest.filesystems import file_records
whole = file_records.Maker.record
def record(self, file, *rest):
    name = file.info.name
    if name is not None and name.name == {name.encode()!r}:
        os._exit(3)
    return whole(self, file, *rest)
file_records.Maker.record = record
"""
    first, *rest = reader_process._PROGRAM.splitlines(keepends=True)
    return "".join((first, rest[0], fault, *rest[1:]))


@pytest.mark.peers
def test_a_process_that_never_starts_leaves_volumes_that_cannot_be_read(states_of, monkeypatch):
    monkeypatch.setattr(reader_process, "_PROGRAM", "raise SystemExit(9)")
    with RawDisk(states_of("ntfs").raw[0]) as disk:
        (volume,) = open_volumes(ReadableDisk(disk))
    assert volume.record.type == "ntfs"
    assert "ended by itself (9)" in volume.record.reason


@pytest.mark.peers
def test_what_the_process_reads_is_judged_and_no_class_is_ever_made_of_what_it_tells(states_of, monkeypatch, tmp_path):
    sent = (pickle.dumps(("read", -1, 512)), pickle.dumps(("read", 0, 1 << 40)), pickle.dumps((Path(tmp_path), 1)))
    for message in sent:
        program = reader_process._PROGRAM.rpartition("main(")[0] + f"kind(int(sys.argv[2])).send_bytes({message!r})\n"
        monkeypatch.setattr(reader_process, "_PROGRAM", program)
        with RawDisk(states_of("ntfs").raw[0]) as disk:
            reader = ReaderProcess(ReadableDisk(disk))
            with pytest.raises(ReaderEndedError):
                list(reader.ask(()))


@pytest.mark.parametrize(("setting", "work", "code"), [
    ("SECONDS = 0.3", "while True: pass", OUT_OF_TIME),
    ("MEMORY = 1 << 20", "time.sleep(60)", OUT_OF_MEMORY),
])  # fmt: skip
def test_the_process_ends_itself_at_its_limits(setting, work, code):
    program = f"import time\nfrom analyzer.guest.filesystems import watch\nwatch.{setting}\nwatch.Watch()\n{work}\n"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == code


def test_a_process_that_a_large_one_started_has_a_limit_of_its_own():
    large = bytearray(200 << 20)
    large[:: 1 << 12] = bytes(1) * (len(large) >> 12)  # each page is written, and so there
    program = "from analyzer.guest.filesystems import watch\nprint(watch._peak_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) < len(large) // 2


@pytest.mark.parametrize("item", [FILE, Begun(FILE), Said("/a", "it is gone"), FILE._replace(data=None, streams=())])
def test_what_is_told_comes_out_as_it_went_in(item):
    row = row_of(item)
    assert item_of(row, 3) == maker_for([row, row_of(FILE)])(row, 3) == item


def test_places_that_no_disk_has_are_not_told_on():
    for far in (-1, 1 << 62, 1 << 63, 1 << 74):
        stream = STREAM._replace(extents=(Extent(0, far, 5000),))
        for file in (FILE._replace(data=stream), FILE._replace(size=far), FILE._replace(metadata=(Range(far, 1),))):
            row = row_of(file)
            told = maker_for([row_of(FILE), row])(row, 3)
            assert told == item_of(row, 3)
            assert (told.obstacle, told.data, told.path) == (IMPOSSIBLE, None, FILE.path)


@pytest.mark.parametrize(("place", "value"), [
    (0, b"/path"), (1, 7), (2, -1), (2, 1 << 64), (3, True), (10, (0, 0, 0)), (10, ("",) * 4),
    (11, "disk"), (14, ("", "plain", 1, 2)), (16, 5), (17, 5),
])  # fmt: skip
def test_a_record_with_anything_else_in_it_is_none(place, value):
    row = list(row_of(FILE))
    row[place] = value
    with pytest.raises(NonsenseError):
        maker_for([row_of(FILE), tuple(row)])(tuple(row), 3)


def test_a_folder_is_tried_file_by_file_before_the_rest_of_it_is_given_up():
    avoid = Avoid().around(At(5, is_folder=True), 2)
    assert avoid == Avoid(suspects=frozenset({5}))
    assert avoid.around(At(30), 2) == Avoid(files=frozenset({30}), suspects=frozenset({5}))
    assert avoid.around(At(5, is_folder=True), 2).ends == {(5, 2)}
