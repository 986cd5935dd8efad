"""`vhdx backup create` of the chain, as a whole process, against casync and restic on the flat disk."""

import json
import os
import shutil
import subprocess
from itertools import pairwise

import pytest

from analyzer.backup.repository.repository import FOLDER_CHUNK
from benchmarks.chain import MIB, SMALL, Recipe, make_chain
from benchmarks.programs import VHDX, convert, run, sha256_of_file

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module", params=["memory", "disk"])
def folder(request, tmp_path_factory):
    """A folder for repositories, in memory and on a disk; nothing is left there."""
    chosen = request.getfixturevalue("memory_folder") if request.param == "memory" else tmp_path_factory.mktemp("kept")
    yield chosen
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir(exist_ok=True)


@pytest.fixture(scope="module")
def flat(chain, tmp_path_factory):
    """The chain as a raw image, which is what the others can read of it."""
    path = tmp_path_factory.mktemp("flat") / "flat.raw"
    convert(chain.leaf, path)
    yield path
    path.unlink()


def _ours(chain, folder, *options):
    run(*VHDX, "backup", "init", folder / "ours")
    run(*VHDX, "backup", "create", folder / "ours", chain.leaf, "--name", "leaf", *options)


def _casync(flat, folder):
    (folder / "casync").mkdir()
    run("casync", "make", f"--store={folder / 'casync' / 'chunks.castr'}", folder / "casync" / "flat.caibx", flat)
    getattr(os, "sync", bool)()


def _restic(flat, folder):
    environment = {**os.environ, "RESTIC_PASSWORD": "benchmark"}
    for command in (("init",), ("backup", flat)):
        place = ("-q", "--no-cache", "-r", folder / "restic")
        subprocess.run(("restic", *place, *command), env=environment, check=True, capture_output=True)


def _clear(folder):
    for kept in folder.iterdir():
        shutil.rmtree(kept, ignore_errors=True)
    getattr(os, "sync", bool)()


def _place(folder):
    return "in memory" if folder.parts[:3] == ("/", "dev", "shm") else "on disk"


PEERS = {"casync": (_casync, 1 / 3), "restic": (_restic, 1.0)}


@pytest.mark.parametrize("peer", PEERS)
def test_a_full_backup_against(pairs, chain, flat, folder, require_peer, peer):
    require_peer(peer)
    backup, bar = PEERS[peer]
    _clear(folder)
    _ours(chain, folder)
    run(*VHDX, "backup", "restore", folder / "ours", "leaf", folder / "back.raw", "--no-verify")
    assert sha256_of_file(folder / "back.raw") == chain.leaf_sha256
    (folder / "back.raw").unlink()
    pairs.compare(
        (f"full backup of the chain {_place(folder)}", f"{peer} of the flat disk"),
        lambda: _ours(chain, folder),
        lambda: backup(flat, folder),
        bar=bar,
        rounds=3,
        between=lambda: _clear(folder),
    )


def _restic_does(folder, *words):
    environment = {**os.environ, "RESTIC_PASSWORD": "benchmark"}
    place = ("restic", "-q", "--no-cache", "-r", folder / "restic")
    subprocess.run((*place, *words), env=environment, check=True, capture_output=True)


def _casync_does(folder, *words):
    run("casync", f"--store={folder / 'casync' / 'chunks.castr'}", *words)


BACK = {
    "restore": {
        "restic": lambda folder: _restic_does(folder, "restore", "latest", "--target", folder / "back"),
        "casync": lambda folder: _casync_does(folder, "extract", folder / "casync" / "flat.caibx", folder / "back.raw"),
    },
    "verify": {
        "restic": lambda folder: _restic_does(folder, "check", "--read-data"),
        "casync": lambda folder: _casync_does(folder, "digest", folder / "casync" / "flat.caibx"),
    },
}
OURS_BACK = {
    "restore": lambda folder: run(*VHDX, "backup", "restore", folder / "ours", "leaf", folder / "ours.raw"),
    "verify": lambda folder: run(*VHDX, "backup", "verify", folder / "ours"),
}


def _clear_restored(folder):
    for kept in ("back", "back.raw", "ours.raw"):
        path = folder / kept
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    getattr(os, "sync", bool)()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("what", BACK)
def test_what_comes_back_comes_in_half_the_time_of(pairs, chain, flat, folder, require_peer, what, peer):
    require_peer(peer)
    _clear(folder)
    _ours(chain, folder)
    PEERS[peer][0](flat, folder)
    pairs.compare(
        (f"{what} the chain {_place(folder)}", f"{peer}, the flat disk"),
        lambda: OURS_BACK[what](folder),
        lambda: BACK[what][peer](folder),
        bar=0.5,
        rounds=3,
        between=lambda: _clear_restored(folder),
    )


def test_six_checkpoints_store_no_more_than_their_different_chunks(pairs, chain, folder, measuring):
    _clear(folder)
    pairs.benchmark.pedantic(lambda: _ours(chain, folder, "--checkpoints"), setup=lambda: _clear(folder), rounds=1)
    stats = json.loads(run(*VHDX, "backup", "stats", folder / "ours", "--json"))["stats"]
    unique = stats["chunks"] * FOLDER_CHUNK  # noise does not pack; one of them is zeros
    if measuring:
        ratio = stats["bytes"] / unique
        names = ("six checkpoints, bytes stored", "their different chunks")
        pairs.note(names, stats["bytes"] / MIB, unique / MIB, "MiB", ratio, 1.05)


def test_an_increment_of_scattered_writes_stores_little(pairs, folder, measuring, disk_folder):
    """10 MiB in 300 writes on a disk of 1 GiB: restic stores 248 MiB, casync 39."""
    _clear(folder)
    made, stored = make_chain(Recipe(1024 * MIB, 4, 300) if measuring else SMALL, disk_folder), []
    run(*VHDX, "backup", "init", folder / "ours")
    for path in made.paths:
        run(*VHDX, "backup", "create", folder / "ours", path)
        stored.append(json.loads(run(*VHDX, "backup", "stats", folder / "ours", "--json"))["stats"]["bytes"] / MIB)
    pairs.benchmark.pedantic(bool)
    if measuring:
        most = max(after - before for before, after in pairwise(stored[:4]))
        pairs.note(("an increment of 10 MiB scattered, bytes stored", "80 MiB"), most, 80, "MiB", most / 80, 1.0)
