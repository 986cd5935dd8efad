"""Recovery of files that other programs wrote, against a count that shares no code with the library."""

import json
import struct
from functools import cache

import pytest

import vhdx
from cli.errors import run
from cli.main import vhdx as command
from tests.support.files import sparse_copy

pytestmark = pytest.mark.corpus

ORPHAN = "genuine/hyperv-2019-orphan-child.avhdx"
MIB = 1 << 20
SECTOR = 512


def claimed_sectors(path, bat, block_size, size):
    """{sector of the disk: offset in the file} by the block table and the bitmaps alone, bit by bit."""
    ratio = (1 << 23) * SECTOR // block_size
    per_block = block_size // SECTOR
    claims = {}
    with path.open("rb") as handle:

        def entry(slot):
            handle.seek(bat + 8 * slot)
            value = struct.unpack("<Q", handle.read(8))[0]
            return value & 7, (value >> 20) * MIB

        for block in range(-(-size // block_size)):
            chunk = block // ratio
            state, place = entry(block + chunk)
            if state == 6:
                claims.update({block * per_block + n: place + n * SECTOR for n in range(per_block)})
            elif state == 7:
                bitmap = entry((chunk + 1) * (ratio + 1) - 1)[1]
                handle.seek(bitmap + (block % ratio) * per_block // 8)
                bits = handle.read(per_block // 8)
                for n in range(per_block):
                    if bits[n // 8] >> n % 8 & 1:
                        claims[block * per_block + n] = place + n * SECTOR
    return claims


def sectors_of_map(path, sign):
    """The sectors that a mapfile gives one status."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")][1:]
    found = set()
    for start, length, status in lines:
        if status == sign:
            found.update(range(int(start, 16) // SECTOR, (int(start, 16) + int(length, 16)) // SECTOR))
    return found, sum(int(length, 16) for _, length, status in lines if status != sign)


def test_a_genuine_orphan_gives_every_sector_that_its_bitmap_claims_and_loses_every_other(corpus, tmp_path, capsys):
    path = corpus(ORPHAN)
    with vhdx.open_image(path) as image:
        bat = next(entry.file_offset for entry in image.regions.current.entries if entry.name == "BAT")
        claims = claimed_sectors(path, bat, image.parameters.block_size, image.size)
        size = image.size
    out = tmp_path / "disk.raw"
    assert run(command, ["recover", str(path), "-o", str(out)]) == 1
    known, others = sectors_of_map(tmp_path / "disk.raw.map", "+")
    assert known == set(claims)
    assert len(claims) * SECTOR + others == size
    with path.open("rb") as source, out.open("rb") as image:
        for sector, place in claims.items():
            source.seek(place)
            image.seek(sector * SECTOR)
            assert image.read(SECTOR) == source.read(SECTOR)


CHAINS = [
    *(("openvmm", f"{name}/leaf.avhdx") for name in (
        "chain3_b1m_s4096", "chain3_b2m_s512", "chain3_b32m_s512", "mixed_blocks_512")),
    ("openvmm", "diff_b1m_s512/child.vhdx"),
    ("openvmm", "trim_states_child/child.vhdx"),
    ("openvmm", "child_larger_than_parent/child.vhdx"),
    ("discutils", "dyn3-16m-b1m/child2.vhdx"),
    ("discutils", "fixed3-16m-b1m/child2.vhdx"),
    ("discutils", "win3-16m-b1m/child3.vhdx"),
    ("discutils", "dyn3-4k-b2m/child2.vhdx"),
    ("discutils", "dyn5-32m-b2m/child4.vhdx"),
]  # fmt: skip


def bit_by_bit(path, image):
    """(state of each block, bit of each sector) of one file, read here and now with nothing but its geometry."""
    bat = next(entry.file_offset for entry in image.regions.current.entries if entry.name == "BAT")
    block_size, sector = image.parameters.block_size, image.sector_size
    ratio = (1 << 23) * sector // block_size
    data, has_parent = path.read_bytes(), image.has_parent

    @cache
    def entry(slot):
        value = struct.unpack_from("<Q", data, bat + 8 * slot)[0]
        return value & 7, (value >> 20) * MIB

    def settles(start):
        block = start // block_size
        chunk = block // ratio
        state = entry(block + chunk)[0]
        if not has_parent:
            return True
        if state != 7:
            return state != 0
        number = (block % ratio) * (block_size // sector) + start % block_size // sector
        return bool(data[entry((chunk + 1) * (ratio + 1) - 1)[1] + number // 8] >> number % 8 & 1)

    return settles


def expected(layers, missing, starts):
    """What each sector must be when a layer is gone; layers are (size, settles), base first."""
    views = [min(size for place, (size, _) in enumerate(layers) if place >= number and place != missing)
             for number in range(len(layers))]  # fmt: skip
    upper = [(view, settles) for view, (_, settles) in zip(views, layers, strict=True)][:missing:-1]
    lower = [(view, settles) for view, (_, settles) in zip(views, layers, strict=True)][:missing][::-1]
    for start in starts:
        if any(start >= view or settles(start) for view, settles in upper):
            yield "known"
        else:
            yield "stale" if any(start >= view or settles(start) for view, settles in lower) else "lost"


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), CHAINS, ids=[name for _, name in CHAINS])
def test_each_layer_taken_out_in_turn_leaves_what_its_tables_say(corpus, tmp_path, capsys, group, name):
    with vhdx.open_chain(corpus(f"{group}/{name}")) as chain:
        paths = [layer.path for layer in chain.layers]
        layers = [(layer.size, bit_by_bit(layer.path, layer)) for layer in chain.layers]
        truth, sector = chain.read(0, chain.size), chain.sector_size
    places = []
    for number, path in enumerate(paths):
        folder = tmp_path / str(number)
        folder.mkdir()
        places.append(sparse_copy(path, folder / path.name))
    for missing in range(len(paths) - 1):
        out = tmp_path / f"without{missing}.raw"
        named = [str(path) for number, path in enumerate(places) if number != missing]
        code = run(command, ["recover", *named, "-o", str(out)])
        found = json.loads((tmp_path / f"without{missing}.raw.json").read_text())
        image = out.read_bytes()
        statuses = [status for start, length, status, *_ in found["runs"] for _ in range(length // sector)]
        assert statuses == list(expected(layers, missing, range(0, len(truth), sector)))
        assert code == int(set(statuses) != {"known"})
        for start, length, status, *_ in found["runs"]:
            if status == "known":
                assert image[start : start + length] == truth[start : start + length]
