"""Every restore point reads as the model says, however it was made, and costs what changed."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from analyzer.backup.errors import DamagedObjectError
from analyzer.backup.plan import Hashing, Lost, Reading, Which
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.manifest import build_document, parse_document
from analyzer.backup.repository.repository import SETTINGS, Settings, init_repository, open_repository
from analyzer.backup.storage.local import LocalPlace
from fixtures import Identity, encode
from tests.analyzer.backup.helpers import KIB, MIB, back_up, chunks_of, content_of, new_repository, stored_chunks
from tests.support.catalogue import fixture_of
from tests.support.sources import CountingSource, SparseSource, chain_from, chain_of
from tests.support.strategies import layers_upon, stacks
from vhdx.errors import LostDataError
from vhdx.structures.constants import GIB, TIB

pytestmark = pytest.mark.slow

CHUNKS = st.sampled_from([64 * KIB, 256 * KIB, MIB])


@settings(max_examples=20)
@given(stacks(), CHUNKS)
def test_every_checkpoint_reads_as_its_layer_and_has_its_hash(stack, chunk_size):
    repository = new_repository(chunk_size=chunk_size)
    hashing = Hashing.ALWAYS if chunk_size == MIB else Hashing.CHEAP
    manifests = back_up(repository, chain_of(stack.files), which=Which.CHECKPOINTS, hashing=hashing)
    assert [manifest.layer for manifest in manifests] == list(range(len(stack.disks)))
    for manifest, disk in zip(manifests, stack.disks, strict=True):
        assert content_of(repository, manifest.name) == disk.bytes
        assert manifest.image_sha256 == hashlib.sha256(disk.bytes).hexdigest()
        other = hashlib.new("sha512_256", disk.bytes).hexdigest() if hashing is Hashing.ALWAYS else None
        assert manifest.image_sha512_256 == other


@settings(max_examples=20)
@given(stacks(), CHUNKS)
def test_checkpoints_store_every_different_chunk_once_and_nothing_else(stack, chunk_size):
    repository = new_repository(chunk_size=chunk_size)
    back_up(repository, chain_of(stack.files), which=Which.CHECKPOINTS)
    wanted = {chunk_id for disk in stack.disks for chunk_id in chunks_of(disk.bytes, chunk_size)}
    assert stored_chunks(repository) == wanted


@settings(max_examples=15)
@given(stacks(min_layers=2), st.data())
def test_points_made_one_after_another_in_any_order_read_as_their_states(stack, data):
    repository, chain = new_repository(), chain_of(stack.files)
    order = data.draw(st.permutations(range(len(stack.disks))))
    for layer in order:
        (manifest,) = back_up(repository, chain.upto(layer))
        assert content_of(repository, manifest.name) == stack.disks[layer].bytes


@settings(max_examples=15)
@given(stacks(min_layers=2, max_layers=3), st.data())
def test_a_leaf_that_was_written_since_is_read_where_either_state_of_it_has_anything(stack, data):
    repository = new_repository()
    before = chain_of(stack.files)
    back_up(repository, before)
    spec, disk = data.draw(layers_upon(stack))
    spec = replace(spec, identity=Identity.of("written-since", disk="stack"))
    files = [*stack.files[:-1], encode(spec)]
    (manifest,) = back_up(repository, chain_of(files))
    assert manifest.parent is not None
    assert manifest.effort.read_in_full is None
    assert content_of(repository, manifest.name) == disk.bytes


@settings(max_examples=15)
@given(stacks(max_layers=3))
def test_the_same_state_again_reads_nothing_and_is_the_same_index(stack):
    repository, chain = new_repository(), chain_of(stack.files)
    (first,) = back_up(repository, chain)
    (second,) = back_up(repository, chain)
    assert second.index_sha256 == first.index_sha256
    assert second.image_sha256 == first.image_sha256
    assert second.effort.read_bytes == second.effort.chunks_written == 0


@settings(max_examples=15)
@given(stacks(max_layers=3))
def test_reading_all_again_finds_the_same_and_packs_nothing(stack):
    repository, chain = new_repository(), chain_of(stack.files)
    (first,) = back_up(repository, chain)
    (second,) = back_up(repository, chain, reading=Reading.ALL)
    assert second.index_sha256 == first.index_sha256
    assert second.effort.read_in_full == "that was asked for"
    assert second.effort.chunks_written == 0


@settings(max_examples=15)
@given(stacks(min_layers=2, max_layers=3))
def test_the_image_of_an_incremental_is_hashed_when_that_is_asked_for_and_else_not_known(stack):
    repository, chain = new_repository(), chain_of(stack.files)
    (base,) = back_up(repository, chain.upto(0))
    (plain,) = back_up(repository, chain)
    (hashed,) = back_up(repository, chain, hashing=Hashing.ALWAYS)
    expected = hashlib.sha256(stack.disks[-1].bytes).hexdigest()
    assert plain.image_sha256 in ({expected} if plain.index_sha256 == base.index_sha256 else {None})
    assert hashed.image_sha256 == expected


def payload_of(image):
    """Where a file has blocks of payload, and what of them it claims, by its runs."""
    return [(run.file_offset, run.length) for run in image.runs() if run.kind == 0]


def read_within(source, places):
    return sum(
        max(0, min(offset + length, start + size) - max(offset, start))
        for offset, length in source.reads
        for start, size in places
    )


@settings(max_examples=15)
@given(stacks(min_layers=2), CHUNKS)
def test_the_incremental_of_a_child_reads_what_the_child_claims_and_not_a_byte_of_its_parents(stack, chunk_size):
    sources = [CountingSource(SparseSource(file)) for file in stack.files]
    chain = chain_from(sources)
    repository = new_repository(chunk_size=chunk_size)
    back_up(repository, chain.upto(len(stack.files) - 2))
    for source in sources:
        source.reads.clear()
    back_up(repository, chain)
    places = [payload_of(image) for image in chain.layers]
    *below, own = [read_within(source, place) for source, place in zip(sources, places, strict=True)]
    assert own <= sum(size for _, size in places[-1])
    if len({disk.size for disk in stack.disks}) == 1:  # else what a size hid or showed is read too
        assert sum(below) == 0


@pytest.mark.parametrize("name", ["child-larger", "child-smaller", "short-middle", "states-child", "mixed-block-sizes"])
def test_checkpoints_of_the_catalogue_read_as_their_models(recipe, name):
    fixture, leaf = recipe(name)
    repository = new_repository(chunk_size=None)
    with vhdx.open_chain(leaf) as chain:
        for manifest in back_up(repository, chain, which=Which.CHECKPOINTS):
            model = fixture.models[fixture.chain[::-1][manifest.layer]]
            assert content_of(repository, manifest.name) == model.read(0, model.size)


def test_what_is_lost_refuses_a_backup_and_is_listed_when_it_is_allowed(recipe):
    _, leaf = recipe("block-truncated")
    repository = new_repository()
    with vhdx.open_chain(leaf) as chain:
        with pytest.raises(LostDataError):
            back_up(repository, chain)
        assert repository.names() == []
        (manifest,) = back_up(repository, chain, lost=Lost.ALLOW)
        lost = [run for run in chain.runs() if run.kind.name == "LOST"]
        assert manifest.lost == tuple((run.start, run.length) for run in lost)
        content = content_of(repository, manifest.name)
        assert all(content[run.start : run.end] == bytes(run.length) for run in lost)
        (again,) = back_up(repository, chain, lost=Lost.ALLOW)
        assert again.parent is None  # what was lost may be there today: nothing is built upon it


@pytest.mark.parametrize("name", ["huge-dynamic", "huge-differencing"])
def test_a_disk_of_64_tib_takes_the_largest_chunks(name):
    fixture = fixture_of(name)
    chain = chain_of([fixture.files[path] for path in fixture.chain[::-1]])
    assert new_repository(chunk_size=None).chunk_size_for(chain.size) == 16 * MIB
    assert new_repository(chunk_size=64 * KIB).chunk_size_for(chain.size) == 16 * MIB


def test_chunks_are_small_in_a_folder_and_grow_until_a_disk_has_a_million(tmp_path):
    made = init_repository(LocalPlace(tmp_path / "new"), Settings(), Codec())
    opened = open_repository(LocalPlace(tmp_path / "new"), str)
    for repository in (made, opened):
        sizes = {
            size: repository.chunk_size_for(size) // KIB for size in (MIB, 256 * GIB, 256 * GIB + 1, TIB, 64 * TIB)
        }
        assert [*sizes.values()] == [256, 256, 512, 1024, 16384]
    asked = init_repository(LocalPlace(tmp_path / "asked"), Settings(chunk_size=MIB), Codec())
    assert (asked.settings.least_chunk, asked.chunk_size_for(MIB)) == (None, MIB)


def test_a_repository_from_before_keeps_its_chunks_of_1_mib(tmp_path):
    place = LocalPlace(tmp_path / "old")
    init_repository(place, Settings(), Codec())
    members = parse_document(place.read(SETTINGS))
    del members["least_chunk"]
    place.write(SETTINGS, build_document(members))
    assert open_repository(place, str).chunk_size_for(MIB) == MIB
    for nonsense in (0, -1, 3 << 20, "1M", 1 << 40):
        place.write(SETTINGS, build_document({**members, "least_chunk": nonsense}))
        with pytest.raises(DamagedObjectError, match="no chunk has"):
            open_repository(place, str)
