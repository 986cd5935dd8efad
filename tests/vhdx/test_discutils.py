"""Chains that DiscUtils wrote, and its quirks."""

import random
from hashlib import sha256

import pytest

import vhdx
from tests.support.corpus_files import disk_hash, file_hash, manifest
from vhdx.errors import CorruptFileError

pytestmark = pytest.mark.corpus

CHAINS = manifest("discutils").get("chains", {})
WHOLE = sorted(name for name in CHAINS if not name.startswith("quirk-"))
LAYERS = [pytest.param(chain, layer, id=layer["name"]) for chain in WHOLE for layer in CHAINS[chain]["layers"]]


def test_the_corpus_has_the_chains_that_these_tests_are_about(corpus):
    assert len(WHOLE) == 6
    assert len(LAYERS) == 22


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_chain_reads_to_its_hash_at_every_layer_and_stays_as_it_is(corpus, name):
    layers = CHAINS[name]["layers"]
    with vhdx.open_chain(corpus(f"discutils/{layers[-1]['name']}")) as disk:
        assert ["/".join(layer.path.parts[-2:]) for layer in disk.layers] == [facts["name"] for facts in layers]
        for number, facts in enumerate(layers):
            view = disk.upto(number)
            assert view.size == facts["virtual_size"]
            assert view.leaf.parameters.block_size == facts["block_size"]
            assert view.sector_size == facts["logical_sector_size"]
            assert disk_hash(view) == facts["flattened_sha256"]
    for facts in layers:
        assert file_hash(corpus(f"discutils/{facts['name']}")) == facts["sha256"]


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "dyn4-5g-b1m"])
def test_every_layer_opened_by_itself_finds_its_own_parents(corpus, name):
    for facts in CHAINS[name]["layers"]:
        with vhdx.open_chain(corpus(f"discutils/{facts['name']}")) as disk:
            assert disk_hash(disk) == facts["flattened_sha256"]


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "dyn4-5g-b1m"])
def test_reads_of_any_size_and_alignment_give_the_same_bytes(corpus, name):
    chance = random.Random(name)
    with vhdx.open_chain(corpus(f"discutils/{CHAINS[name]['layers'][-1]['name']}")) as disk:
        whole = disk.read(0, disk.size)
        assert sha256(whole).hexdigest() == CHAINS[name]["layers"][-1]["flattened_sha256"]
        for _ in range(300):
            start = chance.randrange(disk.size)
            length = chance.choice((1, 511, 513, 4097, chance.randrange(1 << 22)))
            assert disk.read(start, length) == whole[start : start + length]


QUIRKS = [
    ("quirk-bytesize/base.vhdx", "MET-16"),
    ("quirk-longlocator/child1.vhdx", "LOC-05"),
    ("quirk-fixed2m/base.vhdx", "REG-15"),
]


@pytest.mark.parametrize(("name", "code"), QUIRKS)
def test_a_quirk_is_refused_with_the_finding_that_it_deserves(corpus, name, code):
    with pytest.raises(CorruptFileError) as caught:
        vhdx.open_chain(corpus(f"discutils/{name}"))
    assert caught.value.finding.code == code
    assert caught.value.exit_code == 3
    assert code in str(caught.value)


def test_the_parent_of_the_quirky_locator_reads_to_its_hash(corpus):
    facts = CHAINS["quirk-longlocator"]["layers"][0]
    with vhdx.open_chain(corpus(f"discutils/{facts['name']}")) as disk:
        assert disk_hash(disk) == facts["flattened_sha256"]


def test_the_child_with_the_quirky_locator_opens_when_its_parent_is_given(corpus):
    child, parent = (corpus(f"discutils/quirk-longlocator/{name}.vhdx") for name in ("child1", "base"))
    with vhdx.open_chain(child, parents=[parent], on_mismatch=vhdx.OnMismatch.ACCEPT) as disk:
        assert len(disk.layers) == 2
        assert "LOC-05" in {finding.code for finding in disk.findings}
