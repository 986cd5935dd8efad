"""Volumes that are known by headers alone: how large the disk is, where they begin, and what XFS says of its blocks."""

import random
import struct

import pytest
from google_crc32c import value as crc32c

from analyzer.guest.layouts.lvm import logical_volumes
from analyzer.recover.rebuild.signatures_headers import sizes_of
from fixtures import Block, BlockState, Identity, ImageSpec, encode, flatten
from fixtures.placement import Placement
from fixtures.spec import Provision
from tests.analyzer.recover.rebuild.helpers import MIB, known_bytes, rebuilt_image, wiped
from vhdx.runs import Kind

pytestmark = pytest.mark.slow

SIZE = 64 * MIB


def btrfs_page(place):
    page = bytearray(4096)
    page[0x20:0x30], page[0x40:0x48] = b"u" * 16, b"_BHRfS_M"
    page[0x30:0x38] = place.to_bytes(8, "little")
    page[0xD1:0xD9] = SIZE.to_bytes(8, "little")
    page[:4] = crc32c(bytes(page[32:])).to_bytes(4, "little")
    return bytes(page)


def lvm_label():
    head = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001")
    return (head + b"i" * 32 + SIZE.to_bytes(8, "little")).ljust(512, b"\0")


def xfs_super(group, size=SIZE):
    fields = struct.pack(">4sIQ16x16s36xII10xHH17xBB", b"XFSB", 4096, size // 4096, b"x" * 16, 4096, 4, 512, 512, 3, 12)
    return fields.ljust(512, b"\0") + struct.pack(">4sII", b"XAGF", 1, group).ljust(512, b"\0")


def directory(at):
    """A block of a directory of XFS for this byte of the volume."""
    return (b"XDB3" + bytes(4) + struct.pack(">QQ", at // 512, 0) + b"x" * 16).ljust(4096, b"d")


def inode(at):
    """An inode of XFS for this byte of the volume: groups have 4096 blocks, blocks 8 inodes."""
    group, block = divmod(at // 4096, 4096)
    number = (group << 12 | block) << 3
    return (b"IN" + bytes(150) + struct.pack(">Q", number) + b"x" * 16).ljust(512, b"i")


def disk(parts, seed, provision=Provision.DYNAMIC):
    """A disk with these parts by byte, and noise in the middle of each MiB; blocks in an order drawn by `seed`."""
    draw, blocks = random.Random(seed), {}
    for number in range(SIZE // MIB):
        data = {1024: draw.randbytes(8192)}
        for at, part in parts.items():
            if at // MIB == number:
                data[at % MIB // 512] = part
        blocks[number] = Block(state=BlockState.FULLY_PRESENT, data=data)
    order = list(blocks) if provision is Provision.FIXED else draw.sample(list(blocks), len(blocks))
    return ImageSpec(
        size=SIZE, identity=Identity.of("headers"), block_size=MIB, blocks={n: blocks[n] for n in order},
        provision=provision,
    )  # fmt: skip


def back(spec):
    """The MiB of the disk that come back of a file without its front; all of them are right."""
    saved = rebuilt_image(wiped(encode(spec), (0, min(Placement.of(spec).blocks.values()))), is_alone=True)
    assert saved.image is not None
    assert saved.image.size == SIZE
    known_bytes(saved.image, flatten([spec]))
    return {
        run.start // MIB + n
        for run in saved.image.runs(0, SIZE)
        if run.kind is Kind.DATA
        for n in range(run.length // MIB)
    }


@pytest.mark.parametrize("parts", [{1 << 16: btrfs_page(1 << 16)}, {512: lvm_label()}], ids=["btrfs", "lvm"])
def test_a_header_tells_the_size_of_the_disk_and_where_a_fixed_one_begins(parts):
    assert back(disk(parts, 1, Provision.FIXED)) == set(range(SIZE // MIB))


@pytest.mark.parametrize("seed", [2, 3])
def test_blocks_of_xfs_say_where_they_belong(seed):
    places = random.Random(seed).sample([n for n in range(SIZE // MIB) if n % 16], 20)
    parts = {n * 16 * MIB: xfs_super(n) for n in range(4)}
    for number, mib in enumerate(places):
        at = mib * MIB + number * 4096
        parts[at] = (directory if number % 2 else inode)(at)
    assert back(disk(parts, seed)) >= {0, 16, 32, 48, *places}


def test_blocks_of_another_volume_say_nothing():
    other = directory(5 * MIB).replace(b"x" * 16, b"y" * 16)
    assert 5 not in back(disk({n * 16 * MIB: xfs_super(n) for n in range(4)} | {9 * MIB: other}, 4))


def lvm_text(volumes):
    """The text of a group of one physical volume, with extents of 1 MiB from 1 MiB on, as LVM2 writes it."""
    text = (
        'vg {\nid = "x"\nseqno = 2\nformat = "lvm2"\nflags = []\nextent_size = 2048\n\nphysical_volumes {\n\npv0 {\n'
        f"dev_size = {SIZE // 512}\npe_start = 2048\npe_count = 63\n}}\n}}\n\nlogical_volumes {{\n\n"
    )
    for name, first, count, stripes in volumes:
        text += (
            f'{name} {{\nid = "y"\nstatus = ["READ", "WRITE", "VISIBLE"]\nsegment_count = 1\n\nsegment1 {{\n'
            f'start_extent = 0\nextent_count = {count}\n\ntype = "striped"\nstripe_count = {stripes}\n\n'
            f'stripes = [\n"pv0", {first}\n]\n}}\n}}\n'
        )
    return f"{text}}}\n}}\n".encode() + b"\0"


def lvm_parts(text, at=512):
    """Label, header of the area of metadata, and the text at a byte of the area, which is a ring."""
    label = bytearray(lvm_label())
    label[72:120] = struct.pack("<6Q", MIB, 0, 0, 0, 4096, MIB - 4096)
    area = struct.pack("<4x16sIQQQQ", b"\x20LVM2\x20x[5A%r0N*>", 1, 4096, MIB - 4096, at, len(text)).ljust(512, b"\0")
    ring = MIB - 4096 - at
    parts = {512: bytes(label), 4096: area, 4096 + at: text[:ring].ljust(-(-len(text[:ring]) // 512) * 512, b"\0")}
    return parts | ({4096 + 512: text[ring:].ljust(4096, b"\0")} if text[ring:] else {})


@pytest.mark.parametrize("at", [512, MIB - 4096 - 512])
def test_the_text_of_lvm_says_where_logical_volumes_in_one_piece_are(at):
    front = bytearray(2 * MIB)
    for start, part in lvm_parts(lvm_text([("root", 0, 40, 1), ("two", 40, 4, 2), ("home", 44, 10, 1)]), at).items():
        front[start : start + len(part)] = part
    found = list(logical_volumes(lambda start, length: bytes(front[start : start + length])))
    assert found == [(MIB, 41 * MIB), (45 * MIB, 55 * MIB)]


def test_blocks_of_a_volume_inside_lvm_say_where_they_belong():
    parts = lvm_parts(lvm_text([("root", 0, 63, 1)])) | {MIB + n * 16 * MIB: xfs_super(n, 63 * MIB) for n in range(4)}
    parts |= {MIB + at: directory(at) for at in (5 * MIB, 20 * MIB + 4096, 33 * MIB)}
    assert back(disk(parts, 5)) >= {0, 1, 6, 21, 34}


@pytest.mark.parametrize("front", [b"", b"XFSB", b"XFSB" + b"\xff" * 600, btrfs_page(1 << 26), b"LABELONE" * 512])
def test_what_is_no_header_says_no_size(front):
    assert not list(sizes_of(bytes(1 << 16) + front if front[64:72] == b"_BHRfS_M" else front))
