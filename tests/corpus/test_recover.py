"""Recovery of files that other programs wrote, against a count that shares no code with the library."""

import struct

import pytest

import vhdx
from cli.failures import run
from cli.main import vhdx as command

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
