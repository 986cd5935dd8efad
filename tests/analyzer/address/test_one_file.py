"""One file out of a restore point of a huge disk: only the chunks that hold it, and what leads to it, are read."""

import hashlib
import random
import shutil
import threading
from urllib.parse import urlsplit

import pytest

pytest.importorskip("zstandard")
pytest.importorskip("pytsk3")

from analyzer.address.point import _Chunks
from analyzer.backup.repository.chunks import ChunkStore
from cli.errors import run
from cli.main import vhdx
from tests.analyzer.backup.places import site_of
from tests.analyzer.guest import images

__all__ = ["site_of"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(images.is_missing("ext"), reason="no mkfs.ext4 or debugfs")]
TIB, MIB = 1 << 40, 1 << 20


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A repository with a point of a disk of 1 TiB that has a few files, and the content of one of them."""
    noise, folder = random.Random(17), tmp_path_factory.mktemp("huge")
    files = {f"folder/other{number}.bin": noise.randbytes(700_000) for number in range(8)}
    files["folder/wanted.bin"] = noise.randbytes(3_000_000)
    sparing = ("-F", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=1,nodiscard", "-N", "1024")
    raw, repository = images.make_ext(folder / "disk.raw", files, TIB, *sparing), folder / "kept"
    for command in (["init", repository, "--chunk-size", "1M"], ["create", repository, raw, "--name", "huge"]):
        assert run(vhdx, ["backup", *map(str, command)]) == 0
    raw.unlink()
    return repository, files["folder/wanted.bin"]


@pytest.fixture
def counted(monkeypatch):
    """The chunks that are fetched, and those that were asked for, by number."""
    fetched, asked, lock = [], set(), threading.Lock()
    get, read_into = ChunkStore.get, _Chunks.read_into

    def note_get(self, chunk_id):
        with lock:
            fetched.append(chunk_id)
        return get(self, chunk_id)

    def note_read(self, offset, buffer):
        with lock:
            asked.update(range(offset // MIB, -(-(offset + len(buffer)) // MIB)))
        return read_into(self, offset, buffer)

    monkeypatch.setattr(ChunkStore, "get", note_get)
    monkeypatch.setattr(_Chunks, "read_into", note_read)
    return fetched, asked


@pytest.mark.parametrize("kind", ["folder", pytest.param("sftp", marks=pytest.mark.peers)])
def test_one_file_of_a_disk_of_a_tebibyte_reads_the_chunks_it_needs_each_once(
    vhdx_command, huge, counted, tmp_path, site_of, kind
):
    (repository, wanted), (fetched, asked) = huge, counted
    if kind != "folder":
        local, repository = repository, site_of(kind).url("one-file")
        shutil.copytree(local, urlsplit(repository).path)
    done = vhdx_command("extract", f"{repository}::huge", "/folder/wanted.bin", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    found = (tmp_path / "out/wanted.bin").read_bytes()
    assert hashlib.sha256(found).digest() == hashlib.sha256(wanted).digest()
    assert len(fetched) == len(set(fetched)), "a chunk that was read is kept"
    assert len(fetched) <= len(asked), "no chunk is read that nobody asked for"
    # Its own three or four chunks; superblock and descriptors (64 MiB of them on such a disk, of which the file's group
    # is one), inodes, two folders.
    assert len(asked) < 24


def test_a_chunk_that_is_missing_loses_its_own_bytes_alone(vhdx_command, huge, tmp_path):
    wanted, repository = huge[1], shutil.copytree(huge[0], tmp_path / "kept")
    chunk = _chunk_with(repository, wanted[1_500_000:1_500_064])
    chunk.unlink()
    listed = vhdx_command("files", f"{repository}::huge", "/folder", "--json")
    assert listed.code == 0
    assert "wanted.bin" in listed.out
    assert listed.json["state"]["format"] == "point"
    assert vhdx_command("extract", f"{repository}::huge", "/folder/wanted.bin", "-o", tmp_path / "none").code == 1
    partial = vhdx_command("extract", f"{repository}::huge", "/folder/wanted.bin", "-o", tmp_path / "out", "--partial")
    assert partial.code == 1
    found = (tmp_path / "out/wanted.bin.partial").read_bytes()
    assert len(found) == len(wanted)
    differs = [number for number, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1]]
    assert differs
    assert differs[-1] - differs[0] < MIB
    assert differs[0] <= 1_500_000


def _chunk_with(repository, content):
    import zstandard

    for path in (repository / "chunks.castr").rglob("*.cacnk"):
        if content in zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=MIB):
            return path
    raise AssertionError("no chunk holds it")
