"""Exports of NBD servers as disks of every command: what others keep in their formats is read through theirs."""

import os
import socket

import pytest

from tests.analyzer.serve.conftest import demo, demo_files, served

__all__ = ["demo", "demo_files", "served"]


@pytest.fixture
def export(demo, served):
    """The address of a disk that is served, and its model."""
    chain, models = demo
    return served(vm1=chain).address.with_export("vm1"), models[-1]


def test_an_export_is_hashed_described_and_compared_like_any_disk(vhdx_command, demo_files, export):
    address, model = export
    assert vhdx_command("hash", address).out.split() == [model.sha256(), str(address)]
    (told,) = vhdx_command("info", address, "--json").json["files"]
    assert (told["type"], told["virtual_size"]) == ("nbd", model.size)
    same = vhdx_command("changes", demo_files[0], address, "--json")
    assert same.code == 0
    assert same.json["new"]["format"] == "nbd"


def test_an_export_becomes_a_vhdx_in_a_folder_under_its_own_name(vhdx_command, export, tmp_path):
    address, model = export
    done = vhdx_command("convert", address, tmp_path)
    assert done.code == 0, done.err
    (made,) = tmp_path.iterdir()
    assert made.name.startswith("vm1")
    assert vhdx_command("hash", made).out.split()[0] == model.sha256()


def test_an_export_is_backed_up_and_is_no_repository(vhdx_command, export, tmp_path, monkeypatch):
    pytest.importorskip("zstandard")
    address, model = export
    assert vhdx_command("backup", "init", tmp_path / "kept").code == 0
    monkeypatch.setenv("VHDX_REPOSITORY", str(tmp_path / "kept"))
    made = vhdx_command("backup", "create", address, "--name", "monday", "--json")
    assert made.code == 0, made.err
    assert made.json["points"][0]["chain"][0]["path"] == str(address)
    assert vhdx_command("hash", "::monday").out.split()[0] == model.sha256()


@pytest.mark.parametrize(
    ("address", "words"),
    [("nbd+unix:///x", "write nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH"), ("nbd://", "is no NBD address")],
)
def test_what_is_no_address_of_an_export_is_refused_in_one_sentence(vhdx_command, address, words):
    answer = vhdx_command("hash", address)
    assert answer.code == 2
    assert words in answer.err


def test_a_server_that_is_not_there_is_an_error_of_input(vhdx_command):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answer = vhdx_command("files", f"nbd://127.0.0.1:{port}/x")
    assert answer.code == 6
    assert "look at what serves it, or check the address" in answer.err


@pytest.mark.skipif(os.name == "nt", reason="no sockets with names")
def test_a_socket_with_a_name_that_is_not_there_is_an_error_of_input(vhdx_command, tmp_path):
    assert vhdx_command("hash", f"nbd+unix:///?socket={tmp_path}/none").code == 6
