"""Files to damage, and what a repair makes of them."""

from pathlib import Path

from analyzer.repair.apply import repair_copy, repair_in_place
from analyzer.repair.plan import plan_repair
from analyzer.repair.undo import undo_of
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import disk_hash
from tests.support.sources import SparseSource, image_of
from vhdx.identities import seeded_identities
from vhdx.sink import Existing
from vhdx.source import FileSource

KIB, MIB = 1 << 10, 1 << 20
HEADERS, TABLES = (64 * KIB, 128 * KIB), (192 * KIB, 256 * KIB)
SAME = seeded_identities("repair")


def sound(name="dynamic"):
    """The one file of a recipe."""
    fixture = fixture_of(name)
    return fixture.files[fixture.leaf]


def flipped(file, offset, mask=1):
    """The file with bits of one byte turned over."""
    return file.patched(offset, bytes([file.read(offset, 1)[0] ^ mask]))


def plan_of(file):
    """The plan for a fixture's file."""
    return plan_repair(SparseSource(file, Path("disk.vhdx")), SAME)


def codes_of(plan):
    """What a plan fixes."""
    return [fix.code for fix in plan.fixes]


def content(file):
    """What a sound file's disk reads as."""
    return disk_hash(image_of(file))


def saved(file, folder, name="disk.vhdx"):
    """The file on the disk."""
    path = folder / name
    path.unlink(missing_ok=True)
    file.write_to(path)
    return path


def fixed_copy(path, target):
    """Repair to a copy."""
    with FileSource(path) as source:
        repair_copy(plan_repair(source, SAME), source, target, Existing.REFUSE)
    return target


def fixed_in_place(path):
    """Repair in place; the undo file's path."""
    with FileSource(path) as source:
        repair_in_place(plan_repair(source, SAME), source, undo_of(path))
    return undo_of(path)
