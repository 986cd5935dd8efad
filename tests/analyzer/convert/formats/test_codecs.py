"""Deflate by two libraries: what either packs, both unpack."""

import random
import zlib

import pytest

from analyzer.convert.formats import codecs
from analyzer.convert.formats.codecs import UndecodableError, deflate, inflate

NOISE = random.Random(3).randbytes(40_000)
CONTENTS = {
    "nothing": b"",
    "zeros": bytes(65536),
    "noise": NOISE,
    "text": b"".join(b"line %d of a log\n" % n for n in range(5000)),
    "far repeats": NOISE * 3,
}


@pytest.fixture(params=["zlib", "isal"])
def library(request, monkeypatch):
    """Have the codecs use one library."""
    module = pytest.importorskip("isal.isal_zlib") if request.param == "isal" else None
    monkeypatch.setattr(codecs, "_isal", lambda: module)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("window_bits", [-12, 15])
def test_zlib_unpacks_what_was_packed_with_the_window_that_was_asked_for(library, name, level, window_bits):
    packed = deflate(CONTENTS[name], window_bits, level)
    unpacker = zlib.decompressobj(window_bits)
    assert unpacker.decompress(packed) == CONTENTS[name]
    assert unpacker.eof


@pytest.mark.parametrize("name", [name for name in CONTENTS if CONTENTS[name]])
@pytest.mark.parametrize("window_bits", [-12, 15])
def test_what_zlib_packed_is_unpacked_whatever_stands_behind_it(library, name, window_bits):
    packed = zlib.compress(CONTENTS[name], 6, window_bits)
    assert inflate(packed + b"\xff" * 300, window_bits, len(CONTENTS[name])) == CONTENTS[name]


@pytest.mark.parametrize("window_bits", [-12, 15])
@pytest.mark.parametrize("data", [b"", b"\xff" * 50, zlib.compress(NOISE)[:20_000]])
def test_what_is_no_such_stream_is_undecodable(library, window_bits, data):
    with pytest.raises(UndecodableError):
        inflate(data, window_bits, len(NOISE))


def test_a_length_that_is_another_is_undecodable(library):
    with pytest.raises(UndecodableError):
        inflate(zlib.compress(NOISE), 15, len(NOISE) + 1)


def test_a_memory_view_is_packed_as_bytes_are(library):
    assert deflate(memoryview(NOISE), 15) == deflate(NOISE, 15)
