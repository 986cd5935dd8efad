"""What `vhdx backup` does, step by step, as tests call it; and what a sound repository is."""

import hashlib
from contextlib import nullcontext
from pathlib import Path

import vhdx
from analyzer.backup.create import run_create
from analyzer.backup.forget import plan_by_name, run_forget
from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import FOLDER as LOCKS
from analyzer.backup.locks import take
from analyzer.backup.plan import CreateOptions, plan_create
from analyzer.backup.prune import plan_prune, run_prune
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.repository import Repository, Settings, init_repository
from analyzer.backup.restore import PointDisk, request_for
from analyzer.convert.cells import sha256_of
from analyzer.convert.convert import plan_output, run_conversion
from analyzer.convert.model import Options, format_of
from fixtures import write_files
from tests.support.attempts import attempt
from tests.support.catalogue import fixture_of
from vhdx.sink import Existing

CHUNK = 1 << 20


def disk_files(folder):
    """A chain of three and, by layer, its path and the SHA-256 of its disk."""
    folder.mkdir(parents=True, exist_ok=True)
    fixture = fixture_of("chain-3")
    write_files(fixture, folder)
    with vhdx.open_chain(folder / fixture.leaf) as chain:
        return [(chain.upto(layer).path, sha256_of(chain.upto(layer))) for layer in range(len(chain.layers))]


def init(place):
    return init_repository(place, Settings(chunk_size=CHUNK), Codec())


def plain(place):
    return Repository(place, Codec(), Settings(chunk_size=CHUNK))


def create(repository, path, name, *, lock=None):
    """`backup create`; with a context instead of a lock, that."""
    path = Path(path)
    holding = take(repository.place, Hold.SHARED, "create", wait=0.01) if lock is None else lock
    with holding as held, vhdx.open_chain(path) as chain:
        plan = plan_create(repository, chain, CreateOptions(name=name or None), held.claim if held else lambda _: True)
        return run_create(plan, confirm=held.confirm if held else lambda: None)


def create_unlocked(repository, path, name):
    return create(repository, path, name, lock=nullcontext())


def forget(repository, *names):
    with take(repository.place, Hold.EXCLUSIVE, "forget", wait=0.01) as lock:
        run_forget(plan_by_name(repository, names, allow_last=True), repository, lock)


def prune(repository, window=0.0):
    with take(repository.place, Hold.EXCLUSIVE, "prune", wait=0.01) as lock:
        plan = plan_prune(repository, lock, window)
        run_prune(plan, repository, lock)
    return plan


def prune_at_once(repository):
    prune(repository)


def prune_often(repository):
    """Prune, over and over, whenever nobody else is at work."""
    for _ in range(40):
        attempt(lambda: prune(repository))


def restore(repository, name, target):
    """`backup restore`, in place of what an interrupted run left."""
    disk = PointDisk(repository, name)
    options = Options(existing=Existing.REPLACE)
    request = request_for(disk.manifest, Path(target), format_of(Path(target)), options)
    return run_conversion(plan_output(disk, request), disk)


def content(repository, name):
    """The SHA-256 of a restore point's disk; every chunk is checked on the way."""
    return sha256_of(PointDisk(repository, name))


def assert_sound(repository, expected):
    """Every point that is listed is one that is expected, and reads as it must; returns their names."""
    names = repository.names()
    for name in names:
        assert content(repository, name) == expected[name], name
    return names


def break_locks(place):
    """Time passes, until locks of the dead count no more."""
    for entry in list(place.list(LOCKS)):
        place.delete(entry.name)


def fingerprint(place):
    """Names and contents of everything but locks."""
    return {
        entry.name: hashlib.sha256(place.read(entry.name)).hexdigest()
        for entry in place.list("")
        if not entry.name.startswith(LOCKS)
    }
