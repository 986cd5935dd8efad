"""Which files need no reading the next night: proved by identities, and by times that nobody can put back."""

import os
import shutil

import pytest

pytest.importorskip("zstandard")

import vhdx
from fixtures import write_files
from tests.analyzer.backup.helpers import MIB, back_up, content_of, new_repository
from tests.support.catalogue import fixture_of
from vhdx.runs import Kind

pytestmark = pytest.mark.slow


@pytest.fixture
def leaf(tmp_path):
    fixture = fixture_of("chain-3")
    (tmp_path / "vm").mkdir()
    write_files(fixture, tmp_path / "vm")
    return tmp_path / "vm" / fixture.leaf


def backed_up(repository, leaf):
    """The manifest of a point of the leaf, and the disk's content."""
    with vhdx.open_chain(leaf) as chain:
        (manifest,) = back_up(repository, chain)
        return manifest, chain.read(0, chain.size)


def write_in_place(path):
    """Change a byte of data, and put the file's time back."""
    with vhdx.open_image(path) as image:
        offset = next(run.file_offset for run in image.runs() if run.kind is Kind.DATA)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell when a file was changed")
@pytest.mark.parametrize("which", ["base", "leaf"])
def test_a_file_that_was_rewritten_in_place_with_its_time_put_back_is_read(leaf, which):
    repository = new_repository(chunk_size=MIB)
    backed_up(repository, leaf)
    with vhdx.open_chain(leaf) as chain:
        path = chain.layers[0].path if which == "base" else leaf
    write_in_place(path)
    manifest, content = backed_up(repository, leaf)
    assert manifest.effort.read_bytes > 0
    assert content_of(repository, manifest.name) == content
    if which == "base":
        assert "written to in place" in manifest.effort.read_in_full


@pytest.mark.parametrize("way", ["moved", "copied with its times", "copied anew under the old names"])
def test_a_chain_that_was_moved_or_copied_with_its_times_is_not_read_again(leaf, way, tmp_path):
    repository, elsewhere = new_repository(chunk_size=MIB), tmp_path / "elsewhere"
    backed_up(repository, leaf)
    if way == "moved":
        leaf.parent.rename(elsewhere)
    else:
        shutil.copytree(leaf.parent, elsewhere)  # with times, as rsync -t and robocopy keep them
    if way == "copied anew under the old names":
        leaf.parent.rename(tmp_path / "yesterday")
        elsewhere.rename(leaf.parent)
        elsewhere = leaf.parent
    manifest, content = backed_up(repository, elsewhere / leaf.name)
    assert manifest.effort.read_bytes == 0
    assert content_of(repository, manifest.name) == content


@pytest.mark.parametrize("way", ["without its times", "onto the old files"])
def test_a_chain_that_was_copied_so_that_nothing_is_proved_is_read_and_stored_once(leaf, way, tmp_path):
    repository, elsewhere = new_repository(chunk_size=MIB), tmp_path / "elsewhere"
    backed_up(repository, leaf)
    elsewhere.mkdir()
    for path in list(leaf.parent.iterdir()):
        shutil.copyfile(path, elsewhere / path.name)
        if way == "onto the old files":
            shutil.copyfile(elsewhere / path.name, path)
    manifest, content = backed_up(repository, (leaf.parent if way == "onto the old files" else elsewhere) / leaf.name)
    assert manifest.effort.read_in_full
    assert manifest.effort.chunks_written == 0
    assert content_of(repository, manifest.name) == content
