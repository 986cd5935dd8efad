"""Files of a volume: 20,000 listed and taken out, against The Sleuth Kit's own programs, in seconds of the processor.

Half of what a listing takes is the start of two processes of Python.
"""

import random
import shutil

import pytest

from benchmarks.bench_many import compare, seconds_of
from benchmarks.programs import VHDX
from tests.analyzer.guest import images

pytestmark = pytest.mark.peers
# (most that a listing, and an extraction, may take of what the peer takes)
BARS = {"ext4": (3.0, 1.5), "ntfs": (3.0, 1.5)}
MOST = 60_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory, measuring):
    """20,000 files of 30 KB of noise, in 400 folders."""
    folder, chance = tmp_path_factory.mktemp("tree"), random.Random(5)
    for number in range(200 if measuring else 2):
        below = folder / f"folder{number:03}" / "below"
        below.mkdir(parents=True)
        for file in range(100 if measuring else 4):
            place = below.parent if file % 2 else below
            (place / f"file-{number:03}-{file:03}.bin").write_bytes(chance.randbytes(chance.randrange(1, MOST)))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=BARS)
def volume(request, tree, tmp_path_factory, measuring):
    """A volume with that tree in it, and its kind."""
    if why := images.is_missing(request.param):
        pytest.skip(why)
    size = (1 << 30) if measuring else (64 << 20)
    path = tmp_path_factory.mktemp("volume") / f"{request.param}.raw"
    if request.param == "ext4":
        images.empty(path, size)
        images.run("mkfs.ext4", "-q", "-F", "-d", tree, path)
    else:
        images.make_ntfs(path, size)
        files = sorted(place.relative_to(tree) for place in tree.rglob("*"))
        for first in range(0, len(files), 500):  # 15 MB at a time
            images.edit_ntfs(path, *(_line(tree, place) for place in files[first : first + 500]))
    yield request.param, path
    path.unlink()


def _line(tree, place):
    path = tree / place
    return ("mkdir", f"/{place}") if path.is_dir() else ("write", f"/{place}", path.read_bytes())


def test_files_are_listed_in_three_times_what_fls_takes(pairs, measuring, require_peer, volume):
    require_peer("fls")
    kind, path = volume
    compare(
        pairs,
        (f"files -r of 20,000 files of {kind}, CPU", "fls -r -l"),
        lambda: seconds_of(*VHDX, "files", "-r", path),
        lambda: seconds_of("fls", "-r", "-l", path),
        BARS[kind][0],
        5 if measuring else 1,
    )


def test_files_are_taken_out_in_half_as_long_again_as_tsk_recover_takes(
    pairs, measuring, require_peer, volume, memory_folder
):
    require_peer("tsk_recover")
    kind, path = volume

    def into(name, *command):
        out = memory_folder / name
        try:
            return seconds_of(*command, out)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    compare(
        pairs,
        (f"extract 20,000 files of {kind}, CPU", "tsk_recover -a"),
        lambda: into("ours", *VHDX, "extract", path, "/", "-o"),
        lambda: into("theirs", "tsk_recover", "-a", path),
        BARS[kind][1],
        5 if measuring else 1,
    )
