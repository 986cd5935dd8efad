"""What forensic programs make of an E01."""

import hashlib
import random
import re
import subprocess
import time

import pytest
from hypothesis import given, settings

import vhdx
from analyzer.convert.model import CaseData, Compression, Digests, OutputFormat
from fixtures import Block, BlockState, ImageSpec, encode
from tests.analyzer.convert.helpers import MIB, VARIED, convert, e01_options
from tests.support.peer_tools import image_cat, missing_peer
from tests.support.strategies import stacks

pytestmark = pytest.mark.peers


def write(recipe, name, target, **more):
    """Convert a recipe; returns the bytes that the model says."""
    fixture, leaf = recipe(name)
    with vhdx.open_chain(leaf) as chain:
        assert convert(chain, target, OutputFormat.E01, e01_options(**more)).verified
    model = fixture.models[fixture.leaf]
    return model.read(0, model.size)


def by_libewf(target):
    """The whole disk, its size, and what the image says about itself."""
    import pyewf

    handle = pyewf.handle()
    handle.open(pyewf.glob(str(target)))
    size = handle.get_media_size()
    found = handle.read_buffer_at_offset(size, 0), handle.get_header_values(), handle.get_hash_values()
    handle.close()
    return found


def verified(target):
    """What ewfverify prints; raises CalledProcessError when it is not content."""
    return subprocess.run(["ewfverify", "-d", "sha1", target], check=True, capture_output=True, text=True).stdout


def digests_of(content):
    return {name: hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in ("md5", "sha1")}


def several(folder):
    """A disk of noise, text and zeros side by side, with its bytes: more than one small segment."""
    noise, size = random.Random(2).randbytes, 23 * MIB + 512
    parts = {n: noise(700_160) + b"line of text\n" * 20_000 for n in (0, 1, 2, 3, 9, 20, 22)}
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={0: part}) for n, part in parts.items()}
    encode(ImageSpec(size=size, block_size=MIB, blocks=blocks)).write_to(folder / "in.vhdx")
    return folder / "in.vhdx", b"".join(parts.get(n, b"").ljust(MIB, b"\0") for n in range(23)) + bytes(512)


@pytest.mark.parametrize("name", VARIED)
def test_ewfverify_finds_the_digests_of_the_model(require_peer, recipe, tmp_path, name):
    require_peer("ewfverify")
    content = write(recipe, name, tmp_path / "out.E01")
    said = verified(tmp_path / "out.E01")
    for kind, value in digests_of(content).items():
        assert re.findall(rf"{kind.upper()} hash .*:\s+(\w+)", said) == [value, value]


@pytest.mark.parametrize("name", VARIED)
def test_libewf_and_the_sleuth_kit_read_what_the_model_says(require_peer, recipe, tmp_path, name):
    for peer in ("pyewf", "img_cat"):
        require_peer(peer)
    content = write(recipe, name, tmp_path / "out.E01")
    found, _, hashes = by_libewf(tmp_path / "out.E01")
    assert found == content == image_cat(tmp_path / "out.E01")
    assert {kind.lower(): value for kind, value in hashes.items()} == digests_of(content)


@pytest.mark.parametrize("name", ["out.E01", "out.e01"])
@pytest.mark.parametrize("compression", [Compression.FORMAT, Compression.ZLIB])
def test_all_readers_read_an_image_of_several_segments(require_peer, tmp_path, name, compression):
    for peer in ("ewfverify", "pyewf", "img_cat"):
        require_peer(peer)
    source, content = several(tmp_path)
    target = tmp_path / name
    with vhdx.open_chain(source) as chain:
        convert(chain, target, OutputFormat.E01, e01_options(segment_size=4 * MIB, compression=compression))
    assert len(list(tmp_path.glob("out.*"))) == 2
    assert digests_of(content)["md5"] in verified(target)
    assert by_libewf(target)[0] == content == image_cat(target)


def test_ewfexport_gives_the_raw_disk(require_peer, tmp_path):
    require_peer("ewfexport")
    source, content = several(tmp_path)
    with vhdx.open_chain(source) as chain:
        convert(chain, tmp_path / "out.E01", OutputFormat.E01, e01_options(segment_size=4 * MIB))
    export = ["ewfexport", "-u", "-q", "-f", "raw", "-t", tmp_path / "back", tmp_path / "out.E01"]
    subprocess.run(export, check=True, capture_output=True)
    assert (tmp_path / "back.raw").read_bytes() == content


def test_chunks_of_a_large_disk_are_read_too(require_peer, tmp_path, monkeypatch):
    """Chunks of 1 MiB, as a disk of 3 TiB has them, on a small one."""
    for peer in ("ewfverify", "pyewf", "img_cat"):
        require_peer(peer)
    monkeypatch.setattr("analyzer.convert.formats.e01.layout.MOST_CHUNKS", 1)
    source, content = several(tmp_path)
    with vhdx.open_chain(source) as chain:
        convert(chain, tmp_path / "out.E01", OutputFormat.E01, e01_options(segment_size=4 * MIB))
    assert digests_of(content)["md5"] in verified(tmp_path / "out.E01")
    assert by_libewf(tmp_path / "out.E01")[0] == content == image_cat(tmp_path / "out.E01")


def test_more_chunks_than_a_table_takes_are_read(require_peer, tmp_path):
    for peer in ("pyewf",):
        require_peer(peer)
    import pyewf

    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={7: b"x" * 512}) for n in (0, 20, 31)}
    encode(ImageSpec(size=1 << 30, block_size=32 * MIB, blocks=blocks)).write_to(tmp_path / "in.vhdx")
    with vhdx.open_chain(tmp_path / "in.vhdx") as chain:
        convert(chain, tmp_path / "out.E01", OutputFormat.E01, e01_options(digests=Digests.NONE))
        handle = pyewf.handle()
        handle.open([str(tmp_path / "out.E01")])
        assert handle.get_media_size() == chain.size
        for start in (0, 20 * 32 * MIB, 16374 * 32768, 31 * 32 * MIB, chain.size - 65536):
            assert handle.read_buffer_at_offset(65536, start) == chain.read(start, 65536)
        handle.close()


def test_libewf_reads_what_the_examiner_said(require_peer, recipe, tmp_path, monkeypatch):
    require_peer("pyewf")
    monkeypatch.setenv("TZ", "UTC")  # libewf tells dates as they are where it runs
    time.tzset()
    told = {"case_number": "2026/17", "evidence_number": "3", "examiner": "J. Özil", "description": "x", "notes": "-"}
    write(recipe, "dynamic", tmp_path / "out.E01", case=CaseData(**told, acquired=1_700_000_000))
    _, values, _ = by_libewf(tmp_path / "out.E01")
    renamed = {"examiner_name": told.pop("examiner"), **told}
    assert {name: values[name] for name in renamed} == renamed
    assert values["acquiry_date"] == "Tue Nov 14 22:13:20 2023"


@pytest.mark.skipif(missing_peer("img_cat"), reason="img_cat is not installed")
@settings(max_examples=6)
@given(stack=stacks(max_layers=3, max_mib=6))
def test_the_sleuth_kit_reads_images_of_random_chains(tmp_path_factory, stack):
    folder = tmp_path_factory.mktemp("e01")
    with vhdx.open_chain(stack.write_to(folder)[-1]) as chain:
        convert(chain, folder / "out.E01", OutputFormat.E01, e01_options())
    assert image_cat(folder / "out.E01") == bytes(stack.disks[-1].bytes)
