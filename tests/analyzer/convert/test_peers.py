"""What other programs make of the files that this one writes; and what they make of files that it reads."""

import pytest
from hypothesis import given, settings

import vhdx
from analyzer.convert.model import OutputFormat
from fixtures import write_files
from tests.analyzer.convert.helpers import MIB, convert, entries, merge
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import manifest
from tests.support.peer_tools import libvhdi_disk, missing_peer, qemu_img
from tests.support.strategies import stacks

pytestmark = pytest.mark.peers

FORMATS = [OutputFormat.VHDX, OutputFormat.VHDX_FIXED]
SINGLE = [
    "dynamic",
    "empty",
    "one-sector-512",
    "unaligned-size",
    "block-32m",
    "states-base",
    "log-override",
    "large-blocks-unaligned",
]
CHAINS = [
    "chain-3",
    "bitmap-dense",
    "bitmap-sparse",
    "mixed-block-sizes",
    "states-child",
    "child-larger",
    "short-middle",
]


@pytest.fixture
def built(tmp_path):
    def build(name):
        fixture = fixture_of(name)
        write_files(fixture, tmp_path / "in")
        return fixture, tmp_path / "in" / fixture.leaf

    return build


def assert_qemu_agrees(path, expected):
    """qemu-img finds nothing wrong and reads the same."""
    qemu_img("check", "-f", "vhdx", path)
    flat = path.with_name("by-qemu.raw")
    qemu_img("convert", "-f", "vhdx", "-O", "raw", path, flat)
    assert flat.read_bytes() == expected


@pytest.mark.parametrize("name", [*SINGLE, *CHAINS])
@pytest.mark.parametrize("output", FORMATS)
def test_qemu_img_reads_an_output_as_the_model_says(require_peer, built, tmp_path, name, output):
    require_peer("qemu-img")
    fixture, path = built(name)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(path) as chain:
        convert(chain, tmp_path / "out.vhdx", output)
        convert(chain, tmp_path / "out.raw", OutputFormat.RAW)
    assert_qemu_agrees(tmp_path / "out.vhdx", model.read(0, model.size))
    qemu_img("compare", "-f", "vhdx", "-F", "raw", tmp_path / "out.vhdx", tmp_path / "out.raw")


@pytest.mark.skipif(missing_peer("qemu-img"), reason="qemu-img is not installed")
@settings(max_examples=10)
@given(stack=stacks(max_layers=3, sectors=(512,), max_mib=6))
def test_qemu_img_reads_conversions_of_random_chains(tmp_path_factory, stack):
    folder = tmp_path_factory.mktemp("qemu")
    with vhdx.open_chain(stack.write_to(folder)[-1]) as chain:
        convert(chain, folder / "out.vhdx", OutputFormat.VHDX)
    assert_qemu_agrees(folder / "out.vhdx", bytes(stack.disks[-1].bytes))


@pytest.mark.parametrize(
    "name", ["chain-3", "bitmap-dense", "bitmap-sparse", "bitmap-4096", "mixed-block-sizes", "chain-6"]
)
def test_libvhdi_reads_a_merge_as_the_model_says(require_peer, built, tmp_path, name):
    require_peer("pyvhdi")
    fixture, path = built(name)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(path) as chain:
        base = chain.base.path
        merge(chain, base, tmp_path / "in" / "merged.avhdx")
    with vhdx.open_image(tmp_path / "in" / "merged.avhdx") as image:
        blocks = [state for state, _ in entries(image)[0]]
    disk, layers = libvhdi_disk([base, tmp_path / "in" / "merged.avhdx"])
    assert disk.get_media_size() == model.size
    size = image.parameters.block_size
    for block, state in enumerate(blocks):
        if state != 2:  # libvhdi shows the parent through ZERO
            length = min(size, model.size - block * size)
            assert disk.read_buffer_at_offset(length, block * size) == model.read(block * size, length)
    assert len(layers) == 2


@pytest.mark.parametrize("name", [*SINGLE, "sectors-4096", "chain-3"])
@pytest.mark.parametrize("output", FORMATS)
def test_libvhdi_reads_an_output_as_the_model_says(require_peer, built, tmp_path, name, output):
    require_peer("pyvhdi")
    fixture, path = built(name)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(path) as chain:
        convert(chain, tmp_path / "out.vhdx", output)
    disk, _ = libvhdi_disk([tmp_path / "out.vhdx"])
    assert disk.get_media_size() == model.size
    assert disk.read_buffer_at_offset(model.size, 0) == model.read(0, model.size)


@pytest.mark.parametrize("name", ["dynamic", "block-32m", "states-base"])
def test_dissect_reads_an_output_as_the_model_says(require_peer, built, tmp_path, name):
    require_peer("dissect.hypervisor")
    from dissect.hypervisor.disk.vhdx import VHDX

    fixture, path = built(name)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(path) as chain:
        convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
    with (tmp_path / "out.vhdx").open("rb") as handle:
        disk = VHDX(handle)
        assert disk.size == model.size
        for at in range(0, model.size, MIB):
            disk.seek(at)
            assert disk.read(min(MIB, model.size - at)) == model.read(at, MIB)


@pytest.mark.parametrize("name", ["dynamic", "chain-3"])
def test_7zip_reads_an_output_as_the_model_says(require_peer, built, tmp_path, name):
    import subprocess

    require_peer("7zz")
    fixture, path = built(name)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(path) as chain:
        convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
    done = subprocess.run(["7zz", "e", "-so", "-tvhdx", tmp_path / "out.vhdx"], check=True, capture_output=True)
    assert done.stdout == model.read(0, model.size)


def test_what_qemu_img_writes_is_read_as_it_was(require_peer, tmp_path):
    require_peer("qemu-img")
    raw = tmp_path / "in.raw"
    raw.write_bytes(b"".join(bytes([n % 7 * 30]) * 70_000 for n in range(120)).ljust(9 * MIB, b"\0"))
    for subformat in ("dynamic", "fixed"):
        target = tmp_path / f"{subformat}.vhdx"
        qemu_img("convert", "-f", "raw", "-O", "vhdx", "-o", f"subformat={subformat}", raw, target)
        with vhdx.open_chain(target) as disk:
            assert disk.read(0, disk.size).rstrip(b"\0") == raw.read_bytes().rstrip(b"\0")


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["dyn3-16m-b1m", "dyn3-4k-b2m", "fixed3-16m-b1m"])  # not where a child has no bitmap
def test_libvhdi_and_this_library_read_the_same_of_chains_by_discutils(require_peer, corpus, name):
    require_peer("pyvhdi")
    layers = [corpus(f"discutils/{layer['name']}") for layer in manifest("discutils")["chains"][name]["layers"]]
    disk, _ = libvhdi_disk(layers)
    with vhdx.open_chain(layers[-1]) as chain:
        for at in range(0, chain.size, MIB):
            assert disk.read_buffer_at_offset(MIB, at) == chain.read(at, MIB)
