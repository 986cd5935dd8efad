"""A guest boots from what is served, by the command that the server prints, writes, and its checkpoint is what it left.

QEMU without KVM: minutes. `make boot`.
"""

import contextlib
import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import vhdx
from tests.analyzer.guest import images
from tests.analyzer.serve import boot_disk
from tests.support.command_line import contents
from tests.support.effort import SAFETY
from tests.support.files import ROOT

pytestmark = pytest.mark.boot
FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")
NEEDED = ("qemu-system-x86_64", "nbdcopy", "mkfs.fat", "mtype")


@pytest.fixture(scope="module")
def payload():
    return random.Random(17).randbytes(3 << 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, payload):
    """A chain of two states that boot, and a repository with a restore point of its leaf."""
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    folder = tmp_path_factory.mktemp("boot")
    base = boot_disk.make(folder, payload)
    leaf = boot_disk.with_state(base, folder / "leaf.raw", "leaf")
    images.chain_of(folder / "vm", base, leaf, names=("vm.vhdx", "vm_1.avhdx"))
    cli("backup", "init", folder / "repo")
    cli("backup", "create", folder / "repo", folder / "vm/vm_1.avhdx", "--name", "monday")
    return folder


def cli(*arguments):
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@contextlib.contextmanager
def serving(*arguments):
    """A server in a process of its own; gives what it announced."""
    with tempfile.TemporaryDirectory(prefix="b") as short:
        command = [sys.executable, "-m", "cli", "serve", *map(str, arguments), "--socket", f"{short}/s", "--json"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as run:
            try:
                lines = iter(run.stdout.readline, "}\n")
                yield json.loads("".join(lines) + "}")["exports"][0]
            finally:
                run.terminate()  # a run in the background ignores Ctrl-C
                _, errors = run.communicate(timeout=SAFETY)
            assert run.returncode == 0, errors


def booted(export, log, generation=1):
    """What a guest says that boots by the command that was printed for its generation."""
    command = next(one["text"] for one in export["commands"] if one["purpose"] == f"boot, generation {generation}")
    words = [word.replace("2G", "512M") for word in shlex.split(command)]
    more = ["-accel", "tcg", "-display", "none", "-no-reboot", "-nic", "none", "-serial", f"file:{log}"]
    subprocess.run([*words, *more], check=True, capture_output=True, timeout=SAFETY)
    said = log.read_text(errors="replace")
    assert "THE GUEST HAS FINISHED" in said, said[-2000:]
    return said


def assert_said(said, state, payload):
    assert f"STATE {state}" in said
    assert f"SUM {hashlib.sha256(payload).hexdigest()}" in said


def as_left(raw, state, payload):
    """What the guest did is in the disk."""
    assert boot_disk.file_in(raw, "written.txt") == f"the guest was in {state}\n".encode()
    assert boot_disk.file_in(raw, "copy.bin") == payload
    with pytest.raises(subprocess.CalledProcessError):
        boot_disk.file_in(raw, "unwanted.bin")


@pytest.mark.parametrize(("layer", "state"), [("", "leaf"), ("@0", "base")])
def test_a_guest_boots_from_any_state_and_its_checkpoint_is_what_it_left(folder, payload, tmp_path, layer, state):
    leaf = folder / "vm/vm_1.avhdx"
    before, child = contents(folder / "vm"), folder / f"child{layer}.avhdx"
    with serving(f"{leaf}{layer}", "--scratch", "--save", child) as export:
        assert_said(booted(export, tmp_path / "log"), state, payload)
        subprocess.run(["nbdcopy", export["uri"], tmp_path / "left.raw"], check=True)
    as_left(tmp_path / "left.raw", state, payload)
    with vhdx.open_chain(child) as disk:
        assert disk.read(0, disk.size) == (tmp_path / "left.raw").read_bytes()
        assert disk.layers[-2].path.samefile(leaf if not layer else folder / "vm/vm.vhdx")
    assert contents(folder / "vm") == before


def test_a_guest_boots_straight_from_a_backup(folder, payload, tmp_path):
    before = contents(folder / "repo")
    with serving(f"{folder / 'repo'}::monday", f"--scratch={tmp_path / 'scratch'}") as export:
        assert_said(booted(export, tmp_path / "log"), "leaf", payload)
    with serving(f"{folder / 'repo'}::monday", f"--scratch={tmp_path / 'scratch'}", "--resume") as export:
        subprocess.run(["nbdcopy", export["uri"], tmp_path / "left.raw"], check=True)
    as_left(tmp_path / "left.raw", "leaf", payload)
    assert contents(folder / "repo") == before


@pytest.mark.parametrize("generation", [1, 2])
def test_a_guest_boots_from_a_disk_that_is_read_only_and_what_it_writes_goes_with_it(
    folder, payload, tmp_path, generation
):
    if generation == 2 and not FIRMWARE.exists():
        pytest.skip("ovmf is not installed")
    with serving(folder / "vm/vm_1.avhdx") as export:
        assert "snapshot=on" in export["commands"][0]["text"]
        assert_said(booted(export, tmp_path / "log", generation), "leaf", payload)
        subprocess.run(["nbdcopy", export["uri"], tmp_path / "left.raw"], check=True)
    assert Path(tmp_path / "left.raw").read_bytes() == (folder / "leaf.raw").read_bytes()


@pytest.mark.parametrize("recipe_name", ["dynamic", "sectors-4096"])
@pytest.mark.parametrize("options", [[], ["--scratch"]])
def test_qemu_takes_every_command_that_is_printed_for_it(recipe, recipe_name, options):
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    _, leaf = recipe(recipe_name)
    with serving(leaf, *options) as export:
        for each in export["commands"]:
            if each["purpose"].startswith("boot"):
                words = [word.replace("2G", "64M") for word in shlex.split(each["text"])]
                if "-bios" in words and not Path(words[words.index("-bios") + 1]).exists():
                    del words[words.index("-bios") : words.index("-bios") + 2]
                more = ["-accel", "tcg", "-S", "-display", "none", "-nic", "none", "-monitor", "stdio"]
                said = subprocess.run([*words, *more], input=b"quit\n", check=True, capture_output=True, timeout=SAFETY)
                assert not said.stderr
