"""`vhdx convert` of the chain to images of other formats, as a whole process, against others on the flat disk."""

import pytest

from benchmarks.programs import VHDX, convert, make_durable, run, sha256_of_file

pytestmark = pytest.mark.peers

IMAGES = {
    "qcow2": (["--compress"], ["-c", "-O", "qcow2"]),
    "vmdk": ([], ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
}


@pytest.fixture(scope="module")
def flat(chain, tmp_path_factory):
    """The chain as a raw image, which is what the others can read of it."""
    path = tmp_path_factory.mktemp("flat") / "flat.raw"
    convert(chain.leaf, path)
    yield path
    path.unlink()


def empty(folder):
    for path in folder.iterdir():
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
        write()
        run("qemu-img", "convert", "-f", name, "-O", "raw", target, tmp_path / "back.raw")
        assert sha256_of_file(tmp_path / "back.raw") == chain.leaf_sha256
        empty(tmp_path)
    pairs.compare(
        (f"convert the chain to compressed {name}", "qemu-img convert of the flat disk"),
        ours,
        qemu,
        bar=1.0,
        rounds=3,
        between=lambda: empty(tmp_path),
    )


def test_an_e01_is_written_no_slower_than_by_ewfacquire(pairs, chain, flat, tmp_path, require_peer):
    """Both pack at their quickest, take MD5 and SHA-1, and cut segments of 1.4 GiB."""
    for peer in ("ewfacquire", "ewfexport"):
        require_peer(peer)
    first = tmp_path / "out.E01"

    def ours():
        run(*VHDX, "convert", chain.leaf, first, "--no-verify", "--segment-size", "1400M")

    def ewfacquire():
        run("ewfacquire", "-u", "-q", "-c", "fast", "-d", "sha1", "-S", "1400MiB", "-t", first.with_suffix(""), flat)
        for segment in tmp_path.iterdir():
            make_durable(segment)

    for write in (ours, ewfacquire):
        write()
        run("ewfexport", "-u", "-q", "-f", "raw", "-t", tmp_path / "back", first)
        assert sha256_of_file(tmp_path / "back.raw") == chain.leaf_sha256
        empty(tmp_path)
    pairs.compare(
        ("convert the chain to E01, with both digests", "ewfacquire of the flat disk, -c fast"),
        ours,
        ewfacquire,
        bar=1.0,
        rounds=3,
        between=lambda: empty(tmp_path),
    )
