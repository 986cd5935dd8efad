"""Chains of VHD files against a bytearray, and what is refused."""

import random
import struct
from dataclasses import replace

import pytest

from analyzer.vhd.chain import ParentWrittenSinceError, open_vhd_chain
from analyzer.vhd.image import open_vhd
from fixtures import write_files
from fixtures.vhd import HEADER_AT, SECTOR, TABLE_AT, WINDOWS_TIME, Kind, VhdSpec, chain_of, summed
from vhdx.errors import (
    AmbiguousParentError,
    ChainLoopError,
    CorruptFileError,
    LostDataError,
    NeedsParentError,
    NoSuchLayerError,
    ParentMismatchError,
    ParentNotFoundError,
    UnusedParentsError,
)
from vhdx.parents import OnMismatch, Search
from vhdx.runs import Kind as RunKind

BLOCK = 64 << 10
SIZE = 5 * BLOCK + 7 * SECTOR


def sectors(seed, count, size=SIZE):
    """Sectors in stretches that end anywhere: inside the bytes of a bitmap too."""
    chance, found = random.Random(seed), {}
    for _ in range(count):
        first = chance.randrange(size // SECTOR)
        for number in range(first, min(first + chance.randint(1, 40), size // SECTOR)):
            found[number] = chance.randbytes(SECTOR)
    return found


def chain(seed, depth=3, size=SIZE, block=BLOCK):
    chance, specs = random.Random(seed), []
    for layer in range(depth):
        order = [*range(-(-size // block))]
        chance.shuffle(order)
        parent = specs[-1] if specs else None
        specs.append(
            VhdSpec(
                name=f"vm_{layer}.{'avhd' if layer else 'vhd'}",
                size=size,
                kind=Kind.DIFFERENCING if layer else chance.choice((Kind.DYNAMIC, Kind.FIXED)),
                sectors=sectors(f"{seed} {layer}", chance.randint(0, 12), size),
                block_size=block,
                order=order,
                parent=parent,
                parent_time=chance.choice((0, WINDOWS_TIME)),
            )
        )
    return specs


def written(folder, *specs):
    write_files(chain_of(*specs), folder)
    return folder / specs[-1].name


@pytest.mark.parametrize("seed", range(12))
def test_a_chain_reads_as_its_model(seed, tmp_path):
    specs = chain(seed, depth=1 + seed % 4)
    with open_vhd_chain(written(tmp_path, *specs)) as disk:
        assert disk.read(0, SIZE) == specs[-1].content()
        for layer, spec in enumerate(specs):
            assert disk.upto(layer).read(0, SIZE) == spec.content()
        chance = random.Random(seed)
        for _ in range(30):
            start = chance.randrange(SIZE)
            length = chance.randrange(3 * BLOCK)
            assert disk.read(start, length) == specs[-1].content()[start : start + length]


@pytest.mark.property
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_chains_read_as_their_models(seed, tmp_path):
    chance = random.Random(seed)
    block = chance.choice((4 << 10, 32 << 10, 128 << 10))
    size = chance.randrange(1, 4 * block // SECTOR) * SECTOR
    specs = chain(seed, depth=chance.randint(1, 6), size=size, block=block)
    with open_vhd_chain(written(tmp_path, *specs)) as disk:
        assert disk.read(0, size) == specs[-1].content()


def test_a_bit_run_that_ends_inside_a_byte_of_the_bitmap_ends_there(tmp_path):
    """libvhdi reads sector 15 of this as set: bytes 01 fe of a bitmap."""
    base = VhdSpec(name="base.vhd", size=BLOCK, kind=Kind.DYNAMIC, block_size=BLOCK, sectors={15: b"b" * SECTOR})
    own = {number: b"%03d " % number * 128 for number in range(7, 15)}
    child = VhdSpec(name="c.avhd", size=BLOCK, kind=Kind.DIFFERENCING, block_size=BLOCK, sectors=own, parent=base)
    with open_vhd_chain(written(tmp_path, base, child)) as disk:
        assert disk.read(0, BLOCK) == child.content()


def test_the_size_is_the_footers_not_that_of_cylinders_and_heads(tmp_path):
    (spec,) = chain("size", depth=1)
    with open_vhd(written(tmp_path, spec)) as disk:
        assert disk.size == SIZE


def test_a_base_without_a_footer_is_read_by_the_copy(tmp_path):
    spec = replace(chain("copy", depth=1)[0], kind=Kind.DYNAMIC)
    path = written(tmp_path, spec)
    path.write_bytes(path.read_bytes()[:-SECTOR])
    with open_vhd(path) as disk:
        assert disk.read(0, SIZE) == spec.content()
        assert [finding.code for finding in disk.findings] == ["VHD-02"]


def test_a_footer_of_511_bytes_is_a_footer(tmp_path):
    spec = replace(chain("old", depth=1)[0], kind=Kind.FIXED)
    path = written(tmp_path, spec)
    path.write_bytes(path.read_bytes()[:-1])
    with open_vhd(path) as disk:
        assert disk.read(0, SIZE) == spec.content()


def test_what_a_cut_file_does_not_hold_is_lost_and_the_rest_is_read(tmp_path):
    spec = VhdSpec(name="d.vhd", size=2 * BLOCK, kind=Kind.DYNAMIC, block_size=BLOCK,
                   sectors=dict.fromkeys(range(2 * BLOCK // SECTOR), b"x" * SECTOR))  # fmt: skip
    path = written(tmp_path, spec)
    path.write_bytes(path.read_bytes()[: -SECTOR - BLOCK // 2])
    with open_vhd(path) as disk:
        assert disk.read(0, BLOCK + BLOCK // 2) == spec.content()[: BLOCK + BLOCK // 2]
        with pytest.raises(LostDataError):
            disk.read(2 * BLOCK - SECTOR, SECTOR)


@pytest.mark.parametrize("place", [0, 2, 0xFFFFFF])
def test_entries_that_cannot_be_right_are_lost(tmp_path, place):
    spec = VhdSpec(name="d.vhd", size=BLOCK, kind=Kind.DYNAMIC, block_size=BLOCK, sectors={0: b"x" * SECTOR})
    path = written(tmp_path, spec)
    with path.open("r+b") as handle:
        handle.seek(TABLE_AT)
        handle.write(struct.pack(">I", place))
    with open_vhd(path) as disk:
        assert disk.runs().kind.tolist() == [RunKind.LOST]
        with pytest.raises(LostDataError, match="entry of the block table"):
            disk.read(0, SECTOR)


def test_a_child_by_itself_says_that_it_needs_its_parent(tmp_path):
    path = written(tmp_path, *chain("alone", depth=2))
    with open_vhd(path) as disk, pytest.raises(NeedsParentError):
        disk.read(0, SIZE)


def test_a_parent_of_another_name_is_found_by_its_identity(tmp_path):
    specs = chain("renamed", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).rename(tmp_path / "moved.vhd")
    with open_vhd_chain(path) as disk:
        assert disk.read(0, SIZE) == specs[-1].content()


def test_a_stranger_at_the_parents_place_does_not_hide_the_parent(tmp_path):
    specs = chain("stranger", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).rename(tmp_path / "moved.vhd")
    (tmp_path / specs[0].name).write_bytes(replace(specs[0], name="other").file().to_bytes())
    with open_vhd_chain(path) as disk:
        assert disk.read(0, SIZE) == specs[-1].content()


def test_a_stranger_alone_is_refused_and_taken_on_request(tmp_path):
    specs = chain("alone stranger", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).write_bytes(replace(specs[0], name="other").file().to_bytes())
    with pytest.raises(ParentMismatchError, match="unique id"):
        open_vhd_chain(path)
    with open_vhd_chain(path, Search(on_mismatch=OnMismatch.ACCEPT)) as disk:
        assert [finding.code for finding in disk.findings] == ["CHN-02"]


def test_of_two_copies_the_one_of_the_right_time_is_the_parent(tmp_path):
    base, child = chain("copies", depth=2)
    child = replace(child, parent_time=WINDOWS_TIME)
    path = written(tmp_path, base, child)
    later = replace(base, time=WINDOWS_TIME + 1)
    (tmp_path / base.name).rename(tmp_path / "a.vhd")
    (tmp_path / "b.vhd").write_bytes(later.file().to_bytes())
    with open_vhd_chain(path) as disk:
        assert disk.layers[0].path.name == "a.vhd"
    (tmp_path / "c.vhd").write_bytes((tmp_path / "a.vhd").read_bytes())
    with pytest.raises(AmbiguousParentError):
        open_vhd_chain(path)


def test_a_parent_that_was_written_since_is_refused_and_taken_on_request(tmp_path):
    base, child = chain("written", depth=2)
    path = written(tmp_path, base, replace(child, parent_time=WINDOWS_TIME))
    (tmp_path / base.name).write_bytes(replace(base, time=WINDOWS_TIME + 60).file().to_bytes())
    with pytest.raises(ParentWrittenSinceError, match="mixture"):
        open_vhd_chain(path)
    with open_vhd_chain(path, Search(on_mismatch=OnMismatch.ACCEPT)) as disk:
        assert [finding.code for finding in disk.findings] == ["VHD-07"]


def test_a_missing_parent_is_named_with_the_places_that_were_looked_at(tmp_path):
    specs = chain("missing", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).unlink()
    with pytest.raises(ParentNotFoundError, match=r"vm_0\.vhd"):
        open_vhd_chain(path)


def test_a_parent_in_a_folder_of_the_search_or_given_is_taken(tmp_path):
    specs = chain("search", depth=2)
    path = written(tmp_path / "a", *specs)
    (tmp_path / "b" / "deep").mkdir(parents=True)
    parent = (tmp_path / "a" / specs[0].name).rename(tmp_path / "b" / "deep" / "x.vhd")
    for search in (Search(folders=[tmp_path / "b"]), Search(parents=[parent])):
        with open_vhd_chain(path, search) as disk:
            assert disk.read(0, SIZE) == specs[-1].content()
    with pytest.raises(UnusedParentsError):
        open_vhd_chain(path, Search(parents=[parent, parent]))


def test_a_file_that_is_its_own_parent_is_a_loop(tmp_path):
    specs = chain("loop", depth=2)
    own = replace(specs[1], parent=replace(specs[1], name=specs[1].name))
    with pytest.raises(ChainLoopError):
        open_vhd_chain(written(tmp_path, own))


def test_layers_that_are_not_there_cannot_be_asked_for(tmp_path):
    with open_vhd_chain(written(tmp_path, *chain("layers", depth=2))) as disk, pytest.raises(NoSuchLayerError):
        disk.upto(2)


@pytest.mark.parametrize(
    ("at", "value", "code"),
    [(28, struct.pack(">I", 1), "VHD-05"), (32, struct.pack(">I", 3 << 10), "VHD-05"),
     (32, struct.pack(">I", 1 << 31), "VHD-05"), (16, struct.pack(">Q", 1 << 60), "VHD-05")],
)  # fmt: skip
def test_headers_that_lie_are_refused(tmp_path, at, value, code):
    spec = replace(chain("lies", depth=1)[0], kind=Kind.DYNAMIC)
    path = written(tmp_path, spec)
    whole = bytearray(path.read_bytes())
    header = bytearray(whole[HEADER_AT : HEADER_AT + 1024])
    header[at : at + len(value)] = value
    whole[HEADER_AT : HEADER_AT + 1024] = summed(bytes(header), 36)
    path.write_bytes(whole)
    with pytest.raises(CorruptFileError, match=code):
        open_vhd(path)


def test_a_disk_that_shrank_and_grew_shows_zeros_where_the_middle_ended(tmp_path):
    base, middle, leaf = chain("sizes", depth=3)
    small = replace(middle, size=2 * BLOCK, sectors=sectors("small", 3, 2 * BLOCK))
    leaf = replace(leaf, parent=small)
    with open_vhd_chain(written(tmp_path, base, small, leaf)) as disk:
        assert disk.read(0, SIZE) == leaf.content()
