"""`vhdx serve`: what it says, where it listens, how it ends."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from analyzer.nbd.uri import NbdAddress
from tests.analyzer.serve.speaker import READ, Speaker
from tests.support.effort import SAFETY
from tests.support.files import ROOT

needs_paths = pytest.mark.skipif(os.name == "nt", reason="Windows' Python has no sockets in the file system")


@pytest.fixture
def short():
    """A folder with a name short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


def connected(address):
    """A client, as soon as somebody listens."""
    for _ in range(SAFETY * 50):
        try:
            return Speaker(address)
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nobody listens at {address}")


def visited(address, visit):
    """A thread that visits a server once it is there, and what came of it."""
    found = []

    def go():
        with connected(address) as speaker:
            found.append(visit(speaker))

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    return thread, found


def first_bytes(speaker):
    speaker.begin()
    return speaker.ask(READ, 0, 4096).bytes(0, 4096)


@needs_paths
def test_a_disk_is_served_until_the_last_client_has_left(vhdx_command, chain, short):
    leaf, fixture = chain
    address = NbdAddress(socket=short / "s")
    thread, found = visited(address, first_bytes)
    answer = vhdx_command("serve", leaf, "--socket", short / "s", "--once", "--json")
    thread.join(SAFETY)
    assert answer.code == 0
    assert found == [fixture.models[fixture.leaf].read(0, 4096)]
    exports = answer.json["exports"]
    assert [export["name"] for export in exports] == ["", "@0", "@1", "@2"]
    assert exports[0]["uri"] == str(address)
    assert not (short / "s").exists()


@needs_paths
def test_the_socket_is_its_owners_alone_and_several_disks_have_their_names(vhdx_command, chain, built, short):
    leaf, _ = chain
    other, fixture = built("dynamic")
    name = other.name

    def look(speaker):
        mode = stat.S_IMODE((short / "s").stat().st_mode)
        speaker.begin(name)
        return mode, speaker.ask(READ, 0, 4096).bytes(0, 4096)

    thread, found = visited(NbdAddress(socket=short / "s"), look)
    answer = vhdx_command("serve", leaf, other, "--socket", short / "s", "--once")
    thread.join(SAFETY)
    assert found == [(0o600, fixture.models[fixture.leaf].read(0, 4096))]
    assert f"/{name}?" in answer.out


@needs_paths
def test_a_socket_that_a_killed_server_left_is_replaced_and_nothing_else_is(vhdx_command, chain, short):
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short / "s"))
    thread, found = visited(NbdAddress(socket=short / "s"), first_bytes)
    assert vhdx_command("serve", chain[0], "--socket", short / "s", "--once").code == 0
    thread.join(SAFETY)
    assert found
    (short / "file").write_bytes(b"precious")
    answer = vhdx_command("serve", chain[0], "--socket", short / "file")
    assert answer.code == 5
    assert (short / "file").read_bytes() == b"precious"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(short / "t"))
        other.listen()
        answer = vhdx_command("serve", chain[0], "--socket", short / "t")
        assert answer.code == 5
        assert "another server" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--host", "0.0.0.0", "--port", "0"], 2, "no password"),  # noqa: S104 - it is refused
        (["--host", "0.0.0.0"], 2, "--port"),  # noqa: S104
        (["--port", "0", "--socket", "s"], 2, "exclude"),
        (["--port", "0", "--host", "nobody.invalid", "--unprotected"], 6, "cannot listen"),
        (["--socket", f"{'x' * 200}"], 6, "cannot listen"),
    ],
)
def test_where_nobody_can_be_listened_for_is_said(vhdx_command, chain, monkeypatch, tmp_path, arguments, code, reason):
    monkeypatch.chdir(tmp_path)
    answer = vhdx_command("serve", chain[0], *arguments)
    assert answer.code == code
    assert reason in answer.err


def test_a_disk_that_cannot_be_opened_is_not_served(vhdx_command, tmp_path):
    assert vhdx_command("serve", tmp_path / "nothing.vhdx").code == 6


@pytest.mark.parametrize("sectors", ["512", "4096"])
@needs_paths
def test_commands_are_right_for_the_disks_sectors(vhdx_command, built, short, sectors):
    leaf, _ = built("sectors-4096" if sectors == "4096" else "dynamic")
    thread, _ = visited(NbdAddress(socket=short / "s"), first_bytes)
    answer = vhdx_command("serve", leaf, "--socket", short / "s", "--once", "--json")
    thread.join(SAFETY)
    commands = {one["purpose"]: one["text"] for one in answer.json["exports"][0]["commands"]}
    is_4kn = sectors == "4096"
    assert ("boot, generation 1" in commands) != is_4kn
    for purpose, words in {
        "boot, generation 2": "logical_block_size=4096,physical_block_size=4096",
        "libvirt": "<blockio logical_block_size='4096'",
        "then as a device": "-b 4096",
        "files, without root": "--blocksize=4096",
    }.items():
        assert (words in commands[purpose]) == is_4kn
    assert "snapshot=on" in commands["boot, generation 2"]


@needs_paths
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_whoever_is_reading(chain, short, number):
    leaf, _ = chain
    command = [sys.executable, "-m", "cli", "serve", str(leaf), "--socket", str(short / "s")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        with connected(NbdAddress(socket=short / "s")) as speaker:
            first_bytes(speaker)
            process.send_signal(number)
            assert speaker.is_closed()
        _, err = process.communicate(timeout=SAFETY)
    assert process.returncode == 0
    assert err == b""
    assert not (short / "s").exists()
