"""Random damage to the structures of small images, half of it with checksums made right again."""

import random
import struct
from dataclasses import dataclass
from functools import cache

import google_crc32c

from fixtures.bat import Table
from fixtures.placement import Placement
from tests.support.catalogue import fixture_of
from tests.support.sources import PatchedSource

KIB, MIB = 1 << 10, 1 << 20
HEADERS, TABLES = (64 * KIB, 128 * KIB), (192 * KIB, 256 * KIB)
PAGE = 4 * KIB
NAMES = (
    "log-override",
    "log-wrapped",
    "log-growing",
    "log-zero-bitmap",
    "states-child",
    "bitmap-dense",
    "chain-3",
    "mixed-block-sizes",
    "dynamic",
    "fixed",
    "sectors-4096",
    "item-user",
)
NUMBERS = (0, 1, 2, 3, 7, 511, 512, 4095, 4096, 65535, 65536, MIB - 1, MIB, 2 * MIB, 1 << 31, (1 << 32) - 1, 1 << 44)
WIDE = (1 << 63, (1 << 64) - 1, (1 << 63) - 1, (1 << 64) - MIB, 64 << 40, (64 << 40) + 512, (1 << 64) - 4096)


@dataclass(frozen=True)
class Subject:
    """One image file of a fixture: its bytes, and the places that a mutation aims at, as (start, length) by name."""

    data: bytes
    places: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Case:
    """One mutated chain, base first."""

    recipe: str
    sources: tuple[PatchedSource, ...]
    story: str


@cache
def subjects(name):
    """The files of a recipe, base first."""
    fixture = fixture_of(name)
    found = []
    for file in fixture.chain[::-1]:
        data = fixture.files[file].to_bytes()
        places = (place for place in _places(data, fixture.specs.get(file)) if place[1] + place[2] <= len(data))
        found.append(Subject(data, tuple(places)))
    return tuple(found)


def _places(data, spec):
    """Where the structures are; a header tells where the log is, the region table the rest."""
    yield from (("header", at, 80) for at in HEADERS)
    yield from (("region", at, 16 + 32 * 3) for at in TABLES)
    header = data[HEADERS[1] : HEADERS[1] + 80]
    log_length, log_offset = struct.unpack_from("<IQ", header, 68)
    entries = [at for at in range(log_offset, log_offset + log_length, PAGE) if data[at : at + 4] == b"loge"]
    yield from (("log", at, 64 + 32 * 6) for at in entries)
    yield from (("log", at, 2 * PAGE) for at in entries)
    bat, metadata = MIB * 3, MIB * 2
    if spec is not None:
        placement, table = Placement.of(spec), Table.of(spec)
        bat, metadata = placement.bat, placement.metadata
        yield from (("bitmap", at, 2 * KIB) for at in placement.bitmaps.values())
        yield from (("bat", bat + table.bitmap_slot(chunk) * 8, 8) for chunk in placement.bitmaps)
    yield "bat", bat, 8 * 16
    yield "metadata", metadata, 32 + 32 * 8
    yield "items", metadata + 64 * KIB, 48
    yield "items", metadata + 64 * KIB, 600


def mutate(seed):
    """The case that belongs to a seed, always the same."""
    chance = random.Random(seed)
    name = chance.choice(NAMES)
    files = subjects(name)
    victim = chance.randrange(len(files))
    sources, story = [], []
    for number, subject in enumerate(files):
        patches, size = [], len(subject.data)
        if number == victim:
            patches, story = _damage(subject, chance)
            if chance.random() < 0.05:
                size = chance.choice((size + 1, size + MIB, chance.randrange(size)))
                story.append(f"size={size}")
        sources.append(PatchedSource(subject.data, patches, size))
    return Case(name, tuple(sources), f"{name} layer {victim}: {', '.join(story)}")


def _damage(subject, chance):
    patches, story = [], []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        what, start, length = chance.choice(subject.places)
        at = start + chance.randrange(length)
        at, data = _change(subject.data, at, what, chance)
        patches.append((at, data))
        story.append(f"{what}@{at:#x}={data[:16].hex()}")
    if chance.random() < 0.5:
        patches += list(_repaired(subject, patches))
        story.append("repaired")
    return patches, story


def _change(data, at, what, chance):
    """One change near `at`: its place and the new bytes."""
    flipped = bytes([data[at] ^ 1 << chance.randrange(8)])
    noise = chance.randbytes(chance.choice((1, 2, 4, 8, 16)))
    number = (chance.choice(NUMBERS) & 0xFFFFFFFF).to_bytes(4, "little")
    wide = chance.choice(NUMBERS + WIDE).to_bytes(8, "little")
    short = chance.choice((0, 1, 2, 0x7FFF, 0xFFFF, 0xD800)).to_bytes(2, "little")
    record = at & ~31
    before = data[record - 32 : record]  # the record before this one once more
    state, mib = chance.randrange(8), chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 1 << 20, (1 << 44) - 1))
    reserved = chance.choice((0, 0, 0, 8, 1 << 19)) if what == "bat" else 0
    entry = (state | reserved | mib << 20).to_bytes(8, "little")
    changes = (
        *((at, flipped), (at, noise), (at & ~3, number), (at & ~7, wide)),
        *((at & ~1, short), (record, before), (at & ~7, entry)),
    )
    return chance.choice(changes)


def _repaired(subject, patches):
    """New checksums for whatever was changed, as further patches."""
    source = PatchedSource(subject.data, patches)
    touched = [at for at, _ in patches]
    for start, length in [*((at, PAGE) for at in HEADERS), *((at, 64 * KIB) for at in TABLES)]:
        if any(start <= at < start + length for at in touched):
            yield _seal(source, start, length)
    for what, start, _ in subject.places:
        if what == "log" and any(start <= at < start + 16 * PAGE for at in touched):
            length = int.from_bytes(_read(source, start + 8, 4), "little")
            if 0 < length <= source.size - start:
                yield _seal(source, start, length)


def _seal(source, start, length):
    page = bytearray(_read(source, start, length))
    page[4:8] = bytes(4)
    return start + 4, google_crc32c.value(bytes(page)).to_bytes(4, "little")


def _read(source, start, length):
    buffer = bytearray(min(length, source.size - start))
    source.read_into(start, memoryview(buffer))
    return bytes(buffer)
