"""Random chains against two judges: the fixtures' model by sectors, and a bytearray."""

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from tests.support.laws import assert_lawful, same
from tests.support.sources import chain_of
from tests.support.strategies import stacks
from vhdx import layers as layers_module
from vhdx import table as table_module
from vhdx.disk import ThroughDisk
from vhdx.reader import Reader
from vhdx.runs import Kind, concatenate

pytestmark = pytest.mark.property

MIB = 1 << 20


@given(stacks())
def test_the_two_judges_agree(stack):
    for disk, model in zip(stack.disks, stack.flattened, strict=True):
        assert model.size == disk.size
        assert model.read(0, model.size) == disk.bytes


@given(stacks())
def test_every_layer_reads_as_both_judges_say(stack):
    chain = chain_of(stack.files)
    for layer, (disk, model) in enumerate(zip(stack.disks, stack.flattened, strict=True)):
        view = chain.upto(layer)
        assert view.size == disk.size
        data = view.read(0, view.size)
        assert data == disk.bytes
        assert data == model.read(0, model.size)


@given(stacks(), st.data())
def test_reads_at_random_places_give_the_bytes_that_are_there(stack, data):
    chain, disk = chain_of(stack.files), stack.disks[-1]
    places = st.integers(0, disk.size + 4096)
    lengths = st.integers(0, 2048) | st.integers(0, disk.size + 4096)
    for _ in range(20):
        start, length = data.draw(places), data.draw(lengths)
        assert chain.read(start, length) == disk.read(start, length)


class Shown(ThroughDisk):
    """A disk that has no lookup, so that every read is by runs."""

    def windows(self, start=0, end=None):
        return self.inner.windows(start, end)


@given(stacks(), st.data())
def test_reads_that_go_on_give_what_reads_at_any_place_give(stack, data):
    disk, reader, position = stack.disks[-1], Reader(Shown(chain_of(stack.files))), 0
    lengths = st.sampled_from((1, 511, 512, 4096, 65535, 65536, 65537, MIB))
    for _ in range(20):
        position = data.draw(st.just(position) | st.integers(0, disk.size)) % (disk.size + 1)
        length = min(data.draw(lengths), disk.size - position)
        assert reader.read(position, length) == disk.read(position, length)
        position += length


@given(stacks(max_layers=2))
def test_what_a_stream_gave_stays_as_it_was_while_more_is_read(stack):
    disk, stream = stack.disks[-1], chain_of(stack.files).stream()
    pieces = []
    while piece := stream.read(4096):
        pieces.append(piece)
    assert b"".join(pieces) == disk.bytes


@given(stacks(max_layers=3), st.data())
def test_a_stream_moves_and_reads_as_a_bytes_file_does(stack, data):
    import io

    expected, stream = io.BytesIO(stack.disks[-1].bytes), chain_of(stack.files).stream()
    size = stack.disks[-1].size
    for _ in range(25):
        step = data.draw(st.sampled_from(("read", "readinto", "seek", "relative", "end", "readall")))
        if step == "read":
            length = data.draw(st.integers(0, 100_000))
            assert stream.read(length) == expected.read(length)
        elif step == "readinto":
            length = data.draw(st.integers(0, 10_000))
            mine, theirs = bytearray(length), bytearray(length)
            assert stream.readinto(mine) == expected.readinto(theirs)
            assert mine == theirs
        elif step == "seek":
            place = data.draw(st.integers(0, size + 100))
            assert stream.seek(place) == expected.seek(place)
        elif step == "relative":
            place = data.draw(st.integers(-expected.tell(), size))
            assert stream.seek(place, os.SEEK_CUR) == expected.seek(place, os.SEEK_CUR)
        elif step == "end":
            place = data.draw(st.integers(-size, 100))
            assert stream.seek(place, os.SEEK_END) == expected.seek(place, os.SEEK_END)
        else:
            assert stream.readall() == expected.read()
        assert stream.tell() == expected.tell()


