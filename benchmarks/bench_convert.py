"""`vhdx convert` as a whole process, against 7-Zip, `cp` and qemu-img."""

import os

import pytest

from benchmarks.bench_memory import peak_of
from benchmarks.programs import (
    convert,
    convert_verified,
    copy_sparse,
    extract,
    qemu_convert,
    qemu_to_vhdx,
    run,
    sha256_of_file,
)

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
        bar=0.8 if _place(target) == "in memory" else 1.0,
        rounds=7,
        between=lambda: _clear(target),
    )


@pytest.fixture(scope="module")
def flat(chain, memory_folder):
    """The flat disk, in memory as the outputs that it is compared with."""
    path = memory_folder / "flat.raw"
    convert(chain.leaf, path)
    assert sha256_of_file(path) == chain.leaf_sha256
    yield path
    path.unlink()


@pytest.fixture
def in_memory(memory_folder):
    yield lambda name: memory_folder / name
    for path in memory_folder.glob("out.*"):
        path.unlink()


@pytest.mark.parametrize(
    ("write", "how", "bar"),
    [(convert, "not read back", 1.2), (convert_verified, "verified", 1.6)],
    ids=["trusted", "verified"],
)
def test_convert_of_the_chain_keeps_up_with_a_copy_of_the_flat_disk(pairs, chain, flat, in_memory, write, how, bar):
    target = in_memory("out.raw")
    _check(write, chain.leaf, target, chain.leaf_sha256)
    pairs.compare(
        (f"convert the chain to raw in memory, {how}", "cp --sparse=always of the flat disk"),
        lambda: write(chain.leaf, target),
        lambda: copy_sparse(flat, target),
        bar=bar,
        rounds=5,
        between=lambda: _clear(target),
    )


def test_convert_of_the_chain_to_vhdx_is_no_slower_than_qemu_img_of_the_flat_disk(
    pairs, chain, flat, in_memory, require_peer
):
    require_peer("qemu-img")
    target = in_memory("out.vhdx")
    convert(chain.leaf, target)
    assert run("qemu-img", "compare", flat, target).startswith("Images are identical")
    target.unlink()
    pairs.compare(
        ("convert the chain to VHDX in memory", "qemu-img convert of the flat disk"),
        lambda: convert(chain.leaf, target),
        lambda: qemu_to_vhdx(flat, target),
        bar=1.0,
        rounds=5,
        between=lambda: _clear(target),
    )


def test_convert_of_the_chain_takes_little_memory(pairs, chain, in_memory, measuring):
    target = in_memory("out.raw")
    ended_well, peak = pairs.benchmark.pedantic(peak_of, (600, "convert", chain.leaf, target))
    assert ended_well
    if measuring:
        limit = 120
        pairs.note(("peak memory of convert, the chain to raw", f"{limit} MiB"), peak, limit, "MiB", peak / limit, 1.0)
