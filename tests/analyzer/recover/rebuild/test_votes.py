"""Blocks of a disk without any table, placed by the ends of files: most come back, and none of them wrong."""

import random
import shutil

import pytest

from analyzer.recover.rebuild.tails import Tails
from analyzer.recover.rebuild.votes import Votes
from fixtures import Block, BlockState, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from tests.analyzer.recover.matrix import volumes
from tests.analyzer.recover.rebuild.helpers import MIB, TABLES, bat_of, known_bytes, rebuilt_image, wiped
from tests.support.sources import SparseSource
from vhdx.image import image_from
from vhdx.ranges import Range
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

SIZE = 64 * MIB


def texts(folder, seed, count):
    """Files of words, of any length, as people have them; and a few of noise."""
    draw = random.Random(seed)
    folder.mkdir()
    for number in range(count):
        words = " ".join(f"{draw.randrange(1 << 30):x}" for _ in range(draw.randrange(20, 9000)))
        (folder / f"letter-{number:03}.txt").write_text(words + ".\n")
    for number in range(3):
        (folder / f"noise-{number}.bin").write_bytes(draw.randbytes(draw.randrange(MIB, 2 * MIB)))
    return folder


def ext4(folder, seed):
    raw = volumes._empty(folder / "ext4.raw", SIZE)
    volumes._run("mkfs.ext4", "-q", "-F", "-b", "4096", "-d", str(texts(folder / "files", seed, 300)), str(raw))
    return raw


def ntfs(folder, seed, hidden="2048"):
    """A GPT with one NTFS partition; `hidden` is what its boot sector calls the sectors before it."""
    part = volumes._empty(folder / "ntfs.part", (volumes._gpt().last_usable + 1 - volumes.FIRST) * 512)
    volumes._run("mkntfs", "-Q", "-F", "-q", "-p", hidden, "-H", "16", "-S", "63", "-s", "512", str(part))
    for path in sorted(texts(folder / "files", seed, 90).iterdir()):
        volumes._run("ntfscp", "-f", str(part), str(path), path.name)
    return volumes._partitioned(folder / "ntfs.raw", part)


def hidden_0(folder, seed):
    return ntfs(folder, seed, hidden="0")


def in_blocks(raw, block_size, seed):
    """A dynamic disk whose blocks stand in the file in an order drawn by `seed`."""
    blocks = {}
    with raw.open("rb") as handle:
        number = 0
        while data := handle.read(block_size):
            parts = {n // 512: data[n : n + 4096] for n in range(0, len(data), 4096)}
            if held := {n: part for n, part in parts.items() if part.count(0) < len(part)}:
                blocks[number] = Block(state=BlockState.FULLY_PRESENT, data=held)
            number += 1
    order = random.Random(seed).sample(sorted(blocks), len(blocks))
    size = raw.stat().st_size
    return ImageSpec(
        size=size, identity=Identity.of("votes"), block_size=block_size, blocks={n: blocks[n] for n in order}
    )


@pytest.mark.parametrize("make", [ext4, ntfs, hidden_0])
@pytest.mark.parametrize(
    ("block_size", "seed", "lost"), [(MIB, 1, "front"), (2 * MIB, 2, "front"), (4 * MIB, 3, "tables")]
)
def test_most_blocks_come_back_and_none_is_wrong(make, block_size, seed, lost, tmp_path):
    if missing := [name for name in volumes.PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing} are not installed")
    raw = make(tmp_path, seed)
    spec = in_blocks(raw, block_size, seed)
    front = (0, min(Placement.of(spec).blocks.values()))
    file = wiped(encode(spec), front) if lost == "front" else wiped(encode(spec), *TABLES, bat_of(spec))
    saved, model = rebuilt_image(file, is_alone=True), flatten([spec])
    known_bytes(saved.image, model)
    assert saved.doubted.covers(Range(0, spec.size))
    told = with_ends(raw)
    back = [mib for mib in told if is_back(saved.image, mib)]
    assert len(back) >= len(told) * 0.9, set(told) - set(back)


def with_ends(raw):
    """The MiB of a disk in which three files or more end: some files of the system end with zeros."""
    image = image_from(SparseSource(encode(in_blocks(raw, MIB, 0))))
    blocks, totals, _ = Votes(Tails(image.file), image)._blocks
    return blocks[totals >= 3].tolist()


def is_back(image, mib):
    return all(run.kind is not Kind.LOST for run in image.runs(mib * MIB, min(mib * MIB + MIB, image.size)))


@pytest.mark.parametrize("make", [ext4, ntfs])
def test_ends_that_are_often_wrong_where_a_place_is_known_do_not_count(make, tmp_path):
    if missing := [name for name in volumes.PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing} are not installed")
    raw = make(tmp_path, 4)
    image = image_from(SparseSource(encode(in_blocks(raw, MIB, 4))))
    votes = Votes(Tails(image.file), image)
    assert votes.count
    with raw.open("r+b") as handle:  # what a system leaves that does not clear the rest of a cluster
        for end, limit in sorted(set(zip(*(column.tolist() for column in whole_ends(votes)), strict=True))):
            handle.seek(end)
            handle.write(b"\x5a" * (limit - end))
    image = image_from(SparseSource(encode(in_blocks(raw, MIB, 4))))
    votes = Votes(Tails(image.file), image)
    assert not votes.count
    assert not list(votes.won([0, MIB]))


def whole_ends(votes):
    """Ends of files, and of their clusters, by byte of the disk."""
    block, end, limit = votes._ends
    return block * MIB + end, block * MIB + limit
