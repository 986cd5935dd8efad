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

import vhdx
from analyzer.nbd.uri import NbdAddress
from tests.analyzer.serve.speaker import FUA, READ, WRITE, Speaker
from tests.support.command_line import contents
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
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "from cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "serve", str(leaf), "--socket", str(short / "s")]
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


def written(speaker):
    speaker.begin()
    assert not speaker.ask(WRITE, 4096, 4096, FUA, b"x" * 4096).error


def state_after(fixture):
    model = fixture.models[fixture.leaf]
    return model.read(0, 4096) + b"x" * 4096 + model.read(8192, model.size - 8192)


@needs_paths
def test_what_clients_write_becomes_a_checkpoint_and_nothing_else_stays(vhdx_command, chain, short):
    leaf, fixture = chain
    before, child = contents(leaf.parent), leaf.parent / "child.avhdx"
    thread, _ = visited(NbdAddress(socket=short / "s"), written)
    answer = vhdx_command("serve", leaf, "--socket", short / "s", "--once", "--scratch", "--save", child, "--json")
    thread.join(SAFETY)
    assert answer.code == 0
    assert [export["writable"] for export in answer.json["exports"]] == [True, False, False, False]
    assert "snapshot=on" not in answer.json["exports"][0]["commands"][0]["text"]
    assert str(child) in answer.err
    with vhdx.open_chain(child) as disk:
        assert disk.read(0, disk.size) == state_after(fixture)
    after = contents(leaf.parent)
    assert set(after) - set(before) == {child}
    assert {path: after[path] for path in before} == before


@needs_paths
def test_without_save_what_was_written_goes_with_the_server_and_is_said(vhdx_command, chain, short, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    leaf, _ = chain
    before = contents(leaf.parent)
    thread, _ = visited(NbdAddress(socket=short / "s"), written)
    answer = vhdx_command("serve", leaf, "--socket", short / "s", "--once", "--scratch")
    thread.join(SAFETY)
    assert "is gone" in answer.err
    assert contents(leaf.parent) == before
    assert not list(short.iterdir())


@needs_paths
def test_a_file_that_was_named_is_kept_gone_on_with_and_saved_later(vhdx_command, chain, short):
    leaf, fixture = chain
    scratch, child = short / "f", leaf.parent / "child.avhdx"
    thread, _ = visited(NbdAddress(socket=short / "s"), written)
    answer = vhdx_command("serve", leaf, "--socket", short / "s", "--once", f"--scratch={scratch}")
    thread.join(SAFETY)
    assert "--resume" in answer.err
    assert vhdx_command("serve", leaf, f"--scratch={scratch}").code == 5  # it is not overwritten
    answer = vhdx_command("serve", leaf, f"--scratch={scratch}", "--resume", "--save", child, "--save-only")
    assert answer.code == 0
    assert scratch.exists()
    with vhdx.open_chain(child) as disk:
        assert disk.read(0, disk.size) == state_after(fixture)
    answer = vhdx_command("serve", leaf.parent / "vm.vhdx", f"--scratch={scratch}", "--resume")
    assert answer.code == 5
    assert "another disk" in answer.err


@needs_paths
@pytest.mark.slow
def test_a_server_that_is_killed_leaves_what_was_flushed(vhdx_command, chain, short):
    leaf, fixture = chain
    child = leaf.parent / "child.avhdx"
    command = [sys.executable, "-m", "cli", "serve", str(leaf), "--socket", str(short / "s"), "--scratch",
               "--save", str(child)]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process,
        connected(NbdAddress(socket=short / "s")) as speaker,
    ):
        written(speaker)
        process.kill()
    scratch = f"--scratch={child}.scratch"
    answer = vhdx_command("serve", leaf, scratch, "--resume", "--save", child, "--save-only")
    assert answer.code == 0
    with vhdx.open_chain(child) as disk:
        assert disk.read(0, disk.size) == state_after(fixture)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--save", "c.avhdx"], 2),
        (["--resume"], 2),
        (["--scratch", "--resume"], 2),
        (["--scratch=f", "--save-only"], 2),
        (["--scratch=f", "--resume"], 6),
        (["--scratch", "--save", "LEAF"], 5),
    ],
)
def test_writing_that_cannot_be_kept_is_refused_before_anybody_is_served(
    vhdx_command, chain, tmp_path, monkeypatch, arguments, code
):
    monkeypatch.chdir(tmp_path)
    leaf, _ = chain
    answer = vhdx_command("serve", leaf, *[str(leaf) if word == "LEAF" else word for word in arguments])
    assert answer.code == code


def test_scratch_never_takes_a_disk_for_its_file(vhdx_command, chain):
    leaf, _ = chain
    answer = vhdx_command("serve", "--scratch", leaf, leaf)
    assert answer.code == 2
    assert "one disk" in answer.err


def test_a_file_that_cannot_hold_a_disk_that_is_no_vhdx_is_refused_before_anybody_writes(vhdx_command, tmp_path):
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    answer = vhdx_command("serve", tmp_path / "disk.raw", "--scratch", "--save", tmp_path / "c.avhdx")
    assert answer.code == 2
    assert "ends with .vhdx" in answer.err
    answer = vhdx_command("serve", tmp_path / "disk.raw", "--scratch", "--save", tmp_path / "disk.raw")
    assert answer.code in {2, 5}
    assert len(list(tmp_path.iterdir())) == 1


@needs_paths
@pytest.mark.parametrize("kind", ["raw", "point"])
def test_what_clients_write_over_a_disk_that_is_no_vhdx_becomes_one(vhdx_command, chain, short, tmp_path, kind):
    leaf, fixture = chain
    source, target = tmp_path / "disk.raw", tmp_path / "new.vhdx"
    if kind == "raw":
        assert vhdx_command("convert", leaf, source).code == 0
    else:
        assert vhdx_command("backup", "init", tmp_path / "repo").code == 0
        assert vhdx_command("backup", "create", tmp_path / "repo", leaf, "--name", "monday").code == 0
        source = f"{tmp_path / 'repo'}::monday"
    thread, _ = visited(NbdAddress(socket=short / "s"), written)
    answer = vhdx_command("serve", source, "--socket", short / "s", "--once", "--scratch", "--save", target)
    thread.join(SAFETY)
    assert answer.code == 0, answer.err
    assert "is the disk with what was written" in answer.err
    with vhdx.open_chain(target) as disk:
        assert disk.read(0, disk.size) == state_after(fixture)
    assert not list(tmp_path.glob("*.scratch"))


@needs_paths
def test_an_export_of_another_server_is_served_on_and_written_over(vhdx_command, chain, short):
    leaf, fixture = chain
    inner, outer = NbdAddress(socket=short / "inner"), NbdAddress(socket=short / "outer")
    command = [sys.executable, "-m", "cli", "serve", str(leaf), "--socket", str(inner.socket), "--once"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while not inner.socket.exists():
            assert process.poll() is None
            time.sleep(0.05)

        def look(speaker):
            written(speaker)
            return speaker.ask(READ, 0, 8192).bytes(0, 8192)

        thread, found = visited(outer, look)
        answer = vhdx_command("serve", str(inner), "--socket", outer.socket, "--once", "--scratch")
        thread.join(SAFETY)
    assert answer.code == 0
    assert found == [state_after(fixture)[:8192]]
