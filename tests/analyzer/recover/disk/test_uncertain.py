"""A parent that was written to after its child was made: what shows of it is stale, what the child holds is known."""

import struct
import uuid
from contextlib import ExitStack

import pytest

from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance
from analyzer.recover.inputs.collect import gather
from analyzer.recover.inputs.layers import Basis, Presence
from analyzer.recovery_map.mapfile import Status
from fixtures import Block, BlockState, Identity, ImageSpec, encode, stamp
from fixtures.checksum import crc32c
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from tests.analyzer.recover.disks import NOWHERE, disk_of, statuses
from vhdx.ranges import NO_RANGES, Range, Ranges

SIZE = 4 * MIB
PLACES = (64 << 10, 128 << 10)


def write_to(path):
    """Do to a file's headers what a program does that opens it for writing: a new identity, the old header kept."""
    data = bytearray(path.read_bytes())
    sequences = [struct.unpack_from("<Q", data, at + 8)[0] for at in PLACES]
    newest, oldest = sorted(PLACES, key=lambda at: -sequences[PLACES.index(at)])
    page = bytearray(data[newest : newest + 4096])
    struct.pack_into("<Q", page, 8, max(sequences) + 1)
    page[32:48] = uuid.uuid5(uuid.NAMESPACE_DNS, "since").bytes_le
    page[4:8] = bytes(4)
    struct.pack_into("<I", page, 4, crc32c(bytes(page)))
    data[oldest : oldest + 4096] = page
    path.write_bytes(data)


@pytest.fixture
def pair(tmp_path):
    """A base with data in block 1 and 2, and a child that holds block 2, in one folder."""
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={0: stamp(n * MIB, MIB, 1)}) for n in (1, 2)}
    base = ImageSpec(size=SIZE, identity=Identity.of("base"), block_size=MIB, blocks=blocks)
    child = child_of(base, "child", {2: Block(state=BlockState.FULLY_PRESENT, data={0: stamp(2 * MIB, MIB, 2)})})
    encode(base).write_to(tmp_path / "base.vhdx")
    encode(child).write_to(tmp_path / "child.avhdx")
    return tmp_path / "base.vhdx", tmp_path / "child.avhdx"


