"""What other programs make of the images that are written for them."""

import json
import subprocess

import pytest
from hypothesis import given, settings

import vhdx
from analyzer.convert.model import Compression, Options, OutputFormat
from fixtures import Block, BlockState, ImageSpec, encode, write_files
from tests.analyzer.convert.helpers import MIB, SEEDED, VARIED, convert
from tests.support.catalogue import fixture_of
from tests.support.peer_tools import image_cat, libvhdi_disk, missing_peer, qemu_img
from tests.support.strategies import stacks

pytestmark = pytest.mark.peers

QCOW2 = [Compression.FORMAT, Compression.ZLIB, Compression.ZSTD]


def packed(compression):
    return Options(identities=SEEDED.identities, compression=compression)


@pytest.fixture
def opened(tmp_path):
    """Open a recipe's chain; gives it with the bytes that the model says."""
    chains = []

    def build(name):
        fixture = fixture_of(name)
        write_files(fixture, tmp_path / "in")
        chains.append(vhdx.open_chain(tmp_path / "in" / fixture.leaf))
        model = fixture.models[fixture.leaf]
        return chains[-1], model.read(0, model.size)

    yield build
    for chain in chains:
        chain.close()


def text_and_noise(tmp_path, rng_bytes):
    """A disk of compressible and incompressible stretches side by side, and what it holds."""
    blocks = {}
    for number in (0, 1, 3, 700):
        text = b"".join(b"line %08d of a log\n" % line for line in range(60_000))[: MIB // 2]
        noise = rng_bytes(MIB // 2 - 4096)
        blocks[number] = Block(state=BlockState.FULLY_PRESENT, data={0: text, 1024: noise})
    spec = ImageSpec(size=701 * MIB, block_size=MIB, blocks=blocks)
    encode(spec).write_to(tmp_path / "in.vhdx")
    return tmp_path / "in.vhdx"


@pytest.fixture
def rng_bytes():
    import random

    return random.Random(1).randbytes


@pytest.mark.parametrize("name", VARIED)
@pytest.mark.parametrize("compression", QCOW2)
def test_qemu_img_reads_a_qcow2_as_the_model_says(require_peer, opened, tmp_path, name, compression):
    require_peer("qemu-img")
    chain, expected = opened(name)
    target = tmp_path / "out.qcow2"
    assert convert(chain, target, OutputFormat.QCOW2, packed(compression)).verified
    qemu_img("check", "-f", "qcow2", target)
    qemu_img("convert", "-f", "qcow2", "-O", "raw", target, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == expected


@pytest.mark.parametrize("compression", QCOW2)
def test_qemu_img_reads_text_and_noise_side_by_side(require_peer, tmp_path, rng_bytes, compression):
    """Compressed clusters stand between stored ones, and run across clusters of the file."""
    require_peer("qemu-img")
    target = tmp_path / "out.qcow2"
    with vhdx.open_chain(text_and_noise(tmp_path, rng_bytes)) as chain:
        convert(chain, target, OutputFormat.QCOW2, packed(compression))
        convert(chain, tmp_path / "out.raw", OutputFormat.RAW)
    qemu_img("check", "-f", "qcow2", target)
    qemu_img("compare", "-f", "qcow2", "-F", "raw", target, tmp_path / "out.raw")
    assert target.stat().st_size < (3 if compression is not Compression.FORMAT else 5) * MIB


@pytest.mark.skipif(missing_peer("qemu-img"), reason="qemu-img is not installed")
@settings(max_examples=8)
@given(stack=stacks(max_layers=3, sectors=(512,), max_mib=6))
@pytest.mark.parametrize(
    ("output", "driver"), [(OutputFormat.QCOW2, "qcow2"), (OutputFormat.VHD, "vpc"), (OutputFormat.VMDK, "vmdk")]
)
def test_qemu_img_reads_images_of_random_chains(tmp_path_factory, output, driver, stack):
    folder = tmp_path_factory.mktemp("qemu")
    with vhdx.open_chain(stack.write_to(folder)[-1]) as chain:
        compression = Compression.ZLIB if output is OutputFormat.QCOW2 else Compression.FORMAT
        convert(chain, folder / "out", output, packed(compression))
    qemu_img("convert", "-f", driver, "-O", "raw", folder / "out", folder / "by-qemu.raw")
    assert (folder / "by-qemu.raw").read_bytes() == bytes(stack.disks[-1].bytes)


@pytest.mark.parametrize("compression", [Compression.FORMAT, Compression.ZLIB])
def test_7zip_reads_a_qcow2_as_the_model_says(require_peer, opened, tmp_path, compression):
    require_peer("7zz")
    chain, expected = opened("chain-3")
    convert(chain, tmp_path / "out.qcow2", OutputFormat.QCOW2, packed(compression))
    done = subprocess.run(["7zz", "e", "-so", "-tqcow", tmp_path / "out.qcow2"], check=True, capture_output=True)
    assert done.stdout == expected


VHDS = [OutputFormat.VHD, OutputFormat.VHD_FIXED]


@pytest.mark.parametrize("name", [name for name in VARIED if name != "sectors-4096"])
@pytest.mark.parametrize("output", VHDS)
def test_qemu_img_and_libvhdi_read_a_vhd_as_the_model_says(require_peer, opened, tmp_path, name, output):
    for peer in ("qemu-img", "pyvhdi"):
        require_peer(peer)
    chain, expected = opened(name)
    target = tmp_path / "out.vhd"
    assert convert(chain, target, output).verified
    qemu_img("convert", "-f", "vpc", "-O", "raw", target, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == expected
    disk, _ = libvhdi_disk([target])
    assert disk.get_media_size() == len(expected)
    assert disk.read_buffer_at_offset(len(expected), 0) == expected


@pytest.mark.parametrize(
    ("output", "taken_for"),
    [(OutputFormat.VHD, "vpc"), (OutputFormat.VHD_FIXED, "raw"), (OutputFormat.VHD_AZURE, "raw")],
)
def test_qemu_img_reads_a_fixed_vhd_whole_when_it_is_told_that_it_is_one(
    require_peer, opened, tmp_path, output, taken_for
):
    require_peer("qemu-img")
    chain, expected = opened("chain-3")
    convert(chain, tmp_path / "out.vhd", output)
    told = [json.loads(qemu_img("info", "--output=json", *more, tmp_path / "out.vhd")) for more in ([], ["-f", "vpc"])]
    assert [info["format"] for info in told] == [taken_for, "vpc"]
    assert told[1]["virtual-size"] == len(expected)
    assert (told[0]["virtual-size"] == len(expected)) == (taken_for == "vpc")
    qemu_img("convert", "-f", "vpc", "-O", "raw", tmp_path / "out.vhd", tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == expected


@pytest.mark.parametrize("output", VHDS)
def test_7zip_reads_a_vhd_as_the_model_says(require_peer, opened, tmp_path, output):
    require_peer("7zz")
    chain, expected = opened("chain-3")
    convert(chain, tmp_path / "out.vhd", output)
    done = subprocess.run(["7zz", "e", "-so", "-tvhd", tmp_path / "out.vhd"], check=True, capture_output=True)
    assert done.stdout == expected


@pytest.mark.parametrize("name", [name for name in VARIED if name != "sectors-4096"])
def test_qemu_img_and_7zip_read_a_vmdk_as_the_model_says(require_peer, opened, tmp_path, name):
    for peer in ("qemu-img", "7zz"):
        require_peer(peer)
    chain, expected = opened(name)
    target = tmp_path / "out.vmdk"
    assert convert(chain, target, OutputFormat.VMDK).verified
    qemu_img("check", "-f", "vmdk", target)
    qemu_img("convert", "-f", "vmdk", "-O", "raw", target, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == expected
    done = subprocess.run(["7zz", "e", "-so", "-tvmdk", target], check=True, capture_output=True)
    assert done.stdout == expected


@pytest.mark.parametrize("name", [name for name in VARIED if name != "sectors-4096"])
def test_libvmdk_and_the_sleuth_kit_read_a_vmdk_as_the_model_says(require_peer, opened, tmp_path, name):
    for peer in ("pyvmdk", "img_cat"):
        require_peer(peer)
    import pyvmdk

    chain, expected = opened(name)
    target = tmp_path / "a name.vmdk"
    convert(chain, target, OutputFormat.VMDK)
    disk = pyvmdk.handle()
    disk.open(str(target))
    disk.open_extent_data_files()
    assert disk.get_media_size() == len(expected)
    assert disk.read_buffer_at_offset(len(expected), 0) == expected
    disk.close()
    assert image_cat(target) == expected


@pytest.mark.parametrize("file_name", ['quo"te.vmdk', "Gerät.vmdk", "new\nline.vmdk"])
def test_a_vmdk_of_any_name_is_read(require_peer, opened, tmp_path, file_name):
    require_peer("qemu-img")
    chain, expected = opened("chain-3")
    convert(chain, tmp_path / file_name, OutputFormat.VMDK)
    qemu_img("convert", "-f", "vmdk", "-O", "raw", f"file:{tmp_path / file_name}", tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == expected


@pytest.mark.parametrize("name", VARIED)
def test_libqcow_reads_a_qcow2_as_the_model_says(require_peer, opened, tmp_path, name):
    """One that is not compressed: of compressed ones it reads wrong what qemu-img wrote, too."""
    require_peer("pyqcow")
    import pyqcow

    chain, expected = opened(name)
    convert(chain, tmp_path / "out.qcow2", OutputFormat.QCOW2)
    disk = pyqcow.file()
    disk.open(str(tmp_path / "out.qcow2"))
    assert disk.get_media_size() == len(expected)
    assert disk.read_buffer_at_offset(len(expected), 0) == expected
    disk.close()


@pytest.mark.parametrize("name", [name for name in VARIED if name != "sectors-4096"])
@pytest.mark.parametrize("output", VHDS)
def test_the_sleuth_kit_reads_a_vhd_as_the_model_says(require_peer, opened, tmp_path, name, output):
    require_peer("img_cat")
    chain, expected = opened(name)
    convert(chain, tmp_path / "out.vhd", output)
    assert image_cat(tmp_path / "out.vhd") == expected


def test_qemu_img_reads_text_and_noise_of_a_vmdk(require_peer, tmp_path, rng_bytes):
    require_peer("qemu-img")
    target = tmp_path / "out.vmdk"
    with vhdx.open_chain(text_and_noise(tmp_path, rng_bytes)) as chain:
        convert(chain, target, OutputFormat.VMDK)
        convert(chain, tmp_path / "out.raw", OutputFormat.RAW)
    qemu_img("compare", "-f", "vmdk", "-F", "raw", target, tmp_path / "out.raw")


@pytest.mark.parametrize("name", VARIED)
def test_zstd_unpacks_a_raw_zst_to_what_the_model_says(require_peer, opened, tmp_path, name):
    require_peer("zstd")
    chain, expected = opened(name)
    target = tmp_path / "out.raw.zst"
    assert convert(chain, target, OutputFormat.RAW_ZST).verified
    assert subprocess.run(["zstd", "-dc", target], check=True, capture_output=True).stdout == expected
