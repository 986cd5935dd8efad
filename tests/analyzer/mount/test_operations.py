"""What FUSE is answered, without FUSE: states and restore points as files, file systems as folders."""

import errno
import os
from types import SimpleNamespace

import pytest

from analyzer.guest.filesystems.record import SLASH, FileKind, FileRecord
from analyzer.mount.fuse import Operations, _bindings
from analyzer.mount.states import StateFile, points_folder, states_folder
from analyzer.mount.tree import FixedFolder
from tests.analyzer.guest import images
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of
from vhdx.chain import open_chain
from vhdx.disk import Mask, MaskedDisk
from vhdx.errors import SourceChangedError
from vhdx.ranges import Range, Ranges


def shown(root):
    """The operations over a tree, and what they say."""
    said = []
    return Operations(root, lambda: None, said.append), said


def opened(operations, path):
    info = SimpleNamespace(direct_io=None, keep_cache=None)
    operations.open(path, info)
    return info


def read(operations, path, size, offset):
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: operations.read(path, buffer, offset)])


def data_from(operations, position):
    try:
        return operations.lseek("/leaf.raw", position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


@pytest.fixture(scope="module")
def three():
    """A chain of three layers in memory, and the models of its states."""
    fixture = fixture_of("chain-3")
    chain = chain_of([fixture.files[name] for name in reversed(fixture.chain)])
    return chain, [fixture.models[name] for name in reversed(fixture.chain)]


def test_every_state_of_a_chain_is_a_file_with_its_bytes(three):
    chain, models = three
    operations, _ = shown(states_folder((f"@{n}", chain.upto(n)) for n in range(3)))
    assert [name for name, *_ in operations.readdir("/", None)] == [".", "..", "@0.raw", "@1.raw", "@2.raw"]
    for number, model in enumerate(models):
        path = f"/@{number}.raw"
        assert operations.getattr(path)["st_size"] == model.size
        assert read(operations, path, model.size + 5, 0) == model.read(0, model.size)
        assert read(operations, path, 100, model.size - 7) == model.read(model.size - 7, 7)


def test_holes_are_where_the_tables_say_and_all_else_is_data(three):
    chain, models = three
    operations, _ = shown(states_folder([("leaf", chain)]))
    position, held = 0, []
    while (start := data_from(operations, position)) is not None:
        position = operations.lseek("/leaf.raw", start, os.SEEK_HOLE)
        assert start < position
        held.append(Range.between(start, position))
    holes = Ranges.of(held).gaps(Range(0, chain.size))
    assert holes.size > 0
    assert all(not any(models[-1].read(*hole)) for hole in holes)
    assert operations.getattr("/leaf.raw")["st_blocks"] == Ranges.of(held).size // 512


def test_what_is_lost_is_an_error_of_input_and_each_read_reaches_it(three):
    chain, models = three
    lost = Range(5 << 20, 512)
    disk = MaskedDisk(chain, Mask(Ranges.of([lost]), "a map has it as lost"))
    operations, said = shown(states_folder([("leaf", disk), ("whole", chain)]))
    assert (opened(operations, "/leaf.raw").direct_io, opened(operations, "/whole.raw").keep_cache) == (True, True)
    for start in (lost.start, lost.start - 1, lost.start):
        with pytest.raises(OSError, match="a map has it as lost") as caught:
            read(operations, "/leaf.raw", 2, start)
        assert caught.value.errno == errno.EIO
    for start in (lost.start - 512, lost.end):
        assert read(operations, "/leaf.raw", 512, start) == models[-1].read(start, 512)
    assert len(said) == 2, "each sentence once"


def test_a_path_that_is_not_there_or_is_of_another_kind_has_its_own_error(three):
    operations, _ = shown(states_folder([("leaf", three[0])]))
    for call, number in (
        (lambda: operations.getattr("/none"), errno.ENOENT),
        (lambda: operations.getattr("/leaf.raw/none"), errno.ENOENT),
        (lambda: operations.readdir("/leaf.raw", None), errno.ENOTDIR),
        (lambda: read(operations, "/", 1, 0), errno.EISDIR),
        (lambda: operations.readlink("/leaf.raw"), errno.EINVAL),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            call()
        assert caught.value.errno == number


def test_readers_are_kept_warm_however_many_threads_come_and_go(three):
    chain, _ = three
    file = StateFile(chain, 0)
    for start in range(0, 1 << 20, 1 << 16):
        file.read(start, 1 << 16)
    assert len(file._readers) == 1


def test_a_source_that_was_written_to_ends_new_reads(recipe):
    _, leaf = recipe("chain-3")
    with open_chain(leaf) as chain:
        file = StateFile(chain, 0)
        assert len(file.read(0, 512)) == 512
        with leaf.open("r+b") as handle:
            handle.seek(0, os.SEEK_END)
            handle.write(b"more")
        file._guard._next = 0
        with pytest.raises(SourceChangedError):
            file.read(0, 512)


def test_restore_points_are_files_whose_list_costs_their_manifests_alone(three):
    pytest.importorskip("zstandard")
    from tests.analyzer.backup.helpers import back_up, new_repository

    chain, models = three
    repository = new_repository()
    (manifest,) = back_up(repository, chain, name="monday")
    repository.place.reads.clear()
    operations, _ = shown(points_folder(repository))
    assert operations.getattr("/monday.raw")["st_size"] == manifest.size
    assert not [name for name in repository.place.reads if name.endswith((".caibx", ".cacnk"))]
    assert read(operations, "/monday.raw", manifest.size, 0) == models[-1].read(0, manifest.size)


@pytest.mark.skipif(images.is_missing("ext"), reason="no mkfs.ext4 or debugfs")
def test_the_file_systems_inside_are_folders(tmp_path):
    pytest.importorskip("pytsk3")
    from analyzer.convert.disks import RawDisk
    from analyzer.mount.volumes import volumes_folder

    content = os.urandom(70_000)
    raw = images.make_ext(tmp_path / "disk.raw", {"folder/data.bin": content, "empty": b""})
    images.debugfs(raw, "symlink link /folder/data.bin")
    with RawDisk(raw) as disk:
        operations, _ = shown(volumes_folder(disk))
        assert {name for name, *_ in operations.readdir("/1", None)} >= {"folder", "empty", "link"}
        assert operations.getattr("/1/folder/data.bin")["st_size"] == len(content)
        assert read(operations, "/1/folder/data.bin", len(content), 0) == content
        assert read(operations, "/1/folder/data.bin", 9000, 65_000) == content[65_000:]
        assert read(operations, "/1/empty", 10, 0) == b""
        assert operations.readlink("/1/link") == "/folder/data.bin"


@pytest.mark.skipif(images.is_missing("ext"), reason="no mkfs.ext4 or debugfs")
def test_folders_are_kept_up_to_a_bound_and_read_again_after_that(tmp_path, monkeypatch):
    pytest.importorskip("pytsk3")
    from analyzer.convert.disks import RawDisk
    from analyzer.mount import volumes

    monkeypatch.setattr(volumes, "_MOST_RECORDS", 6)
    raw = images.make_ext(tmp_path / "disk.raw", {f"f{n}/{m}": b"%d" % m for n in range(4) for m in range(3)})
    with RawDisk(raw) as disk:
        operations, _ = shown(volumes.volumes_folder(disk))
        for _ in range(2):
            for number in range(4):
                names = {name for name, *_ in operations.readdir(f"/1/f{number}", None)}
                assert names == {".", "..", "0", "1", "2"}
        assert read(operations, "/1/f0/2", 10, 0) == b"2"


@pytest.mark.parametrize(("path", "name"), [("/a/b", "b"), (f"/a{SLASH}b", "a_b"), ("/..", ""), ("/x\0y", "x_y")])
def test_no_name_of_a_hostile_volume_leads_out_of_its_folder(path, name):
    from analyzer.mount.volumes import name_of

    assert name_of(FileRecord(volume=1, path=path, address=1, parent=0, kind=FileKind.FILE)) == name


def test_without_fuse_the_sentence_names_the_other_way(monkeypatch):
    from analyzer.mount.fuse import NoFuseError

    monkeypatch.setitem(__import__("sys").modules, "mfusepy", None)
    with pytest.raises(NoFuseError, match="vhdx serve DISK --socket S"):
        _bindings()
    assert FixedFolder({}).child("x") is None
