"""Parent locators written anew: the right parent, a wrong one, and what is refused."""

import os
from dataclasses import replace

import pytest

import vhdx
from analyzer.repair.apply import repair_copy, repair_in_place, run_undo
from analyzer.repair.set_parent import Identity, Relink, plan_relink
from analyzer.repair.undo import undo_of
from fixtures import Brush, ImageSpec, Item, LocatorSpec, encode, write_files
from fixtures import Identity as Guids
from fixtures import constants as c
from fixtures.recipes.kit import child_of, disk
from tests.analyzer.repair.helpers import MIB, SAME, saved
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import disk_hash
from vhdx.errors import ChainLoopError, IdentityDiffersError, OutputError, SectorSizeMismatchError
from vhdx.sink import Existing
from vhdx.source import FileSource

BASE = disk("base")
CHILD = child_of(BASE, "child", {1: Brush(tag=7).partial(1, range(9))})


def planned(child, parent, **wishes):
    wish = Relink(parent=parent, place=wishes.pop("place", child), identities=SAME, **wishes)
    with FileSource(child) as source:
        return plan_relink(source, wish)


def linked(child, parent, **wishes):
    """Change the child in its place; the undo file's path."""
    wish = Relink(parent=parent, place=child, identities=SAME, **wishes)
    with FileSource(child) as source:
        repair_in_place(plan_relink(source, wish), source, undo_of(child))
    return undo_of(child)


def locator_of(path):
    with vhdx.open_image(path) as image:
        return {entry.key: entry.value for entry in image.locator.entries}


@pytest.fixture
def moved(tmp_path):
    """A child, and its parent in another folder under another name."""
    (tmp_path / "elsewhere").mkdir()
    parent = saved(encode(BASE), tmp_path / "elsewhere", "renamed disk.vhdx")
    return saved(encode(CHILD), tmp_path, "child.avhdx"), parent


def test_a_parent_that_was_moved_is_named_and_the_chain_opens(moved, tmp_path):
    child, parent = moved
    before = child.read_bytes()
    with pytest.raises(vhdx.VhdxError):
        vhdx.open_chain(child)
    undo = linked(child, parent)
    with vhdx.open_chain(child) as chain:
        assert chain.base.path.samefile(parent)
        with vhdx.open_image(child) as image:
            assert image.data_write_guid == CHILD.data_write_guid
            assert image.header.file_write_guid != CHILD.identity.file_write_guid
            assert image.header.sequence_number == 9
        found = disk_hash(chain)
    both = tmp_path / "both"
    both.mkdir()
    saved(encode(BASE), both, "base.vhdx")
    with vhdx.open_chain(saved(encode(CHILD), both, "child.avhdx")) as chain:
        assert disk_hash(chain) == found
    run_undo(child, undo)
    assert child.read_bytes() == before


def test_paths_of_the_old_place_are_dropped_and_linkages_are_kept(moved):
    child, parent = moved
    old = locator_of(child)
    linked(child, parent)
    new = locator_of(child)
    assert new["relative_path"] == ".\\elsewhere\\renamed disk.vhdx"
    assert {key: new[key] for key in ("parent_linkage", "parent_linkage2")} == {
        key: old[key] for key in ("parent_linkage", "parent_linkage2")
    }
    if os.name != "nt":
        assert not {"volume_path", "absolute_win32_path"} & set(new)


def test_a_windows_path_can_be_given(moved):
    child, parent = moved
    linked(child, parent, windows_path="D:\\VMs\\x.vhdx")
    assert locator_of(child)["absolute_win32_path"] == "D:\\VMs\\x.vhdx"


def test_a_copy_in_another_folder_names_the_parent_from_there(moved, tmp_path):
    child, parent = moved
    before = child.read_bytes()
    (tmp_path / "out").mkdir()
    copy = tmp_path / "out" / "joined.avhdx"
    wish = Relink(parent=parent, place=copy, identities=SAME)
    with FileSource(child) as source:
        repair_copy(plan_relink(source, wish), source, copy, Existing.REFUSE)
    assert locator_of(copy)["relative_path"] == "..\\elsewhere\\renamed disk.vhdx"
    assert child.read_bytes() == before
    vhdx.open_chain(copy).close()


