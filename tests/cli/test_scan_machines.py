"""Virtual machine configurations that a scan comes upon."""

import random
import struct
import sys

import pytest

from fixtures import Brush, encode
from fixtures.recipes.kit import child_of, disk
from tests.support.hyperv_store import configuration, store

pytestmark = pytest.mark.slow

needs_parser = pytest.mark.usefixtures("parser")


@pytest.fixture
def parser():
    """The optional parser; the tests that need it are skipped without it."""
    return pytest.importorskip("dissect.hypervisor.descriptor.hyperv", reason="dissect.hypervisor is not installed")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A base with two leaves: the older one is what the machine runs on, the other one is a checkpoint's."""
    monkeypatch.chdir(tmp_path)
    base = disk("machines")
    encode(base).write_to(tmp_path / "base.vhdx")
    for number, name in enumerate(("running.avhdx", "later.avhdx")):
        spec = child_of(base, name, {0: Brush(tag=number + 2).partial(0, range(3))})
        encode(spec).write_to(tmp_path / name)
    (tmp_path / "Snapshots").mkdir()
    (tmp_path / "vm.vmcx").write_bytes(configuration("Поштовий сервер", ["C:\\VMs\\Running.avhdx"]))
    (tmp_path / "Snapshots" / "s.vmcx").write_bytes(configuration("before update", ["C:\\VMs\\later.avhdx"]))
    return tmp_path


@needs_parser
def test_the_leaf_that_a_machine_runs_on_is_the_current_state_whatever_the_times(vhdx_command, host):
    answer = vhdx_command("scan", host, "--json")
    assert answer.code == 0
    (tree,) = answer.json["trees"]
    assert tree["advice"]["current"] == str(host / "running.avhdx")
    assert tree["advice"]["reason"] == "Поштовий сервер runs on it"
    assert [(m["role"], m["name"], m["disks"]) for m in answer.json["machines"]] == [
        ("machine", "Поштовий сервер", ["C:\\VMs\\Running.avhdx"]),
        ("checkpoint", "before update", ["C:\\VMs\\later.avhdx"]),
    ]
    text = vhdx_command("scan", host).out
    assert "disk of Поштовий сервер" in text
    assert "disk of checkpoint before update" in text


@needs_parser
def test_a_configuration_is_known_by_its_content(vhdx_command, host):
    (host / "vm.vmcx").rename(host / "FOUND.001")
    assert "Поштовий сервер" in [m["name"] for m in vhdx_command("scan", host, "--json").json["machines"]]


def test_without_the_parser_a_note_says_so(vhdx_command, host, monkeypatch):
    monkeypatch.setitem(sys.modules, "dissect.hypervisor.descriptor", None)
    answer = vhdx_command("scan", host, "--json")
    assert answer.code == 0
    assert answer.json["machines"] == []
    assert "pip install '.[machines]'" in answer.json["notes"][0]


def hostile():
    good = configuration("x", ["C:\\x.vhdx"])
    yield "empty", b""
    yield "cut", good[:0x4010]
    yield "not one", b"\x14\x20\x28\x01" + bytes(range(256)) * 200
    yield "no tables", store({})
    again = bytearray(good)
    again[0x2008:0x201A] = struct.pack("<BIQIB", 1, 0, 0x2000, 0x1000, 1)  # an object table that lists itself
    yield "circle of tables", bytes(again)
    loop = bytearray(good)
    loop[0x400A + 6 : 0x400A + 12] = struct.pack("<HI", 1, 10)  # the root stands below itself
    yield "circle of nodes", bytes(loop)
    noise = random.Random(1)
    for number in range(60):
        mad = bytearray(good)
        for _ in range(noise.randrange(1, 30)):
            mad[noise.choice((noise.randrange(0x2E), 0x2000 + noise.randrange(40), 0x4000 + noise.randrange(400)))] = (
                noise.randrange(256)
            )
        yield f"noise {number}", bytes(mad)


@needs_parser
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in hostile()])
def test_a_configuration_made_to_do_harm_stops_nothing(vhdx_command, host, data):
    (host / "bad.vmcx").write_bytes(data)
    answer = vhdx_command("scan", host, "--json")
    assert answer.code == 0
    assert "Поштовий сервер" in [machine["name"] for machine in answer.json["machines"]]
