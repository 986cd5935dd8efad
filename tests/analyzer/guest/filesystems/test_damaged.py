"""Damaged file systems: whatever they lead their library to, the work ends, and says what it could not do."""

import contextlib

import pytest

from analyzer.convert.disks import RawDisk
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import FileKind, Include
from analyzer.guest.filesystems.volume_reader import ReadableDisk
from tests.analyzer.guest.conftest import need
from tests.analyzer.guest.damaged import KINDS, damaged, made

pytestmark = pytest.mark.peers
MOST_ENDS = 9
"""Of processes, each after some seconds of processor time at most."""


def read_all(path):
    """Every file of every volume, and what it holds."""
    with RawDisk(path) as disk:
        for volume in open_volumes(ReadableDisk(disk)):
            if not volume.is_readable:
                assert volume.record.reason
                continue
            for record in (*volume.walk(Include.DELETED), *volume.unnamed()):
                assert record.kind in FileKind
                assert all(place.start >= 0 and place.end < 1 << 63 for place in (*record.content, *record.metadata))
                _read(volume, record)
            assert volume.ends <= MOST_ENDS


def _read(volume, record):
    with contextlib.suppress(UnreadableFileError):
        for stream in filter(None, (record.data, *record.streams)):
            for piece in Content(volume, record, stream).pieces():
                assert piece.data
                if piece.offset > 1 << 22:  # a size that damage has made
                    break


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Makes a healthy volume of a kind, once."""
    kept = {}

    def make(kind):
        need(kind)
        if kind not in kept:
            kept[kind] = made(kind, tmp_path_factory.mktemp(kind))
        return kept[kind]

    return make


def _survives(raw, kind, seed, folder):
    path = folder / "damaged.raw"
    path.write_bytes(damaged(kind, raw, seed))
    read_all(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_at_random_ends_no_work(healthy, tmp_path, kind):
    for seed in range(1, 6):
        _survives(healthy(kind), kind, seed, tmp_path)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_damaged_volumes_end_no_work(healthy, tmp_path, kind):
    for seed in range(1000, 1250):
        _survives(healthy(kind), kind, seed, tmp_path)