@pytest.mark.skipif(os.name == "nt", reason="the absolute path is another one there, and is put right")
def test_a_parent_that_is_named_rightly_needs_nothing(tmp_path):
    write_files(fixture_of("chain-3"), tmp_path)
    leaf = fixture_of("chain-3").leaf
    with vhdx.open_chain(tmp_path / leaf) as chain:
        parent = chain.layers[-2].path
    assert planned(tmp_path / leaf, parent).is_empty


def test_another_identity_is_refused_with_both_and_accepted_with_the_word(moved, tmp_path):
    child, _ = moved
    other = replace(BASE, identity=Guids.of("changed"))
    parent = saved(encode(other), tmp_path, "changed.vhdx")
    with pytest.raises(IdentityDiffersError) as caught:
        planned(child, parent)
    assert str(BASE.data_write_guid) in str(caught.value)
    assert str(other.data_write_guid) in str(caught.value)
    assert caught.value.exit_code == 4
    linked(child, parent, identity=Identity.ACCEPT)
    vhdx.open_chain(child).close()
    assert locator_of(child)["parent_linkage"] == f"{{{other.data_write_guid}}}"
    plan = planned(saved(encode(CHILD), tmp_path, "again.avhdx"), parent, identity=Identity.ACCEPT)
    assert [finding.code for finding in plan.unfixable] == ["CHN-02"]


def test_other_sectors_are_refused(moved, tmp_path):
    other = ImageSpec(size=8 * MIB, logical_sector=4096, identity=BASE.identity)
    with pytest.raises(SectorSizeMismatchError):
        planned(moved[0], saved(encode(other), tmp_path, "4k.vhdx"))


def test_a_circle_is_refused(moved, tmp_path):
    child, _ = moved
    with pytest.raises((ChainLoopError, vhdx.VhdxError)):
        planned(child, child, identity=Identity.ACCEPT)
    saved(encode(BASE), tmp_path, "base.vhdx")
    grand = child_of(CHILD, "grandchild", {}, path=".\\child.avhdx")
    with pytest.raises(ChainLoopError):
        planned(child, saved(encode(grand), tmp_path, "grand.avhdx"), identity=Identity.ACCEPT)


def test_a_base_has_no_parent_and_a_live_log_comes_first(moved, tmp_path):
    base = saved(encode(BASE), tmp_path, "alone.vhdx")
    with pytest.raises(OutputError) as caught:
        planned(base, moved[1])
    assert "no parent" in str(caught.value)
    fixture = fixture_of("log-growing")
    write_files(fixture, tmp_path / "live")
    with pytest.raises(OutputError) as caught:
        planned(tmp_path / "live" / fixture.leaf, moved[1])
    assert "vhdx repair" in str(caught.value)


def test_a_locator_that_grows_moves_into_free_room(tmp_path):
    short = replace(CHILD, parent=LocatorSpec.relative("b", BASE.data_write_guid))
    note = Item(data=b"\xaa" * 100, flags=1)
    spec = replace(short, items=dict.fromkeys((c.NIL.__class__(int=5),), note))
    child = saved(encode(spec), tmp_path, "child.avhdx")
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    linked(child, saved(encode(BASE), folder, "base.vhdx"))
    with vhdx.open_image(child) as image:
        assert [entry.length for entry in image.metadata.entries if entry.is_user] == [100]
        assert not [finding for finding in image.findings if finding.severity > vhdx.Severity.NOTE]
    vhdx.open_chain(child).close()


def test_a_locator_without_room_is_refused(tmp_path):
    room = MIB - (64 << 10)
    short = replace(CHILD, parent=LocatorSpec.relative("b", BASE.data_write_guid))
    bulk = Item(data=b"\xaa" * (room - 400), flags=1)
    spec = replace(short, items={c.NIL.__class__(int=5): bulk})
    child = saved(encode(spec), tmp_path, "child.avhdx")
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    with pytest.raises(OutputError) as caught:
        planned(child, saved(encode(BASE), folder, "base.vhdx"))
    assert "no room" in str(caught.value)


@pytest.mark.parametrize("items", [{c.PARENT_LOCATOR: None}])
def test_a_missing_locator_is_written_when_the_identity_is_accepted(moved, tmp_path, items):
    _, parent = moved
    child = saved(encode(replace(CHILD, items=items)), tmp_path, "bare.avhdx")
    with pytest.raises(IdentityDiffersError):
        planned(child, parent)
    linked(child, parent, identity=Identity.ACCEPT)
    vhdx.open_chain(child).close()
