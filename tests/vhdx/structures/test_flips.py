"""Single flips found by the checksum alone, against a search that tries them all."""

import random

import pytest

from vhdx.structures import flips
from vhdx.structures.fields import crc32c_without_field, with_checksum
from vhdx.structures.flips import Flip, single_flip

KIB = 1 << 10


def damaged(page, offset, mask):
    return page[:offset] + bytes([page[offset] ^ mask]) + page[offset + 1 :]


def every_single_error(page):
    """The naive way: every bit of every byte, tried."""
    for offset in range(len(page)):
        for bit in range(8):
            tried = damaged(page, offset, 1 << bit)
            if crc32c_without_field(tried) == int.from_bytes(tried[4:8], "little"):
                yield offset, bit


@pytest.mark.parametrize("size", [9, 100, 4 * KIB, 64 * KIB])
def test_every_flipped_bit_is_found_at_its_place(size):
    generator = random.Random(size)
    page = with_checksum(generator.randbytes(size))
    for offset in {0, 3, 4, 7, 8, size - 1, *(generator.randrange(size) for _ in range(20))}:
        mask = 1 << generator.randrange(8)
        flip = single_flip(damaged(page, offset, mask))
        assert flip == Flip(offset, page[offset] ^ mask, page[offset])
        assert flip.bit is not None
        assert flip.fix(damaged(page, offset, mask)) == page


def test_it_finds_what_trying_every_bit_finds():
    generator = random.Random(5)
    for _ in range(5):
        page = damaged(with_checksum(generator.randbytes(64)), generator.randrange(64), 1 << generator.randrange(8))
        flip = single_flip(page)
        assert [(flip.offset, flip.bit)] == list(every_single_error(page))


def test_a_wrong_byte_is_found_where_no_bit_explains_it():
    page = with_checksum(bytes(range(256)) * 16)
    flip = single_flip(damaged(page, 1000, 0xA5))
    assert (flip.offset, flip.expected, flip.bit) == (1000, page[1000], None)
    assert "byte 1000" in flip.what


def test_a_wrong_byte_of_the_checksum_itself_counts():
    page = with_checksum(bytes(range(256)) * 16)
    assert single_flip(damaged(page, 6, 0xFF)).fix(damaged(page, 6, 0xFF)) == page


def test_the_checksum_may_stand_elsewhere():
    body = with_checksum(b"abcd\0\0\0\0" + b"x" * 92)
    page = body[:50]
    assert single_flip(body, 4) is None
    assert single_flip(page, 4) is None or single_flip(page, 4).fix(page) != body


def test_a_page_that_matches_has_no_flip_and_one_that_was_overwritten_has_none():
    page = with_checksum(bytes(range(256)) * 16)
    assert single_flip(page) is None
    assert single_flip(page[:512] + b"\xff" * 512 + page[1024:]) is None


class Counted(tuple):
    """A table that counts how often it is looked into."""

    __slots__ = ()
    looks = 0

    def __getitem__(self, index):
        Counted.looks += 1
        return super().__getitem__(index)


def test_a_whole_region_table_is_searched_in_one_pass(monkeypatch):
    page = damaged(with_checksum(random.Random(1).randbytes(64 * KIB)), 8, 1)
    tables = tuple(map(Counted, flips._tables()))
    monkeypatch.setattr(flips, "_tables", lambda: tables)
    assert single_flip(page).offset == 8
    assert Counted.looks == 2 * len(page)
