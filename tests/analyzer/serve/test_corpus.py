"""Every state of every chain that others wrote, and restore points of them, as nbdcopy and qemu-img read them."""

import subprocess
from contextlib import closing
from typing import NamedTuple

import pytest

import vhdx
from analyzer.address.point import RestorePoint
from analyzer.backup.repository.repository import open_repository
from analyzer.backup.storage.open import place_of
from analyzer.convert.disks import RawDisk
from tests.support.corpus_files import disk_hash, manifest
from tests.support.peer_tools import qemu_img
from vhdx.parents import OnMismatch

pytestmark = [pytest.mark.corpus, pytest.mark.peers, pytest.mark.slow]


class Known(NamedTuple):
    leaf: str
    hashes: tuple
    """Of each layer's state, base first."""
    size: int


OPENVMM = {
    f"openvmm-{name}": Known(
        f"openvmm/{facts['chain'][0]}",
        tuple(layer["view_raw_sha256"] for layer in facts["layers"][::-1]),
        facts["size"],
    )
    for name, facts in manifest("openvmm").get("sets", {}).items()
}
DISCUTILS = {
    f"discutils-{name}": Known(
        f"discutils/{facts['layers'][-1]['name']}",
        tuple(layer["flattened_sha256"] for layer in facts["layers"]),
        facts["layers"][-1]["virtual_size"],
    )
    for name, facts in manifest("discutils").get("chains", {}).items()
    if not name.startswith("quirk-")
}
GENUINE = {
    f"genuine-{name}": Known(f"genuine/{name}", (facts["sha256"],), facts["virtual_size"])
    for name, facts in manifest("genuine").get("files", {}).items()
    if facts["sha256"]
}
CHAINS = OPENVMM | DISCUTILS | GENUINE
# The zeros of larger disks take a minute to hash.
MOST = 256 << 20
SMALL = [name for name in CHAINS if CHAINS[name].size <= MOST]
LARGE = [pytest.param(name, marks=pytest.mark.fuzz) for name in CHAINS if name not in SMALL]


def copied(uri, target):
    """The hash of what nbdcopy reads."""
    subprocess.run(["nbdcopy", str(uri), str(target)], check=True, capture_output=True)
    return hash_of(target)


def converted(uri, target):
    """The hash of what qemu-img reads; it finds nothing that differs from that."""
    qemu_img("convert", "-f", "raw", "-O", "raw", str(uri), str(target))
    qemu_img("compare", "-f", "raw", "-F", "raw", str(uri), str(target))
    return hash_of(target)


def hash_of(target):
    with RawDisk(target) as disk:
        found = disk_hash(disk)
    target.unlink()
    return found


def states(chain, known, served):
    """The address and the hash of each layer's state."""
    server = served(**{f"@{layer}": chain.upto(layer) for layer in range(len(known.hashes))})
    return [(server.address.with_export(f"@{layer}"), known_hash) for layer, known_hash in enumerate(known.hashes)]


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_every_state_is_what_its_writer_wrote(corpus, served, require_peer, tmp_path, name, quiet):
    require_peer("nbdcopy")
    require_peer("qemu-img")
    with vhdx.open_chain(corpus(CHAINS[name].leaf), on_mismatch=OnMismatch.ACCEPT) as chain:
        served_states = states(chain, CHAINS[name], served)
        for uri, known_hash in served_states:
            assert copied(uri, tmp_path / "copy") == known_hash
        uri, known_hash = served_states[-1]
        assert converted(uri, tmp_path / "converted") == known_hash


@pytest.mark.fuzz
@pytest.mark.parametrize("name", CHAINS)
def test_qemu_img_too_reads_every_state(corpus, served, tmp_path, name, quiet):
    with vhdx.open_chain(corpus(CHAINS[name].leaf), on_mismatch=OnMismatch.ACCEPT) as chain:
        for uri, known_hash in states(chain, CHAINS[name], served):
            assert converted(uri, tmp_path / "converted") == known_hash


@pytest.mark.parametrize("name", [name for name in SMALL if "mismatch" not in name])
def test_a_restore_point_is_what_was_backed_up(corpus, served, require_peer, tmp_path, name, vhdx_command):
    require_peer("nbdcopy")
    known, repository = CHAINS[name], tmp_path / "repository"
    assert vhdx_command("backup", "init", repository).code == 0
    assert vhdx_command("backup", "create", repository, corpus(known.leaf), "--name", "point").code in {0, 1}
    with closing(place_of(str(repository))) as place:
        point = RestorePoint(open_repository(place), "point")
        uri = served(point=point).address.with_export("point")
        assert copied(uri, tmp_path / "copy") == known.hashes[-1]
