"""Identifier, headers and region tables lost: each, each copy, in pairs, all of them."""

from itertools import combinations

import pytest

from analyzer.recover.rebuild.job import rebuild_image
from analyzer.recover.rebuild.workspace import Certainty
from fixtures import RECIPES, Block, BlockState, Brush, Identity, ImageSpec, encode, flatten
from tests.analyzer.recover.rebuild.helpers import (
    HEADERS,
    IDENTIFIER,
    MIB,
    TABLES,
    assert_whole,
    bat_of,
    known_bytes,
    rebuilt_image,
    recipe_of,
    upon,
    wiped,
)
from tests.analyzer.recover.rebuild.test_metadata import logged
from tests.support.catalogue import fixture_of
from tests.support.sources import SparseSource
from vhdx.contents import Structures
from vhdx.ranges import Range
from vhdx.source import MemorySource

pytestmark = pytest.mark.slow

NAMES = ("dynamic", "fixed", "demo", "chain-3", "mixed-block-sizes", "volume-gpt-ntfs", "volume-ext", "sectors-4096")
PARTS = (IDENTIFIER, HEADERS, TABLES)
LOSSES = [sum(parts, ()) for count in (1, 2, 3) for parts in combinations(PARTS, count)]


@pytest.mark.parametrize("ranges", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_front_comes_back_whole(name, ranges):
    (*parents, leaf), model = recipe_of(name)
    saved = rebuilt_image(wiped(leaf, *ranges))
    assert_whole(saved, model, parents)
    assert saved.rebuilt
    assert all(one.evidence for one in saved.rebuilt)


@pytest.mark.parametrize("lost", [*HEADERS, *TABLES])
def test_one_copy_is_enough_and_nothing_is_rebuilt(lost):
    (leaf,), model = recipe_of("dynamic")
    saved = rebuilt_image(wiped(leaf, lost))
    assert_whole(saved, model)
    assert (saved.rebuilt, saved.lost) == ((), ())


def test_a_file_that_opens_is_given_back_as_it_is():
    (leaf,), model = recipe_of("dynamic")
    saved = rebuilt_image(leaf)
    assert_whole(saved, model)
    assert (saved.rebuilt, saved.lost) == ((), ())


def test_lost_headers_leave_it_open_whether_the_log_was_live_and_the_identity_is_gone():
    (leaf,), _ = recipe_of("dynamic")
    saved = rebuilt_image(wiped(leaf, *HEADERS))
    assert any("whether it was live is unknown" in text for text in saved.lost)
    assert any("data_write_guid" in text for text in saved.lost)
    assert [one.certainty for one in saved.rebuilt] == [Certainty.LIKELY]


def test_the_source_is_the_images_own_and_is_never_changed():
    (leaf,), _ = recipe_of("dynamic")
    source = SparseSource(wiped(leaf, *TABLES))
    assert rebuild_image(Structures(source)).image.file is source


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"conectix" * 4096, b"\xff" * (3 << 20), b"metadata" * (1 << 18)])
def test_what_is_no_vhdx_at_all_gives_no_image_and_does_not_raise(data):
    saved = rebuild_image(Structures(MemorySource(data)))
    assert saved.image is None
    assert saved.lost


@pytest.mark.parametrize("ranges", LOSSES)
def test_an_empty_disk_comes_back_empty(ranges):
    (leaf,), model = recipe_of("empty")
    assert_whole(rebuilt_image(wiped(leaf, *ranges)), model)


@pytest.mark.parametrize("name", ["not-vhdx-qcow2", "not-vhdx-raw", "not-vhdx-vhd-fixed", "not-vhdx-zeros"])
def test_another_kind_of_file_is_called_what_it_is_and_nothing_is_rebuilt(name):
    fixture = fixture_of(name)
    saved = rebuilt_image(fixture.files[fixture.leaf])
    assert (saved.image, saved.rebuilt) == (None, ())
    assert "not a VHDX file" in saved.lost[-1] or "headers alone take" in saved.lost[-1]


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("log-")])
@pytest.mark.parametrize("ranges", [HEADERS, HEADERS + TABLES])
def test_what_a_log_of_unknown_standing_may_have_changed_is_never_called_known(name, ranges):
    fixture = fixture_of(name)
    if fixture.leaf not in fixture.models or fixture.models[fixture.leaf].size > 64 << 20:
        pytest.skip("it has no model, or a large one")
    (*parents, leaf), model = recipe_of(name)
    saved = rebuilt_image(wiped(leaf, *ranges))
    if saved.image is not None:
        known_bytes(upon(parents, saved.image), model)


def test_the_log_of_a_disk_that_the_guest_keeps_is_not_taken_for_the_files_own():
    plain = ImageSpec(size=4 * MIB, identity=Identity.of("inner"), blocks=Brush(tag=5).fulls((0, 1)))
    inner = encode(logged(plain, [bat_of(plain)])).to_bytes()
    block = Block(state=BlockState.FULLY_PRESENT, data={0: inner})
    outer = ImageSpec(size=64 * MIB, identity=Identity.of("outer"), block_size=16 * MIB, blocks={1: block})
    saved = rebuilt_image(wiped(encode(outer), *HEADERS, (MIB, MIB)))
    assert known_bytes(saved.image, flatten([outer])) == outer.size
    assert any("no whole entry was found" in text for text in saved.lost)
    assert list(saved.doubted) == [Range(0, outer.size)]


SUMS = ((HEADERS[0][0] + 4, 4), (HEADERS[1][0] + 4, 4))


@pytest.mark.parametrize("name", ["dynamic", "chain-3", "sectors-4096"])
def test_headers_that_agree_are_believed_although_both_checksums_are_wrong(name):
    (*parents, leaf), model = recipe_of(name)
    saved = rebuilt_image(wiped(leaf, *SUMS))
    assert_whole(saved, model, parents)
    assert saved.image.data_write_guid.int
    assert (saved.lost, not saved.doubted) == ((), True)


@pytest.mark.parametrize("field", [16, 32, 48, 72])
def test_headers_that_disagree_and_have_wrong_checksums_are_lost(field):
    (leaf,), _ = recipe_of("dynamic")
    start = HEADERS[0][0] + field
    saved = rebuilt_image(wiped(leaf, *SUMS).patched(start, bytes(8) if field > 70 else b"\x55" * 8))
    assert any("data_write_guid" in text for text in saved.lost)


def test_headers_of_zeros_agree_and_are_no_evidence():
    (leaf,), _ = recipe_of("dynamic")
    identities = ((start + 16, 32) for start, _ in HEADERS)
    saved = rebuilt_image(wiped(leaf, *SUMS, *identities))
    assert any("data_write_guid" in text for text in saved.lost)
