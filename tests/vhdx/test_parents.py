"""Finding parents: by path, by identity, given outright; and what is never opened."""

import os
import shutil
import threading
from contextlib import closing
from dataclasses import replace

import pytest

import vhdx
from fixtures import LocatorSpec, encode
from fixtures.recipes.kit import child_of, disk
from tests.support.files import open_files, symbolic_link
from vhdx.contents import open_structures
from vhdx.errors import (
    AmbiguousParentError,
    ChainLoopError,
    CorruptFileError,
    InputOutputError,
    NoSuchLayerError,
    NotRegularFileError,
    ParentMismatchError,
    ParentNotFoundError,
    UnusedParentsError,
)
from vhdx.parents import Found, OnMismatch, identity_of

BASE = disk("parents-base")
CHILD = child_of(BASE, "parents-child", {})
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX has pipes and devices as files")


def put(path, spec):
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(spec).write_to(path)
    return path


@pytest.fixture
def child(tmp_path):
    return put(tmp_path / "vm" / "child.avhdx", CHILD)


def opened(path, **how):
    with vhdx.open_chain(path, **how) as chain:
        return [(link.parent.path, link.found) for link in chain.links]


def test_a_parent_is_found_by_its_path(child):
    base = put(child.parent / "base.vhdx", BASE)
    assert opened(child) == [(base, Found.PATH)]


def test_a_renamed_parent_in_the_childs_folder_is_found_by_identity(child):
    base = put(child.parent / "renamed.bin", BASE)
    assert opened(child) == [(base, Found.IDENTITY)]


def test_a_moved_parent_is_found_by_identity_among_the_folders_given(child, tmp_path):
    base = put(tmp_path / "archive" / "x.vhdx", BASE)
    put(tmp_path / "other" / "base.vhdx", disk("a stranger"))
    with pytest.raises(ParentNotFoundError):
        opened(child)
    assert opened(child, search=[tmp_path / "other", tmp_path / "archive"]) == [(base, Found.IDENTITY)]


def test_a_moved_parent_is_found_through_a_map(child, tmp_path):
    base = put(tmp_path / "nas" / "base.vhdx", BASE)
    assert opened(child, mappings=[f"C:\\vm={tmp_path / 'nas'}"]) == [(base, Found.PATH)]


def test_a_map_that_is_none_is_a_value_error(child):
    with pytest.raises(ValueError, match="WINDOWS=LOCAL"):
        opened(child, mappings=["nonsense"])


def test_a_parent_whose_name_differs_in_case_is_found(child):
    base = put(child.parent / "BASE.VHDX", BASE)
    assert opened(child)[0][0].samefile(base)


def test_a_stranger_at_the_path_does_not_hide_the_parent_elsewhere(child, tmp_path):
    put(child.parent / "base.vhdx", disk("a stranger"))
    base = put(tmp_path / "archive" / "base.vhdx", BASE)
    assert opened(child, search=[tmp_path / "archive"]) == [(base, Found.IDENTITY)]


def test_a_stranger_at_the_path_alone_is_a_mismatch_unless_it_is_accepted(child):
    stranger = put(child.parent / "base.vhdx", disk("a stranger"))
    with pytest.raises(ParentMismatchError) as caught:
        opened(child)
    assert (caught.value.child, caught.value.parent, caught.value.exit_code) == (child, stranger, 4)
    assert caught.value.wanted == (BASE.data_write_guid,)
    with vhdx.open_chain(child, on_mismatch=OnMismatch.ACCEPT) as chain:
        assert not chain.links[0].matches
        assert [finding.code for finding in chain.mismatches] == ["CHN-02"]


def test_twins_in_two_places_are_ambiguous(child, tmp_path):
    one, two = (put(tmp_path / name / "copy.vhdx", BASE) for name in ("one", "two"))
    with pytest.raises(AmbiguousParentError) as caught:
        opened(child, search=[tmp_path / "one", tmp_path / "two"])
    assert set(caught.value.found) == {one, two}
    assert caught.value.exit_code == 4
    assert opened(child, parents=[two]) == [(two, Found.GIVEN)]


