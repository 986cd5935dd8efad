"""`vhdx convert` to raw, as a whole process, against 7-Zip on the chain and qemu-img on its base."""

import os

import pytest

from benchmarks.programs import convert, extract, qemu_convert, sha256_of_file

pytestmark = pytest.mark.peers


@pytest.fixture(params=["memory", "disk"])
def target(request, tmp_path_factory):
    """A name for an output, in memory and on a disk; nothing is left there."""
    folder = request.getfixturevalue("memory_folder") if request.param == "memory" else tmp_path_factory.mktemp("out")
    path = folder / "out.raw"
    yield path
    path.unlink(missing_ok=True)


def _place(target):
    return "in memory" if target.parts[:3] == ("/", "dev", "shm") else "on disk"


def _clear(target):
    """Remove the output, and leave the next side no writing of this one to wait for."""
    target.unlink(missing_ok=True)
    getattr(os, "sync", bool)()


def _check(write, source, target, expected):
    target.unlink(missing_ok=True)
    write(source, target)
    assert sha256_of_file(target) == expected, f"{write.__name__} gives another disk"


def test_convert_of_the_chain_is_no_slower_than_extraction_by_7zip(pairs, chain, target, require_peer):
    require_peer("7zz")
    for write in (convert, extract):
        _check(write, chain.leaf, target, chain.leaf_sha256)
    pairs.compare(
        (f"convert the chain to raw {_place(target)}", "7zz x"),
        lambda: convert(chain.leaf, target),
        lambda: extract(chain.leaf, target),
        bar=1.0,
        rounds=5,
        between=lambda: _clear(target),
    )


def test_convert_of_a_dynamic_file_is_no_slower_than_qemu_img(pairs, chain, target, require_peer):
    require_peer("qemu-img")
    for write in (convert, qemu_convert):
        _check(write, chain.base, target, chain.base_sha256)
    pairs.compare(
        (f"convert the base to raw {_place(target)}", "qemu-img convert"),
        lambda: convert(chain.base, target),
        lambda: qemu_convert(chain.base, target),
        bar=1.0,
        rounds=7,
        between=lambda: _clear(target),
    )