def by_block(disk):
    return [set(statuses(disk)[n * 2048 : (n + 1) * 2048]) for n in range(SIZE // MIB)]


def test_what_shows_of_a_parent_that_was_written_to_since_is_stale(pair):
    base, child = pair
    write_to(base)
    found = gather([child], NOWHERE)
    try:
        assert [level.presence for level in found.levels] == [Presence.PRESENT, Presence.DOUBT, Presence.PRESENT]
        assert by_block(disk_of(found)) == [{Status.STALE}, {Status.STALE}, {Status.KNOWN}, {Status.STALE}]
        assert "CHN-02" in {finding.code for finding in found.findings}
    finally:
        found.close()


def test_a_doubt_in_the_content_of_a_parent_is_one_where_the_parent_shows_and_nowhere_else(pair):
    """Half of a block of the parent, and all of one that the child has anew, look as they cannot be."""
    found = gather([pair[1]], NOWHERE)
    doubted = Ranges.of([Range(MIB, MIB // 2), Range(2 * MIB, MIB)])
    try:
        disk = PartialDisk(found.levels)
        provenance = Provenance(disk, NO_RANGES, EarlierRun(), [(0, doubted), (1, Ranges.of([Range(0, MIB)]))])
        assert provenance.ranges(Status.STALE) == Ranges.of([Range(MIB, MIB // 2)])
        assert [(row.basis, row.cause, row.layer) for row in provenance.rows() if row.status is Status.STALE] == [
            (Basis.CONTRADICTED, 0, 0)
        ]
    finally:
        found.close()


def test_a_base_to_be_assumed_comes_before_one_in_doubt(pair, tmp_path):
    base, child = pair
    write_to(base)
    other = tmp_path / "elsewhere" / "old.vhdx"
    other.parent.mkdir()
    encode(ImageSpec(size=SIZE, identity=Identity.of("old"), block_size=MIB)).write_to(other)
    found = gather([child], NOWHERE, other)
    try:
        assert [level.path for level in found.levels] == [other, None, child]
        assert by_block(disk_of(found)) == [{Status.STALE}, {Status.STALE}, {Status.KNOWN}, {Status.STALE}]
    finally:
        found.close()


def test_a_parent_in_the_folder_is_found_and_the_disk_known(pair):
    found = gather([pair[1]], NOWHERE)
    try:
        assert by_block(disk_of(found)) == [{Status.KNOWN}] * 4
    finally:
        found.close()


def test_a_file_named_twice_is_one(pair, tmp_path):
    base, child = pair
    (tmp_path / "again.avhdx").hardlink_to(child)
    found = gather([child, base, tmp_path / "again.avhdx", child], NOWHERE)
    try:
        assert len(found.files) == 2
    finally:
        found.close()


def test_a_parent_whose_region_tables_are_lost_is_rebuilt_and_known(pair):
    base, child = pair
    data = bytearray(base.read_bytes())
    data[192 << 10 : 193 << 10] = data[256 << 10 : 257 << 10] = bytes(1024)
    base.write_bytes(data)
    found = gather([child], NOWHERE)
    try:
        assert found.levels[-2].presence is Presence.PRESENT
        assert "rebuilt" in found.levels[-2].evidence
    finally:
        found.close()


def test_a_damaged_parent_in_its_place_is_an_unreadable_level(pair):
    base, child = pair
    base.write_bytes(base.read_bytes()[: 300 << 10])
    found = gather([child], NOWHERE)
    try:
        assert found.levels[-2].presence is Presence.UNREADABLE
        assert found.levels[-2].path == base
        assert by_block(disk_of(found)) == [{Status.LOST}, {Status.LOST}, {Status.KNOWN}, {Status.LOST}]
    finally:
        found.close()


def test_of_a_parent_without_tables_and_metadata_only_what_tells_its_place_is_there(pair):
    base, child = pair
    data = bytearray(base.read_bytes())
    data[192 << 10 : 193 << 10] = data[256 << 10 : 257 << 10] = bytes(1024)  # both region tables
    data[1 << 20 : 4 << 20] = bytes(3 << 20)  # and what would tell where they pointed
    base.write_bytes(data)
    found = gather([child], NOWHERE)
    try:
        assert by_block(disk_of(found)) == [{Status.LOST}, {Status.LOST}, {Status.KNOWN}, {Status.LOST}]
    finally:
        found.close()


def with_wrong_sums(path, **identity):
    """Wrong checksums in both headers of a file, and for `newer` or `older` another identity in that header."""
    data = bytearray(path.read_bytes())
    by_number = sorted(PLACES, key=lambda at: struct.unpack_from("<Q", data, at + 8)[0])
    for name, at in zip(("older", "newer"), by_number, strict=True):
        data[at + 4 : at + 8] = bytes(4)
        if name in identity:
            data[at + 32 : at + 48] = uuid.uuid5(uuid.NAMESPACE_DNS, identity[name]).bytes_le
    path.write_bytes(data)


@pytest.fixture
def levels_of():
    """What closes the files again of which it gives the levels and the disk."""
    with ExitStack() as opened:

        def made(files):
            found = gather(files, NOWHERE)
            opened.callback(found.close)
            return [level.presence for level in found.levels], by_block(disk_of(found))

        yield made


def test_a_base_whose_headers_have_wrong_checksums_and_agree_is_the_parent_and_known(pair, levels_of):
    with_wrong_sums(pair[0])
    assert levels_of(pair) == ([Presence.PRESENT] * 2, [{Status.KNOWN}] * 4)


def test_one_whose_newer_header_has_the_identity_that_the_child_names_is_the_parent_and_likely(pair, levels_of):
    with_wrong_sums(pair[0], older="before")
    stale = {Status.STALE}
    assert levels_of(pair) == ([Presence.PRESENT] * 2, [stale, stale, {Status.KNOWN}, stale])


def test_one_whose_older_header_alone_has_it_is_in_doubt(pair, levels_of):
    with_wrong_sums(pair[0], newer="since")
    presences, _ = levels_of(pair)
    assert presences == [Presence.PRESENT, Presence.DOUBT, Presence.PRESENT]
