"""Metadata items of the virtual disk go with it into every new VHDX of the same disk ([MS-VHDX] 2.6.1.2)."""

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

import pytest

import vhdx
from analyzer.convert.create import NewDiskOptions, plan_creation, run_creation
from analyzer.convert.model import OutputFormat
from fixtures import Item, write_files
from fixtures.fixture_set import healthy
from tests.analyzer.convert.helpers import MIB, assert_blocks_are_apart, convert, merge, reads_as
from tests.support.catalogue import fixture_of
from vhdx.errors import CorruptFileError, TooMuchMetadataError
from vhdx.sink import Existing
from vhdx.source import read_at
from vhdx.structures.constants import CHS_GEOMETRY, METADATA_REGION, PMEM_LABEL
from vhdx.structures.disk import DiskType
from vhdx.structures.metadata import MetadataItem

USER, DISK, REQUIRED = 1, 2, 4


def item_id(name):
    return uuid5(NAMESPACE_URL, name)


SHARED = item_id("of the disk, in every layer")
OF_DISK = {
    SHARED: Item(data=b"rack 7", flags=USER | DISK),
    item_id("of the disk, unknown"): Item(data=bytes(range(200)), flags=DISK),
    item_id("of the disk, empty"): Item(data=b"", flags=USER | DISK),
    PMEM_LABEL: Item(data=b"label" * 30, flags=DISK),
}
OF_FILE = {
    item_id("of the file"): Item(data=b"first copy", flags=USER),
    CHS_GEOMETRY: Item(data=b"\x01\x02\x03\x04", flags=0),
}
OLDER = {SHARED: Item(data=b"rack 3, until it was moved", flags=USER | DISK)}


def chain_with(folder, items, older=OLDER):
    """Writes a chain of three, the leaf with these items, the others with older ones; gives the paths, base first."""
    specs = dict(fixture_of("chain-3").specs)
    *lower, leaf = specs
    given = dict.fromkeys(lower, older) | {leaf: items}
    specs = {name: replace(spec, items={**spec.items, **given[name]}) for name, spec in specs.items()}
    write_files(healthy(specs, "items"), folder)
    return [folder / name for name in specs]


def items_of(image):
    """Flags and content of all items of a file but the six of the format, by id."""
    place = image.structures.region(METADATA_REGION).file_offset
    return {
        entry.item_id: (entry.flags, read_at(image.source, place + entry.offset, entry.length))
        for entry in image.metadata.entries[5 + image.has_parent :]
    }


AS_IN_THE_LEAF = {key: (item.flags, item.data) for key, item in OF_DISK.items()}


@pytest.mark.parametrize("output", [OutputFormat.VHDX, OutputFormat.VHDX_FIXED])
def test_a_conversion_keeps_what_the_leaf_says_of_the_disk_and_nothing_of_its_files(tmp_path, output):
    *_, leaf = chain_with(tmp_path, OF_DISK | OF_FILE)
    with vhdx.open_chain(leaf) as chain:
        convert(chain, tmp_path / "out.vhdx", output)
    with vhdx.open_image(tmp_path / "out.vhdx") as image:
        assert items_of(image) == AS_IN_THE_LEAF
        assert image.findings == ()


def test_a_merge_of_upper_layers_keeps_the_items_of_the_leaf(tmp_path):
    base, _, leaf = chain_with(tmp_path, OF_DISK | OF_FILE)
    with vhdx.open_chain(leaf) as chain:
        merge(chain, base, tmp_path / "merged.avhdx")
    with vhdx.open_image(tmp_path / "merged.avhdx") as image:
        assert items_of(image) == AS_IN_THE_LEAF


def test_items_that_only_a_parent_has_are_gone_with_it(tmp_path):
    *_, leaf = chain_with(tmp_path, OF_FILE, OF_DISK)
    with vhdx.open_chain(leaf) as chain:
        convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
    with vhdx.open_image(tmp_path / "out.vhdx") as image:
        assert items_of(image) == {}


def test_a_new_checkpoint_says_of_the_disk_what_its_parent_says(tmp_path):
    *_, leaf = chain_with(tmp_path, OF_DISK | OF_FILE)
    child = tmp_path / "child.avhdx"
    with vhdx.open_chain(leaf) as chain:
        disk = plan_creation(child, NewDiskOptions(type=DiskType.DIFFERENCING), chain)
        run_creation(child, disk, Existing.REFUSE, leaf)
    with vhdx.open_image(child) as image:
        assert items_of(image) == AS_IN_THE_LEAF
    assert reads_as(child) == reads_as(leaf)


@pytest.mark.parametrize("output", [OutputFormat.VHDX, OutputFormat.VHDX_FIXED])
def test_metadata_of_several_mib_move_the_block_table_and_nothing_else(tmp_path, output):
    large = [MetadataItem(item_id(f"large {number}"), DISK, bytes([number]) * MIB) for number in range(1, 4)]
    *_, leaf = chain_with(tmp_path, {})
    child = tmp_path / "child.avhdx"
    with vhdx.open_chain(leaf) as chain:
        disk = plan_creation(child, NewDiskOptions(type=DiskType.DIFFERENCING), chain)
    run_creation(child, replace(disk, items=large), Existing.REFUSE, leaf)
    with vhdx.open_chain(child) as chain:
        convert(chain, tmp_path / "out.vhdx", output)
        merge(chain, chain.layers[0].path, tmp_path / "merged.avhdx")
    assert reads_as(tmp_path / "out.vhdx") == reads_as(tmp_path / "merged.avhdx") == reads_as(leaf)
    for name in ("child.avhdx", "out.vhdx", "merged.avhdx"):
        with vhdx.open_image(tmp_path / name) as image:
            assert items_of(image) == {item.item_id: (DISK, item.content) for item in large}
            assert image.regions.current.find(METADATA_REGION).length == 4 * MIB
            assert_blocks_are_apart(image)


def test_more_items_than_a_new_file_takes_are_refused_with_their_number(tmp_path):
    many = {item_id(f"item {number}"): Item(data=b"1", flags=DISK) for number in range(1025)}
    *_, leaf = chain_with(tmp_path, many)
    with vhdx.open_chain(leaf) as chain:
        with pytest.raises(TooMuchMetadataError, match="1025 metadata items"):
            convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
        assert convert(chain, tmp_path / "out.raw", OutputFormat.RAW).verified


def test_an_unknown_item_that_is_required_is_no_ones_to_copy(tmp_path):
    *_, leaf = chain_with(tmp_path, {item_id("needed"): Item(data=b"?", flags=DISK | REQUIRED)})
    with pytest.raises(CorruptFileError, match="MET-10"):
        vhdx.open_chain(leaf)