@given(stacks(), st.data())
def test_runs_are_lawful_over_any_range_and_are_a_part_of_the_whole(stack, data):
    chain = chain_of(stack.files)
    whole = chain.runs()
    assert_lawful(whole, 0, chain.size)
    start = data.draw(st.integers(0, chain.size - 1))
    end = data.draw(st.integers(start + 1, chain.size))
    part = chain.runs(start, end)
    assert_lawful(part, start, end)
    assert same(part, whole.clip(start, end))


@given(stacks())
def test_data_runs_point_at_the_bytes_and_all_others_are_zeros(stack):
    chain, disk = chain_of(stack.files), stack.disks[-1]
    for run in chain.runs():
        expected = disk.read(run.start, run.length)
        if run.kind is Kind.DATA:
            buffer = bytearray(run.length)
            chain.sources[run.layer].read_into(run.file_offset, memoryview(buffer))
            assert buffer == expected
        else:
            assert run.kind is not Kind.LOST
            assert expected.count(0) == len(expected)


@given(stacks(), st.integers(1, 3), st.integers(1, 5))
def test_tables_read_page_by_page_give_the_same_runs_and_count_the_same(stack, page, window):
    whole = chain_of(stack.files)
    # A chunk has eight times as many slots where sectors are eight times as large, nearly all of them unused: windows
    # grow with them, pages do not.
    window *= stack.specs[0].logical_sector // 512
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "_PAGE_SLOTS", page)
        patch.setattr(table_module, "WINDOW_SLOTS", page * window)
        chain = chain_of(stack.files)
        assert same(chain.runs(), whole.runs())
        for image, other in zip(chain.layers, whole.layers, strict=True):
            assert image.table.count_states() == other.table.count_states()
            assert not any(map(len, image.table.damaged_blocks()))


@given(stacks(), st.integers(1, 9))
def test_small_windows_put_together_are_the_runs(stack, limit):
    chain = chain_of(stack.files)
    whole = chain.runs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers_module, "MOST_RUNS", limit)
        windows = list(chain.windows())
    assert same(concatenate(windows), whole)
    for before, after in pairwise(windows):
        assert before.end == after.start[0]
    for image in chain.layers:
        parts = list(image.layer_windows(2, image.size, 0, image.size, limit=limit))
        assert all(len(part) <= limit for part in parts)
        assert same(concatenate(parts), concatenate(image.layer_windows(2, image.size, 0, image.size)))


@given(stacks(min_layers=2), st.data())
def test_the_upper_layers_alone_leave_holes_to_the_lower_ones(stack, data):
    chain = chain_of(stack.files)
    lowest = data.draw(st.integers(1, len(chain.layers) - 1))
    upper = concatenate(chain.windows_above(lowest))
    assert_lawful(upper, 0, chain.size)
    # The state of the layer below, as far as this disk's views let it through.
    limit = min(chain.views[lowest - 1], chain.size)
    below = chain.upto(lowest - 1).read(0, limit).ljust(chain.size, b"\0")
    disk = stack.disks[-1]
    for run in upper:
        assert run.layer >= lowest or run.kind is Kind.HOLE
        if run.kind is Kind.HOLE:
            assert disk.read(run.start, run.length) == below[run.start : run.end]


@settings(max_examples=15)
@given(stacks(min_layers=2, max_layers=4))
def test_a_chain_opened_by_path_reads_as_the_judge_says(tmp_path_factory, stack):
    paths = stack.write_to(tmp_path_factory.mktemp("chain"))
    with vhdx.open_chain(paths[-1]) as chain:
        assert [layer.path for layer in chain.layers] == paths
        assert chain.read(0, chain.size) == stack.disks[-1].bytes


@given(stacks(max_layers=1))
def test_an_image_by_itself_reads_as_its_chain_does(stack):
    chain = chain_of(stack.files)
    image = chain.leaf
    assert image.read(0, image.size) == chain.read(0, chain.size) == stack.disks[0].bytes
    assert same(image.runs(), chain.runs())
