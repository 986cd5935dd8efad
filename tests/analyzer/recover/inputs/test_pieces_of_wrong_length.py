"""Files of a chain as chkdsk and PhotoRec leave them: under names of their own, and too long or too short."""

import random
from dataclasses import replace

import pytest

from fixtures import Brush, encode, flatten
from fixtures.recipes.kit import child_of, disk

MIB = 1 << 20
NAMES = ("FILE0000.CHK", "f0012345.bin")


@pytest.fixture
def chain():
    base = replace(disk("base", 8 * MIB), blocks=Brush(tag=3).fulls(range(8)))
    return [base, child_of(base, "child", Brush(tag=4).fulls((2, 6)))]


def told(image):
    """(start, end, status) of each row of the map beside an image."""
    rows = (line.split() for line in image.with_name(image.name + ".map").read_text().splitlines())
    return [(int(row[0], 16), int(row[0], 16) + int(row[1], 16), row[2])
            for row in rows if len(row) == 3 and row[0].startswith("0x") and row[1].startswith("0x")]  # fmt: skip


@pytest.mark.parametrize("change", ["nothing", "zeros", "noise", "a MiB of noise", "an end"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_piece_of_another_length_has_its_place_and_nothing_known_is_wrong(
    vhdx_command, tmp_path, chain, layer, change
):
    for name, spec in zip(NAMES, chain, strict=True):
        encode(spec).write_to(tmp_path / name)
    piece = tmp_path / NAMES[layer]
    data = piece.read_bytes()
    noise = random.Random(1).randbytes(MIB + 777)
    more = {"zeros": bytes(12288), "noise": noise[:8192], "a MiB of noise": noise}.get(change, b"")
    piece.write_bytes(data[:-777] if change == "an end" else data + more)
    out = tmp_path / "disk.raw"
    answer = vhdx_command("recover", *(tmp_path / name for name in NAMES), "-o", out, "-q")
    assert answer.code in {0, 1}
    wanted, found = flatten(chain).read(0, 8 * MIB), out.read_bytes()
    assert all(found[start:end] == wanted[start:end] for start, end, status in told(out) if status == "+")
    known = sum(end - start for start, end, status in told(out) if status == "+")
    if change in {"nothing", "zeros", "noise"}:
        assert known == 8 * MIB
    if change == "an end":
        assert known >= 7 * MIB
