"""A restore point of which chunks are missing or damaged: the rest comes back, and a map says what does not."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("zstandard")

import vhdx
from analyzer.backup.errors import MissingObjectError, PlaceError
from analyzer.backup.plan import Lost
from analyzer.backup.repository.chunks import object_of
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.repository import Repository, Settings
from analyzer.backup.restore import PointDisk, namer_for, resume_raw
from analyzer.backup.storage.local import LocalPlace
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.disk import standing_of
from tests.analyzer.backup.helpers import MIB, back_up, new_repository
from vhdx.errors import OutputError
from vhdx.ranges import Range, Ranges
from vhdx.sink import Existing

pytestmark = pytest.mark.slow


@pytest.fixture
def chain(chain):
    """The chain, opened."""
    with vhdx.open_chain(chain[0]) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kept"


@pytest.fixture
def name(folder, chain):
    """A point in a folder, with one of its chunks gone, one damaged and one cut to nothing."""
    repository = new_repository(LocalPlace(folder), MIB)
    back_up(repository, chain)
    (name,) = repository.names()
    gone, damaged, empty = (folder / object_of(point_of(folder, name).index.id_of(n)) for n in lost_of(folder, name))
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"xyz")
    empty.write_bytes(b"")
    return name


def point_of(folder, name, lost=Lost.REFUSE):
    return PointDisk(Repository(LocalPlace(folder), Codec(), Settings()), name, lost)


def lost_of(folder, name):
    """The numbers of three chunks with data, the first among them."""
    return list(point_of(folder, name).chunks_with_data())[0:6:2]


@pytest.fixture
def lost(folder, name):
    return Ranges.of(Range(number * MIB, MIB) for number in lost_of(folder, name))


@pytest.fixture
def expected(chain, lost):
    """The disk with zeros where it is lost."""
    content = bytearray(chain.read(0, chain.size))
    for part in lost:
        content[part.start : part.end] = bytes(part.length)
    return bytes(content)


def test_the_rest_comes_back_and_the_map_lists_what_does_not(vhdx_command, folder, name, expected, lost, tmp_path):
    refused = vhdx_command("backup", "restore", folder, name, tmp_path / "no.raw")
    assert (refused.code, "--allow-lost` restores the rest" in refused.err) == (3, True)
    assert not (tmp_path / "no.raw").exists()
    out = tmp_path / "disk.raw"
    done = vhdx_command("backup", "restore", folder, name, out, "--allow-lost")
    assert done.code == 1
    assert "3 MiB in 3 ranges of the disk are lost" in done.err
    assert out.read_bytes() == expected
    assert standing_of(out, len(expected)).lost == lost
    converted = vhdx_command("convert", out, tmp_path / "again.vhdx")  # every command goes by the map
    assert (converted.code, "as lost" in converted.err) == (3, True)
    again = vhdx_command("backup", "restore", folder, name, out, "--allow-lost", "--force")
    assert again.code == 1
    assert standing_of(out, len(expected)).lost == lost


def test_any_format_and_a_resumed_image_have_the_map_too(vhdx_command, folder, name, expected, lost, tmp_path):
    image = tmp_path / "disk.vhdx"
    assert vhdx_command("backup", "restore", folder, name, image, "--allow-lost").code == 1
    assert standing_of(image, len(expected)).lost == lost
    out = tmp_path / "disk.raw"
    out.with_name("disk.raw.part").write_bytes(expected[: 5 * MIB])
    assert vhdx_command("backup", "restore", folder, name, out, "--resume", "--allow-lost").code == 1
    assert out.read_bytes() == expected
    assert standing_of(out, len(expected)).lost == lost


def test_with_nothing_lost_there_is_no_map_and_the_exit_code_is_0(vhdx_command, folder, chain, tmp_path):
    back_up(new_repository(LocalPlace(folder), MIB), chain)
    out = tmp_path / "disk.raw"
    point = next(path.stem for path in (folder / "points").glob("*.json"))
    assert vhdx_command("backup", "restore", folder, point, out, "--allow-lost").code == 0
    assert not map_of(out).exists()


@pytest.mark.parametrize("arguments", [["-"], ["disk.bin", "--length", "1M"], ["/dev/null", "--onto-device"]])
def test_what_no_map_can_be_beside_is_refused(vhdx_command, folder, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command("backup", "restore", folder, name, *arguments, "--allow-lost")
    assert (answer.code, "map beside an image" in answer.err) == (2, True)


def test_a_map_that_is_in_the_way_is_refused_before_anything_is_read(folder, name, tmp_path):
    map_of(tmp_path / "disk.raw").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        namer_for(point_of(folder, name, Lost.ALLOW), tmp_path / "disk.raw", Existing.REFUSE)


def test_a_resume_without_allow_lost_stops_at_the_first_missing_chunk(folder, name, tmp_path):
    with pytest.raises(MissingObjectError):
        resume_raw(point_of(folder, name), tmp_path / "disk.raw")


@pytest.mark.peers
def test_the_program_in_the_repository_writes_the_rest_and_the_same_map(
    folder, name, expected, lost, tmp_path, require_peer
):
    require_peer("zstd")
    out = tmp_path / "disk.raw"
    alone = [sys.executable, "-I", "-S", folder / "restore.py", name, out]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 1
    assert not out.exists()
    done = subprocess.run([*alone, "--allow-lost"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "3145728 of them missing or damaged" in done.stdout
    assert out.read_bytes() == expected
    assert standing_of(out, len(expected)).lost == lost


def test_a_bad_sector_under_a_chunk_loses_that_chunk_alone(folder, name, expected, lost, tmp_path, monkeypatch):
    point = point_of(folder, name, Lost.ALLOW)
    bad = object_of(point.index.id_of(list(point.chunks_with_data())[1]))
    opened = Path.open

    def failing(path, *arguments, **options):
        if path == folder / bad:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)
    resume_raw(point, tmp_path / "disk.raw")
    monkeypatch.undo()
    assert standing_of(tmp_path / "disk.raw", len(expected)).lost.size == lost.size + MIB


def test_a_place_that_cannot_be_reached_is_no_loss(folder, name, tmp_path, monkeypatch):
    def refused(*_arguments, **_options):
        raise PlaceError(str(folder), "it is gone")

    point = point_of(folder, name, Lost.ALLOW)
    monkeypatch.setattr(LocalPlace, "read", refused)
    with pytest.raises(PlaceError):
        resume_raw(point, tmp_path / "disk.raw")


@pytest.fixture
def lossy(vhdx_command, recipe, tmp_path):
    """A repository with one point, of a disk that was not known whole."""
    _, leaf = recipe("block-truncated")
    vhdx_command("backup", "init", tmp_path / "kept", "--chunk-size", "256K")
    made = vhdx_command("backup", "create", tmp_path / "kept", leaf, "--name", "point", "--allow-lost")
    assert (made.code, "LOST when it was made: zeros where it is restored" in made.err) == (1, True)
    return tmp_path / "kept"


def test_all_that_is_asked_of_a_point_made_with_losses_says_so(vhdx_command, lossy, tmp_path):
    assert "512 KiB in 1 range LOST" in vhdx_command("backup", "list", lossy).out
    checked = vhdx_command("backup", "verify", lossy)
    assert (checked.code, "point: 512 KiB in 1 range of its disk were LOST" in checked.out) == (0, True)
    (losses,) = vhdx_command("backup", "verify", lossy, "--json").json["verdict"]["losses"]
    assert losses == {"point": "point", "ranges": 1, "bytes": MIB // 2}
    done = vhdx_command("backup", "restore", lossy, "point", tmp_path / "disk.raw")
    assert (done.code, "512 KiB in 1 range of the disk are lost" in done.err) == (1, True)
    assert map_of(tmp_path / "disk.raw").exists()
    again = vhdx_command("backup", "restore", lossy, "point", tmp_path / "part.bin", "--length", "512")
    assert (again.code, again.err) == (0, ""), "what is lost is elsewhere"


@pytest.mark.peers
def test_the_program_in_the_repository_says_so_too(lossy, tmp_path, require_peer):
    require_peer("zstd")
    out = tmp_path / "disk.raw"
    alone = [sys.executable, "-I", "-S", lossy / "restore.py"]
    assert "524288 bytes LOST" in subprocess.run(alone, capture_output=True, text=True, check=True).stdout
    done = subprocess.run([*alone, "point", out], capture_output=True, text=True, check=False)
    assert (done.returncode, "524288 of them lost when the point was made" in done.stdout) == (1, True)
    assert map_of(out).exists()