def test_one_file_under_two_names_is_no_twin(child, tmp_path):
    base = put(tmp_path / "one" / "copy.vhdx", BASE)
    (tmp_path / "two").mkdir()
    os.link(base, tmp_path / "two" / "hard.vhdx")
    symbolic_link(tmp_path / "two" / "soft.vhdx", base)
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "one"]
    assert opened(child, search=folders)[0][1] is Found.IDENTITY


def test_a_given_parent_comes_before_every_search(child, tmp_path):
    put(child.parent / "base.vhdx", BASE)
    given = put(tmp_path / "given.vhdx", BASE)
    assert opened(child, parents=[given]) == [(given, Found.GIVEN)]


def test_a_given_parent_that_does_not_match_is_refused_unless_it_is_accepted(child, tmp_path):
    stranger = put(tmp_path / "s.vhdx", disk("a stranger"))
    with pytest.raises(ParentMismatchError):
        opened(child, parents=[stranger])
    assert opened(child, parents=[stranger], on_mismatch=OnMismatch.ACCEPT) == [(stranger, Found.GIVEN)]


def test_more_parents_than_the_chain_has_are_refused(child, tmp_path):
    base, extra = put(tmp_path / "b.vhdx", BASE), put(tmp_path / "e.vhdx", disk("extra"))
    with pytest.raises(UnusedParentsError) as caught:
        opened(child, parents=[base, extra])
    assert (caught.value.base, caught.value.unused) == (base, (extra,))
    with pytest.raises(UnusedParentsError):
        opened(base, parents=[extra])


def test_a_base_needs_no_parent(tmp_path):
    assert opened(put(tmp_path / "b.vhdx", BASE)) == []


def test_a_file_given_as_its_own_parent_is_a_loop(child):
    with pytest.raises(ChainLoopError):
        opened(child, parents=[child], on_mismatch=OnMismatch.ACCEPT)


def test_a_child_is_never_taken_for_its_own_parent_by_identity(tmp_path):
    """A copy made by DiscUtils can share the identity that it names."""
    spec = replace(CHILD, identity=replace(CHILD.identity, data_write_guid=BASE.data_write_guid))
    with pytest.raises(ParentNotFoundError):
        opened(put(tmp_path / "child.avhdx", spec))


def test_a_second_linkage_finds_the_parent_too(tmp_path):
    locator = LocatorSpec.of(disk("gone").data_write_guid).put("parent_linkage2", f"{{{BASE.data_write_guid}}}")
    child = put(tmp_path / "child.avhdx", replace(CHILD, parent=locator))
    base = put(tmp_path / "any.vhdx", BASE)
    assert opened(child) == [(base, Found.IDENTITY)]


@posix
@pytest.mark.parametrize("place", ["at the path", "among the folder's files"])
def test_a_pipe_is_never_opened(child, place):
    os.mkfifo(child.parent / ("base.vhdx" if place == "at the path" else "zzz.vhdx"))
    errors = []

    def attempt():
        try:
            opened(child)
        except vhdx.VhdxError as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it hangs on the pipe"
    assert isinstance(errors[0], ParentNotFoundError)


@posix
@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/stdin", "/dev"])
def test_a_device_or_folder_named_by_a_locator_is_not_opened(tmp_path, path):
    locator = LocatorSpec.absolute(path, BASE.data_write_guid)
    child = put(tmp_path / "child.avhdx", replace(CHILD, parent=locator))
    with pytest.raises(ParentNotFoundError) as caught:
        opened(child)
    assert any(path in place for place, _ in caught.value.tried)


def test_a_folder_named_like_the_parent_is_stepped_over(child):
    (child.parent / "base.vhdx").mkdir()
    with pytest.raises(ParentNotFoundError) as caught:
        opened(child)
    assert "regular" in " ".join(reason for _, reason in caught.value.tried)
    renamed = put(child.parent / "renamed.vhdx", BASE)
    assert opened(child) == [(renamed, Found.IDENTITY)]


@posix
@pytest.mark.parametrize("what", ["pipe", "folder", "device"])
def test_opening_something_that_is_no_file_is_refused_at_once(tmp_path, what):
    path = tmp_path / "thing"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path = type(path)("/dev/null")
    for open_it in (vhdx.open_image, vhdx.open_chain):
        with pytest.raises(NotRegularFileError) as caught:
            open_it(path)
        assert (caught.value.path, caught.value.exit_code) == (path, 6)


