"""Other programs restore every point: casync, and the repository's own restore.py with the program zstd."""

import hashlib
import subprocess
import sys

import pytest

from analyzer.backup.plan import Hashing, Which
from analyzer.backup.restore import PointDisk, extract_range, request_for
from analyzer.backup.storage.local import LocalPlace
from analyzer.convert.convert import plan_output, run_conversion
from analyzer.convert.model import Options, OutputFormat
from fixtures import write_files
from tests.analyzer.backup.helpers import KIB, back_up, content_of, new_repository
from tests.support.catalogue import fixture_of
from tests.support.peer_tools import qemu_img
from vhdx import open_chain
from vhdx.sink import Existing

pytestmark = pytest.mark.slow

NAMES = [
    "chain-3",
    "unaligned-size",
    "empty",
    "one-sector-512",
    "states-child",
    "child-larger",
    "short-middle",
    "block-32m",
]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """For each recipe: the repository, its folder, and (manifest, expected bytes) of every point; incrementals too."""
    made = {}

    def build(name):
        if name not in made:
            folder, fixture = tmp_path_factory.mktemp(name), fixture_of(name)
            write_files(fixture, folder)
            repository = new_repository(LocalPlace(folder / "kept"), 64 * KIB if len(made) % 2 else None)
            points = []
            for leaf in fixture.chain[::-1]:
                with open_chain(folder / leaf) as chain:
                    made_points = back_up(repository, chain, hashing=Hashing.ALWAYS)
                    points += [(m, fixture.models[leaf]) for m in made_points]
            with open_chain(folder / fixture.leaf) as chain:
                other = new_repository(LocalPlace(folder / "together"))
                for manifest in back_up(other, chain, which=Which.CHECKPOINTS):
                    assert manifest.index_sha256
            made[name] = repository, folder / "kept", [(m, model.read(0, model.size)) for m, model in points]
        return made[name]

    return build


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_casync_extracts_and_digests_every_point(repositories, name, tmp_path, require_peer):
    require_peer("casync")
    _, folder, points = repositories(name)
    for manifest, expected in points:
        index, store, out = folder / "points" / f"{manifest.name}.caibx", folder / "chunks.castr", tmp_path / "out.raw"
        subprocess.run(["casync", "extract", f"--store={store}", index, out], check=True, capture_output=True)
        assert out.read_bytes() == expected
        out.unlink()
        told = subprocess.run(
            ["casync", "digest", f"--store={store}", index], check=True, capture_output=True, text=True
        )
        assert told.stdout.strip() == hashlib.new("sha512_256", expected).hexdigest()
        assert manifest.image_sha512_256 == told.stdout.strip()
        assert manifest.image_sha256 == hashlib.sha256(expected).hexdigest()


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_the_program_in_the_repository_restores_every_point_by_itself(repositories, name, tmp_path, require_peer):
    require_peer("zstd")
    _, folder, points = repositories(name)
    for manifest, expected in points:
        out = tmp_path / "out.raw"
        alone = [sys.executable, "-I", "-S", folder / "restore.py"]  # no installed package can help
        subprocess.run([*alone, manifest.name, out], check=True, capture_output=True, cwd=tmp_path)
        assert out.read_bytes() == expected
        out.unlink()
        piped = subprocess.run([*alone, manifest.name, "-"], check=True, capture_output=True, cwd=tmp_path)
        assert piped.stdout == expected


@pytest.mark.peers
def test_the_program_in_the_repository_names_a_bad_chunk_and_leaves_no_image(repositories, tmp_path, require_peer):
    import shutil

    require_peer("zstd")
    _, kept, points = repositories("chain-3")
    folder = tmp_path / "copy"
    shutil.copytree(kept, folder)
    chunk = max((folder / "chunks.castr").rglob("*.cacnk"), key=lambda path: path.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    needing = [m.name for m, expected in points if needs(chunk.stem, m, expected)]
    assert needing
    done = subprocess.run(
        [sys.executable, folder / "restore.py", needing[0], tmp_path / "out.raw"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert chunk.stem in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out.raw*"))


def needs(chunk, manifest, data):
    pieces = range(0, len(data), manifest.chunk_size)
    return chunk in {hashlib.sha256(data[at : at + manifest.chunk_size]).hexdigest() for at in pieces}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [OutputFormat.VHDX, OutputFormat.VHDX_FIXED, OutputFormat.RAW])
def test_a_point_is_restored_to_what_this_project_reads(repositories, name, form, tmp_path):
    repository, _, points = repositories(name)
    manifest, expected = points[-1]
    target = tmp_path / "out"
    disk = PointDisk(repository, manifest.name)
    run_conversion(plan_output(disk, request_for(disk.manifest, target, form, Options())), disk)
    if form is OutputFormat.RAW:
        assert target.read_bytes() == expected
        return
    with open_chain(target) as chain:
        assert chain.read(0, chain.size) == expected
        assert chain.sector_size == manifest.logical_sector_size
        assert str(chain.leaf.parameters.disk_id) == manifest.disk_id
        assert str(chain.leaf.data_write_guid) != manifest.chain[-1].data_write_guid


@pytest.mark.peers
def test_a_point_is_restored_to_an_image_that_qemu_reads(repositories, tmp_path, require_peer):
    require_peer("qemu-img")
    repository, _, points = repositories("chain-3")
    manifest, expected = points[-1]
    target, raw = tmp_path / "out.qcow2", tmp_path / "out.raw"
    disk = PointDisk(repository, manifest.name)
    run_conversion(plan_output(disk, request_for(disk.manifest, target, OutputFormat.QCOW2, Options())), disk)
    qemu_img("convert", "-f", "qcow2", "-O", "raw", str(target), str(raw))
    assert raw.read_bytes() == expected


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1, 70_000), (65_535, 3 << 20), (0, 1 << 40)])
def test_any_range_is_restored(repositories, tmp_path, start, length):
    repository, _, points = repositories("chain-3")
    manifest, expected = points[-1]
    disk = PointDisk(repository, manifest.name)
    extract_range(disk, start, length, tmp_path / "out", Existing.REFUSE)
    assert (tmp_path / "out").read_bytes() == expected[start : start + length]
    assert content_of(repository, manifest.name) == expected
