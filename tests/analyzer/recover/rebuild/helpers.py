"""Structures to wipe, and what must hold of a rebuilt file whatever was wiped."""

from pathlib import Path

from analyzer.recover.rebuild.job import rebuild_image
from analyzer.recover.rebuild.workspace import BitmapPolicy
from fixtures import encode
from fixtures.placement import Placement
from tests.support.catalogue import fixture_of
from tests.support.sources import SparseSource
from vhdx.chain import Chain
from vhdx.contents import Structures
from vhdx.image import image_from
from vhdx.parents import Found, Link
from vhdx.runs import Kind

KIB, MIB = 1 << 10, 1 << 20
IDENTIFIER = ((0, 64 * KIB),)
HEADERS = ((64 * KIB, 4 * KIB), (128 * KIB, 4 * KIB))
TABLES = ((192 * KIB, 64 * KIB), (256 * KIB, 64 * KIB))
PIECE = 4 * MIB


def wiped(file, *ranges):
    """The file with zeros in ranges of (start, length)."""
    for start, length in ranges:
        file = file.patched(start, bytes(length))
    return file


def recipe_of(name):
    """The files of a recipe's chain, base first, and the model of its leaf."""
    fixture = fixture_of(name)
    return [fixture.files[each] for each in reversed(fixture.chain)], fixture.models[fixture.leaf]


def metadata_of(spec):
    """The range of the metadata region."""
    return Placement.of(spec).metadata, MIB


def bat_of(spec):
    """The range of the block table."""
    return Placement.of(spec).bat, Placement.of(spec).bat_length


def rebuilt_image(file, bitmaps=BitmapPolicy.LOST, *, is_alone=False):
    """What is saved of a fixture's file."""
    return rebuild_image(Structures(SparseSource(file, Path("lost.vhdx"))), bitmaps=bitmaps, is_alone=is_alone)


def upon(parents, image):
    """The disk of an image, upon the parents it was made from."""
    images = (*(image_from(SparseSource(file, Path(f"{n}.vhdx"))) for n, file in enumerate(parents)), image)
    links = tuple(Link(lower, Found.GIVEN, (lower.data_write_guid,)) for lower in images[:-1])
    return Chain(images, links) if parents else image


def known_bytes(disk, model):
    """How many bytes of the model's disk are reported as known; each of them must be right."""
    known = 0
    for run in disk.runs(0, min(disk.size, model.size)):
        if run.kind is Kind.LOST:
            continue
        known += run.length
        for start in range(run.start, run.start + run.length, PIECE):
            length = min(PIECE, run.start + run.length - start)
            assert disk.read(start, length) == model.read(start, length), f"{run} is wrong at {start}"
    return known


def assert_whole(saved, model, parents=()):
    """Everything is back, and right."""
    assert saved.image is not None, saved.lost
    disk = upon(parents, saved.image)
    assert disk.size == model.size
    assert known_bytes(disk, model) == model.size


def file_of(spec):
    """The file of a description."""
    return encode(spec)