def test_what_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(InputOutputError) as caught:
        vhdx.open_image(tmp_path / "gone.vhdx")
    assert (caught.value.action, caught.value.exit_code) == ("open", 6)
    with pytest.raises(InputOutputError):
        vhdx.open_image("nul\0byte")


def test_a_search_folder_that_is_not_there_is_an_error(child, tmp_path):
    with pytest.raises(InputOutputError) as caught:
        opened(child, search=[tmp_path / "gone"])
    assert caught.value.path == tmp_path / "gone"


def test_a_damaged_parent_is_reported_with_what_is_wrong_with_it(child):
    base = put(child.parent / "base.vhdx", BASE)
    with base.open("r+b") as handle:
        for offset in (65536, 131072):
            handle.seek(offset)
            handle.write(bytes(4096))
    with pytest.raises(CorruptFileError) as caught:
        opened(child)
    assert (caught.value.path, caught.value.finding.code) == (base, "HDR-04")


def identity_at(path):
    with closing(open_structures(path)) as structures:
        return identity_of(structures)


def test_an_identity_is_read_from_the_headers_alone(tmp_path):
    base = put(tmp_path / "b.vhdx", BASE)
    os.truncate(base, 1 << 20)
    assert identity_at(base) == BASE.data_write_guid
    (tmp_path / "text").write_bytes(b"x" * (2 << 20))
    assert identity_at(tmp_path / "text") is None


def test_a_file_that_is_no_vhdx_has_no_identity_and_a_vhdx_without_headers_is_damaged(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"vhdx", b"x" * (2 << 20)):
        path.write_bytes(content)
        assert identity_at(path) is None
    for content, code in ((b"vhdxfile", "FID-02"), (b"vhdxfile" + bytes(2 << 20), "HDR-04")):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError) as caught:
            identity_at(path)
        assert caught.value.finding.code == code


def test_a_damaged_file_in_a_search_folder_is_named_for_it_may_be_the_parent(child, tmp_path):
    (tmp_path / "archive").mkdir()
    damaged = tmp_path / "archive" / "damaged.vhdx"
    damaged.write_bytes(b"vhdxfile" + bytes(2 << 20))
    with pytest.raises(ParentNotFoundError) as caught:
        opened(child, search=[tmp_path / "archive"])
    assert str(damaged) in [place for place, _ in caught.value.tried]


@posix
def test_a_search_folder_that_is_a_ring_of_links_is_an_input_error(child, tmp_path):
    symbolic_link(tmp_path / "ring", tmp_path / "ring")
    with pytest.raises(InputOutputError):
        opened(child, search=[tmp_path / "ring"])


def test_layers_are_named_by_path_or_number(child, tmp_path):
    base = put(child.parent / "base.vhdx", BASE)
    symbolic_link(tmp_path / "link", base)
    with vhdx.open_chain(child) as chain:
        assert [chain.layer_of(path) for path in (base, child, tmp_path / "link")] == [0, 1, 0]
        for attempt in (lambda: chain.layer_of(tmp_path), lambda: chain.upto(2), lambda: chain.upto(-1)):
            with pytest.raises(NoSuchLayerError):
                attempt()
        assert chain.upto(0).leaf is chain.base


@posix
def test_files_are_closed_when_the_chain_is(child):
    put(child.parent / "base.vhdx", BASE)
    before = open_files()
    with vhdx.open_chain(child) as chain:
        assert open_files() == before + 2
    assert open_files() == before
    with pytest.raises(InputOutputError):
        chain.sources[0].read_into(0, memoryview(bytearray(1)))
    chain.close()


def test_a_chain_can_be_copied_elsewhere_as_a_whole(child, tmp_path):
    put(child.parent / "base.vhdx", BASE)
    shutil.copytree(child.parent, tmp_path / "copy")
    assert opened(tmp_path / "copy" / "child.avhdx")[0][0] == tmp_path / "copy" / "base.vhdx"
