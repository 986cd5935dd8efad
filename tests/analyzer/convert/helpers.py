"""What every output must be, and random chains as files."""

import struct
from itertools import pairwise

import vhdx
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.merge_upper import plan_merge_upper, run_merge_upper
from analyzer.convert.model import CaseData, Digests, E01Options, Options
from vhdx.identities import seeded_identities
from vhdx.structures.constants import BAT_REGION

MIB = 1 << 20
FULLY_PRESENT = 6
VARIED = [
    "dynamic",
    "empty",
    "one-sector-512",
    "unaligned-size",
    "sectors-4096",
    "states-base",
    "large-blocks-unaligned",
    "chain-3",
    "bitmap-dense",
    "child-larger",
]
"""Recipes that differ in what matters to an output: sizes, sectors, states, layers."""
SEEDED = Options(identities=seeded_identities("tests"))


def e01_options(*, case=None, digests=Digests.TAKEN, segment_size=None, **more):
    """Options for an E01, with the tests' own seed."""
    e01 = E01Options(case=case or CaseData(), digests=digests, segment_size=segment_size)
    return Options(**{"identities": SEEDED.identities, "e01": e01, **more})


def convert(chain, target, output, options=SEEDED):
    return run_conversion(plan_conversion(chain, target, output, options), chain)


def merge(chain, base, target, options=SEEDED):
    return run_merge_upper(plan_merge_upper(chain, base, target, options), chain)


def entries(image):
    """The BAT of a file, read here and now: (state, file offset) of each payload block, then of each bitmap."""
    block_size, sector = image.parameters.block_size, image.sector_size
    ratio = (1 << 23) * sector // block_size
    blocks = -(-image.size // block_size)
    chunks = -(-blocks // ratio)
    place = image.regions.current.find(BAT_REGION).file_offset
    count = chunks * (ratio + 1) if image.has_parent else blocks + (blocks - 1) // ratio
    table = struct.unpack(f"<{count}Q", image.path.read_bytes()[place : place + 8 * count])
    split = [(value & 7, (value >> 20) * MIB) for value in table]
    bitmaps = [split[(chunk + 1) * (ratio + 1) - 1] for chunk in range(chunks)] if image.has_parent else []
    return [split[block + block // ratio] for block in range(blocks)], bitmaps


def assert_no_full_block_is_zeros(image):
    """Nothing is allocated that the disk does not need."""
    with image.path.open("rb") as handle:
        for block, (state, place) in enumerate(entries(image)[0]):
            if state == FULLY_PRESENT:
                handle.seek(place)
                data = handle.read(min(image.parameters.block_size, image.size - block * image.parameters.block_size))
                assert any(data), f"block {block} holds {len(data)} zeros"


def assert_new_file_of_the_same_disk(image, chain, inputs):
    """The disk keeps its identity and sectors; the file has GUIDs of its own; nothing is found to be wrong."""
    leaf = chain.leaf
    assert image.parameters.disk_id == leaf.parameters.disk_id
    assert image.sector_size == leaf.sector_size
    assert image.parameters.physical_sector_size == leaf.parameters.physical_sector_size
    assert image.size == chain.size
    taken = {guid for layer in inputs for guid in (layer.header.data_write_guid, layer.header.file_write_guid)}
    assert not {image.header.data_write_guid, image.header.file_write_guid} & taken
    assert image.header.data_write_guid != image.header.file_write_guid
    assert image.findings == ()
    assert not image.log_was_replayed


def assert_blocks_are_apart(image):
    """No two blocks of the output, and no block and structure, share a byte; every one ends inside the file."""
    blocks, bitmaps = entries(image)
    extents = [(region.file_offset, region.end) for region in image.regions.current.entries]
    extents.append((image.header.log_offset, image.header.log_offset + image.header.log_length))
    for size, places in ((image.parameters.block_size, blocks), (MIB, bitmaps)):
        extents += [(place, place + size) for state, place in places if state >= FULLY_PRESENT]
        assert all(place == 0 for state, place in places if state < FULLY_PRESENT)
    extents.sort()
    assert all(before[1] <= after[0] for before, after in pairwise(extents))
    assert extents[0][0] >= MIB
    assert extents[-1][1] <= image.path.stat().st_size


def reads_as(path, **how):
    """All bytes of the disk that opens at a path."""
    with vhdx.open_chain(path, **how) as disk:
        return disk.read(0, disk.size)
