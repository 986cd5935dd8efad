"""A hostile locator leads nowhere: opening a chain raises a VhdxError, and nothing but files is ever opened."""

import random

import pytest

import vhdx
from fixtures import LocatorSpec, encode
from fixtures.recipes.kit import child_of, disk
from tests.support.attempts import attempt
from tests.support.files import open_files
from tests.support.sources import MIB
from vhdx import VhdxError

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]

WORDS = ("..", ".", "\\", "/", "C:", "C", ":", "base.vhdx", "\\\\", "?", "UNC", "server", "GLOBALROOT", "Device", "CON")
WORDS += (
    "nul",
    "\0",
    "\x1f",
    "é",
    "\U0001f4be",
    " ",
    "Volume{",
    "}",
    "\\\\?\\",
    "\\\\.\\",
    "\\??\\",
    "a" * 300,
    "%",
    "~",
)


@pytest.mark.parametrize("shard", range(2))
def test_random_locator_paths_are_refused_or_not_found(shard, tmp_path):
    chance = random.Random(shard)
    base = disk("fuzz-locator")
    parent = encode(disk("somebody else"))
    parent.write_to(tmp_path / "base.vhdx")
    for number in range(150):
        paths = {
            key: "".join(chance.choices(WORDS, k=chance.randrange(1, 9)))
            for key in chance.sample(("relative_path", "volume_path", "absolute_win32_path"), chance.randrange(1, 4))
        }
        spec = LocatorSpec.of(base.data_write_guid, **paths)
        child = child_of(base, "fuzz-child", {})
        path = tmp_path / f"child{number}.avhdx"
        encode(_with(child, spec)).write_to(path)
        with pytest.raises(VhdxError) as caught, vhdx.open_chain(path):
            pass
        assert caught.value.exit_code in {3, 4, 6}, paths
        path.unlink()


def _with(spec, locator):
    from dataclasses import replace

    return replace(spec, parent=locator)


def test_the_bytes_of_a_locator_may_be_anything(tmp_path, quiet):
    chance = random.Random(7)
    base = disk("fuzz-bytes")
    encode(base).write_to(tmp_path / "base.vhdx")
    child = encode(child_of(base, "fuzz-bytes-child", {}))
    path = tmp_path / "child.avhdx"
    child.write_to(path)
    item = child.read(2 * MIB, MIB).index(b"parent_linkage".decode().encode("utf-16-le")) + 2 * MIB
    start = item - 20 - 12 * 5
    original = child.read(start, 700)
    opened = 0
    for _ in range(400):
        with path.open("r+b") as handle:
            handle.seek(start)
            handle.write(original)
            for _ in range(chance.choice((1, 1, 2, 5))):
                handle.seek(start + chance.randrange(700))
                handle.write(chance.randbytes(chance.choice((1, 1, 2, 4))))
        chain, error = attempt(lambda: vhdx.open_chain(path))
        if error:
            assert error.exit_code in {3, 4, 6}
            continue
        with chain:
            opened += 1
            assert len(chain.layers) == 2
    assert 0 < opened < 400


def test_no_descriptor_stays_open_after_all_these_refusals(tmp_path):
    path = tmp_path / "child.avhdx"
    encode(child_of(disk("nobody"), "leaking", {})).write_to(path)
    before = open_files()
    for _ in range(20):
        with pytest.raises(VhdxError):
            vhdx.open_chain(path)
    assert open_files() == before
