"""What volumes have in use: all that they hold, and nothing that was deleted."""

from collections import Counter

import pytest

import vhdx
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.guest.usage.volumes import usages_of
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import DELETED, MIB
from vhdx.image import image_from
from vhdx.ranges import Range

PIECE = 512


@pytest.fixture(params=disks.KINDS)
def content(request):
    kind = request.param
    if is_missing(kind):
        pytest.skip(f"nothing here makes {kind}")
    return disks.volume(kind, 0)


def usage_in(flat):
    made = disks.made(flat, MIB, disks.random.Random(1))
    image = image_from(made.without(()))
    (usage,) = (usage for usage in usages_of(ReadableDisk(image)) if usage.is_readable and usage.extent.length)
    return usage


@pytest.mark.parametrize("scheme", ["none", "mbr", "gpt"])
def test_what_a_volume_calls_free_holds_nothing_but_what_was_deleted(content, scheme):
    flat = disks.partitioned(content, scheme)
    usage = usage_in(flat)
    free = usage.told - usage.used
    assert free.size > len(content) // 4
    pieces = Counter(flat[at : at + PIECE] for part in free for at in range(part.start, part.end, PIECE))
    others = pieces.total() - pieces[DELETED] - pieces[bytes(PIECE)]
    assert others <= pieces.total() // 200  # ext2 leaves the blocks behind that named those of a deleted file


def test_structures_and_folders_that_are_said_to_be_filled_are(content):
    usage = usage_in(content)
    contents = usage.contents()
    for extents in (usage.filled, contents.filled):
        for start, length in zip(extents.start.tolist(), extents.length.tolist(), strict=True):
            assert content[start : start + length].strip(b"\0")
    assert len(contents.written.start) >= 15  # exFAT's writer makes no more


def test_what_files_wrote_is_in_use_and_is_not_what_was_deleted(content):
    usage = usage_in(content)
    written = usage.contents().written
    for start, length in zip(written.start.tolist(), written.length.tolist(), strict=True):
        assert usage.used.covers(Range(start, length))
        assert content[start : start + PIECE] != DELETED


@pytest.mark.corpus
def test_the_genuine_btrfs_has_its_nodes_where_they_are_said_to_be(corpus):
    with vhdx.open_chain(corpus("genuine/windows10-btrfs.vhdx")) as disk:
        usage = usages_of(ReadableDisk(disk))[-1]
        filled = usage.contents().filled
        assert len(filled.start) == 11
        for start, length in zip(filled.start.tolist(), filled.length.tolist(), strict=True):
            assert any(disk.read(start, length))
        assert usage.told.size == usage.extent.length


@pytest.mark.corpus
def test_the_genuine_xfs_has_its_structures_where_they_are_said_to_be(corpus):
    with vhdx.open_chain(corpus("genuine/windows10-xfs.vhdx")) as disk:
        usage = usages_of(ReadableDisk(disk))[-1]
        filled = [usage.filled, usage.contents().filled]
        assert [len(extents.start) for extents in filled] == [12, 98]
        for extents in filled:
            for start, length in zip(extents.start.tolist(), extents.length.tolist(), strict=True):
                assert any(disk.read(start, min(length, 4096)))
        assert usage.told.size == usage.extent.length
