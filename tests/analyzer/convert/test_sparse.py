"""Which outputs have holes, and what is forecast where they cannot have any."""

import os
import shutil
from types import SimpleNamespace

import pytest

import vhdx
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.create import NewDiskOptions, plan_creation, run_creation
from analyzer.convert.merge_upper import plan_merge_upper, run_merge_upper
from analyzer.convert.model import Options, OutputFormat, Sparse
from fixtures import Block, BlockState, ImageSpec, encode
from tests.support.windows import play_windows
from vhdx.errors import NoSpaceError, OutputError
from vhdx.sink import Existing
from vhdx.structures.disk import DiskType
from vhdx.system import files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="holes are counted by st_blocks, Windows is a double")
MIB = 1 << 20
ATTACHED = [OutputFormat.VHDX, OutputFormat.VHDX_FIXED, OutputFormat.VHD, OutputFormat.VHD_FIXED]


@pytest.fixture
def disk(tmp_path):
    """64 MiB with a sector at its start and one at its end."""
    blocks = {number: Block(state=BlockState.FULLY_PRESENT, data={5: b"x" * 512}) for number in (0, 31)}
    path = tmp_path / "in.vhdx"
    encode(ImageSpec(size=64 * MIB, block_size=2 * MIB, blocks=blocks)).write_to(path)
    with vhdx.open_chain(path) as chain:
        yield chain


def written(disk, target, output, sparse):
    plan = plan_conversion(disk, target, output, Options(sparse=sparse))
    run_conversion(plan, disk)
    return plan, target.stat()


@pytest.mark.parametrize("output", ATTACHED)
def test_what_windows_attaches_has_no_holes_on_a_file_system_of_windows(disk, tmp_path, monkeypatch, output):
    plan, status = written(disk, tmp_path / "there", output, Sparse.AUTO)
    assert status.st_blocks * 512 < status.st_size
    monkeypatch.setattr(files, "is_read_by_windows", lambda _: True)
    plan, status = written(disk, tmp_path / "out", output, Sparse.AUTO)
    assert status.st_size <= status.st_blocks * 512 <= plan.needed_bytes + MIB
    _, status = written(disk, tmp_path / "asked", output, Sparse.ALWAYS)
    assert status.st_blocks * 512 < status.st_size


def test_any_output_has_no_holes_where_none_are_wanted(disk, tmp_path):
    plan, status = written(disk, tmp_path / "out", OutputFormat.RAW, Sparse.NEVER)
    assert (plan.needed_bytes, status.st_size) == (64 * MIB, 64 * MIB)
    assert status.st_blocks * 512 >= 64 * MIB


@pytest.mark.parametrize("sparse", [True, False])
def test_where_windows_keeps_no_sparse_files_the_whole_raw_image_is_forecast(disk, tmp_path, monkeypatch, sparse):
    play_windows(monkeypatch, sparse=sparse)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8 * MIB))
    if sparse:
        assert plan_conversion(disk, tmp_path / "out", OutputFormat.RAW, Options()).needed_bytes <= 4 * MIB
    else:
        with pytest.raises(NoSpaceError) as told:
            plan_conversion(disk, tmp_path / "out", OutputFormat.RAW, Options())
        assert told.value.needed == 64 * MIB


@pytest.mark.parametrize(("output", "asks"), [(OutputFormat.RAW, 1), (OutputFormat.VHDX, 0), (OutputFormat.VHD, 0)])
def test_on_windows_a_raw_image_alone_is_made_sparse_unless_it_is_asked_for(disk, tmp_path, monkeypatch, output, asks):
    calls = play_windows(monkeypatch)
    written(disk, tmp_path / "out", output, Sparse.AUTO)
    assert calls.count("make_sparse") == asks
    written(disk, tmp_path / "asked", output, Sparse.ALWAYS)
    assert calls.count("make_sparse") == asks + 1


def test_a_new_differencing_file_has_no_holes_there_either(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "is_read_by_windows", lambda _: True)
    target = tmp_path / "child.avhdx"
    new = plan_creation(target, NewDiskOptions(type=DiskType.DIFFERENCING), disk)
    run_creation(target, new, Existing.REFUSE, disk.path)
    assert target.stat().st_blocks * 512 >= target.stat().st_size


def test_a_child_whose_locator_cannot_lead_to_its_parent_gets_no_name(disk, tmp_path):
    parent = disk.path.rename(tmp_path / "a\\b.vhdx")  # in a locator `\` parts folders
    with vhdx.open_chain(parent) as chain:
        new = plan_creation(tmp_path / "child.avhdx", NewDiskOptions(type=DiskType.DIFFERENCING), chain)
        with pytest.raises(OutputError, match=r"its locator does not lead to .*; rename the parent"):
            run_creation(tmp_path / "child.avhdx", new, Existing.REFUSE, parent)
    assert not list(tmp_path.glob("child*"))


def test_upper_layers_are_merged_onto_a_base_that_their_own_locator_leads_to(recipe, tmp_path):
    _, leaf = recipe("chain-3")
    with vhdx.open_chain(leaf) as chain:
        base = chain.layers[0].path
        hidden = base.rename(tmp_path / "a\\b.vhdx")
    with vhdx.open_chain(leaf, parents=[chain.layers[1].path, hidden]) as chain:
        plan = plan_merge_upper(chain, hidden, tmp_path / "out.avhdx", Options())
        with pytest.raises(OutputError, match="its locator"):
            run_merge_upper(plan, chain)
    assert not list(tmp_path.glob("out*"))
