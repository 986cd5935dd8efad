"""`vhdx convert` of the chain to images of other formats, as a whole process, against qemu-img on the flat disk."""

import pytest

from benchmarks.programs import VHDX, convert, make_durable, run, sha256_of_file

pytestmark = pytest.mark.peers

IMAGES = {
    "qcow2": (["--compress"], ["-c", "-O", "qcow2"]),
    "vmdk": ([], ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
}


@pytest.fixture(scope="module")
def flat(chain, tmp_path_factory):
    """The chain as a raw image, which is what qemu-img can read of it."""
    path = tmp_path_factory.mktemp("flat") / "flat.raw"
    convert(chain.leaf, path)
    yield path
    path.unlink()


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_compressed_no_slower_than_by_qemu_img(pairs, chain, flat, tmp_path, require_peer, name):
    require_peer("qemu-img")
    own, theirs = IMAGES[name]
    target = tmp_path / f"out.{name}"

    def ours():
        run(*VHDX, "convert", chain.leaf, target, "--no-verify", *own)

    def qemu():
        run("qemu-img", "convert", "-f", "raw", *theirs, flat, target)
        make_durable(target)

    for write in (ours, qemu):
        target.unlink(missing_ok=True)
        write()
        run("qemu-img", "convert", "-f", name, "-O", "raw", target, tmp_path / "back.raw")
        assert sha256_of_file(tmp_path / "back.raw") == chain.leaf_sha256
        (tmp_path / "back.raw").unlink()
    pairs.compare(
        (f"convert the chain to compressed {name}", "qemu-img convert of the flat disk"),
        ours,
        qemu,
        bar=1.0,
        rounds=3,
        between=lambda: target.unlink(missing_ok=True),
    )
