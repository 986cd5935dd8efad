"""What programs of others read of a disk that is served: nbdcopy, nbdinfo, qemu-img."""

import hashlib
import json
import subprocess

import pytest

import vhdx
from tests.support.peer_tools import qemu_img

pytestmark = pytest.mark.peers


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_nbdcopy_and_qemu_img_read_every_state_as_its_model_is(demo, served, require_peer, tmp_path):
    require_peer("nbdcopy")
    require_peer("qemu-img")
    chain, models = demo
    server = served(**{f"@{layer}": chain.upto(layer) for layer in range(3)})
    for layer, model in enumerate(models):
        uri = str(server.address.with_export(f"@{layer}"))
        assert sha256(run("nbdcopy", uri, "-")) == model.sha256()
        image = tmp_path / f"{layer}.raw"
        qemu_img("convert", "-f", "raw", "-O", "raw", uri, str(image))
        assert sha256(image.read_bytes()) == model.sha256()
        qemu_img("compare", "-f", "raw", "-F", "raw", uri, str(image))
        image.unlink()


def test_nbdinfo_maps_a_disk_as_its_runs_are(demo, served, require_peer):
    require_peer("nbdinfo")
    chain, _ = demo
    uri = str(served(disk=chain).address.with_export("disk"))
    told = json.loads(run("nbdinfo", "--json", "--map=vhdx:layer", uri))
    layers = {(one["offset"], one["offset"] + one["length"]): one["type"] for one in told}
    for run_ in chain.runs():
        if run_.kind is vhdx.Kind.DATA:
            assert next(layer for (start, end), layer in layers.items() if start <= run_.start < end) == run_.layer


def test_what_is_lost_ends_a_copy_and_zeros_do_not_stand_for_it(damaged, served, require_peer, quiet):
    require_peer("nbdcopy")
    with vhdx.open_chain(damaged("two-blocks-in-one-place")) as disk:
        assert disk.runs().bytes_of(vhdx.Kind.LOST)
        uri = str(served(disk=disk).address.with_export("disk"))
        done = subprocess.run(["nbdcopy", uri, "null:"], check=False, capture_output=True)
        assert done.returncode
