"""One of a kind is counted as one in every sentence that a user sees."""

import os
import re

import pytest

from analyzer.text import exact_size, size
from fixtures import Brush, Identity, ImageSpec, encode
from fixtures.placement import Placement
from tests.support.files import patch

MIB = 1 << 20
WRONG = re.compile(r"\b1 (?!MiB|KiB)[a-z ]*?(?:bytes|entries|blocks|sectors|hours|descriptors|points)\b")


def counted(answer, words):
    """That the words are said, and nothing is counted wrongly."""
    text = " ".join((answer.out + answer.err).split())
    assert words in text
    assert not WRONG.search(text), text


def test_a_size_of_one_byte_is_one_byte():
    assert (size(0), size(1), size(2), exact_size(1)) == ("0 bytes", "1 byte", "2 bytes", "1 byte")


def test_a_block_that_lacks_its_last_byte(vhdx_command, tmp_path):
    spec = ImageSpec(size=4 * MIB, identity=Identity.of("short"), blocks=Brush(tag=1).fulls(range(4)))
    path = tmp_path / "short.vhdx"
    encode(spec).write_to(path)
    os.truncate(path, path.stat().st_size - 1)
    counted(vhdx_command("check", path), "ends 1 byte past the end of the file")


def test_one_reserved_byte(vhdx_command, built):
    path, _ = built("dynamic")
    patch(path, 32 << 10, b"\x01")
    counted(vhdx_command("check", path), "1 reserved byte among the headers is not zero")


def test_a_metadata_item_of_one_byte(vhdx_command, tmp_path):
    spec = ImageSpec(size=4 * MIB, identity=Identity.of("item"), blocks=Brush(tag=1).fulls(range(1)))
    path = tmp_path / "item.vhdx"
    encode(spec).write_to(path)
    patch(path, Placement.of(spec).metadata + 32 + 20, (1).to_bytes(4, "little"))
    counted(vhdx_command("check", path), "item is 1 byte long, not")


def test_a_prune_of_one_hour(vhdx_command, built, tmp_path):
    pytest.importorskip("zstandard")
    (first, _), (second, _) = built("dynamic"), built("fixed")
    kept = tmp_path / "kept"
    vhdx_command("backup", "init", kept)
    for name, leaf in (("one", first), ("two", second)):
        assert vhdx_command("backup", "create", kept, leaf, "--name", name).code == 0
    assert vhdx_command("backup", "forget", kept, "two", "--allow-last").code == 0
    counted(vhdx_command("backup", "prune", kept, "--window", 1), "a prune in 1 hour or later")
    refused = vhdx_command("backup", "restore", kept, "one", tmp_path / "x.bin", "--offset", "1T", "--length", 1)
    counted(refused, f"and 1 byte from byte {1 << 40} on was asked for")
