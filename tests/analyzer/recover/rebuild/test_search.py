"""Where structures are looked for: what a sparse file, a log's pages and patches hold, not what they claim to reach."""

from analyzer.recover.inputs.bad_sectors import CarefulSource
from analyzer.recover.rebuild.bat_shape import places_to_look
from tests.support.sources import PatchedSource
from vhdx.patched import OverlaySource, Patch
from vhdx.source import FileSource

MIB = 1 << 20
FAR = 128 << 40


def test_the_length_that_a_log_claims_is_not_walked_through():
    below = PatchedSource(bytes(3 * MIB))
    view = OverlaySource(below, [Patch(MIB, 64 << 40, None), Patch(FAR - MIB, 4096, bytes(4096))], FAR)
    patched = OverlaySource(view, [Patch(FAR - 8 * MIB, 100, bytes(100))])
    assert list(places_to_look(patched)) == [MIB, 2 * MIB, FAR - 8 * MIB, FAR - MIB]


def test_holes_of_a_sparse_file_are_passed_over(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"front")
        file.seek(500 * MIB)
        file.write(b"far")
        file.truncate(900 * MIB)
    with FileSource(path) as source:
        found = list(places_to_look(CarefulSource(source)))
        told = list(source.extents())
    assert 500 * MIB in found
    assert len(found) < 10 or told == [(0, 900 * MIB)]  # a file system that does not tell
