"""Chains that OpenVMM's crate wrote."""

import random
from hashlib import sha256

import pytest

import vhdx
from tests.support.corpus_files import disk_hash, file_hash, manifest
from vhdx.errors import CorruptFileError, ParentMismatchError
from vhdx.parents import OnMismatch

pytestmark = pytest.mark.corpus

SETS = manifest("openvmm").get("sets", {})
MISMATCH = "linkage_mismatch"
WHOLE = sorted(name for name in SETS if name != MISMATCH)


def accepting(name):
    return OnMismatch.ACCEPT if name == MISMATCH else OnMismatch.REFUSE


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_chain_reads_to_its_hash_at_every_layer_and_stays_as_it_is(corpus, name):
    facts = SETS[name]
    leaf = corpus(f"openvmm/{facts['chain'][0]}")
    with vhdx.open_chain(leaf, on_mismatch=accepting(name)) as disk:
        assert [layer.path.name for layer in disk.layers] == [file.split("/")[-1] for file in facts["chain"][::-1]]
        assert disk.size == facts["size"]
        assert disk_hash(disk) == facts["sha256"]
        for number, layer in enumerate(facts["layers"][::-1]):
            image, view = disk.layers[number], disk.upto(number)
            assert view.size == layer["virtual_size"]
            assert image.parameters.block_size == layer["block_size"]
            assert image.sector_size == layer["logical_sector"]
            assert image.parameters.physical_sector_size == layer["physical_sector"]
            assert image.has_parent == layer["differencing"]
            assert str(image.data_write_guid) == layer["data_write_guid"]
            assert str(image.header.log_guid) == layer["log_guid"]
            assert disk_hash(view) == layer["view_raw_sha256"]
    for layer in facts["layers"]:
        assert file_hash(corpus(f"openvmm/{layer['file']}")) == layer["file_sha256"]


@pytest.mark.parametrize("name", WHOLE)
def test_every_layer_opened_by_itself_finds_its_own_parents(corpus, name):
    for layer in SETS[name]["layers"]:
        with vhdx.open_chain(corpus(f"openvmm/{layer['file']}")) as disk:
            assert disk_hash(disk) == layer["view_raw_sha256"]


@pytest.mark.parametrize("name", sorted(SETS))
def test_reads_of_any_size_and_alignment_give_the_same_bytes(corpus, name):
    chance = random.Random(name)
    with vhdx.open_chain(corpus(f"openvmm/{SETS[name]['chain'][0]}"), on_mismatch=accepting(name)) as disk:
        whole = disk.read(0, disk.size)
        assert sha256(whole).hexdigest() == SETS[name]["sha256"]
        stream = disk.stream()
        for _ in range(300):
            start = chance.randrange(disk.size + 10)
            length = chance.choice((0, 1, 2, 511, 512, 513, 4095, 4097, chance.randrange(1 << 22)))
            assert disk.read(start, length) == whole[start : start + length]
            stream.seek(start)
            assert stream.read(length) == whole[start : start + length]


def test_a_parent_written_since_is_refused(corpus):
    leaf, base = (corpus(f"openvmm/{file}") for file in SETS[MISMATCH]["chain"])
    with pytest.raises(ParentMismatchError) as caught:
        vhdx.open_chain(leaf)
    error = caught.value
    assert error.exit_code == 4
    assert (error.child, error.parent) == (leaf, base)
    assert str(error.found) == SETS[MISMATCH]["layers"][1]["data_write_guid"]
    with vhdx.open_image(leaf) as image:
        assert error.wanted == image.locator.linkages


@pytest.mark.parametrize("outright", ["found by path", "given outright"])
def test_a_parent_written_since_can_be_taken_nevertheless_and_is_a_finding(corpus, outright):
    leaf, base = (corpus(f"openvmm/{file}") for file in SETS[MISMATCH]["chain"])
    parents = [base] if outright == "given outright" else []
    with vhdx.open_chain(leaf, parents=parents, on_mismatch=OnMismatch.ACCEPT) as disk:
        assert disk_hash(disk) == SETS[MISMATCH]["sha256"]
        found = [finding for finding in disk.findings if finding.code == "CHN-02"]
        assert [finding.severity for finding in found] == [vhdx.Severity.WARNING]


def test_a_file_that_was_never_completely_written_is_refused(corpus):
    with pytest.raises(CorruptFileError) as caught:
        vhdx.open_image(corpus("openvmm/incomplete/incomplete.vhdx"))
    assert caught.value.finding.code == "MET-11"
