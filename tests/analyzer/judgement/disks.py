"""Disks with file systems in them, some of whose files were deleted; as VHDX with blocks in any order, then damaged."""

import atexit
import functools
import os
import random
import shutil
import struct
import tempfile
import uuid
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from fixtures import encode
from fixtures.locator import LocatorSpec
from fixtures.placement import Placement
from fixtures.spec import ImageSpec
from tests.analyzer.guest import images
from tests.analyzer.guest.exfat_writer import Exfat
from vhdx.errors import ShortReadError

MIB, SECTOR = 1 << 20, 512
DELETED = b"deleted " * (SECTOR // 8)
"""Every sector of a file that is deleted later: what holds these and zeros alone, a guest may trim."""
_ZEROS = bytes(SECTOR)
KEPT = (0, 1)
"""The seeds that most tests draw from."""
KINDS = (
    "ext4",
    "ext4-plain",
    "ext4-64bit-meta_bg",
    "ext4-1k",
    "ext2",
    "ntfs",
    "fat16",
    "fat32",
    "exfat",
    "xfs",
    "btrfs",
    "btrfs-dup",
)
_EXT = {
    "ext4": (),
    "ext4-plain": ("-O", "^has_journal,^flex_bg,^64bit"),
    "ext4-64bit-meta_bg": ("-O", "64bit,meta_bg,^resize_inode"),
    "ext4-1k": ("-b", "1024", "-O", "64bit"),
    "ext4-unused-groups": ("-b", "1024", "-O", "metadata_csum,flex_bg,64bit"),
    "ext4-bigalloc": ("-b", "1024", "-O", "bigalloc,64bit", "-C", "16384"),
    "ext2": ("-O", "^has_journal,^extent,^metadata_csum,^64bit,^flex_bg"),
}


def files_of(chance):
    """Files that stay, {name: content}: text of all lengths, one large, noise alone and in text, and zeros."""
    files = {f"f{number:03}": _text(chance, chance.randrange(1, 150_000)) for number in range(60)}
    files["large"] = _text(chance, 5 * MIB + 777)
    files["zeros"] = bytes(3 * MIB)
    files |= {f"video{number}": chance.randbytes(chance.randrange(1, 2 * MIB)) for number in range(3)}
    files["archive"] = b"".join(_text(chance, 100_000) + chance.randbytes(chance.randrange(200_000)) for _ in range(9))
    files["aligned"] = _text(chance, MIB) + chance.randbytes(MIB) + _text(chance, MIB)
    files["padded"] = _text(chance, 100_000) + bytes(300_000)
    return files


def _text(chance, length):
    line = f"{chance.getrandbits(64):x} lines of one file of its own\n".encode()
    return (line * (length // len(line) + 1))[:length]


def deleted_files(size):
    """Those that go: half of the volume."""
    return {f"gone{number}": DELETED * (size // 8 // SECTOR) for number in range(4)}


@functools.lru_cache(maxsize=4)
def volume(kind, seed, size=64 * MIB):
    """The bytes of a volume of that kind; the same each time it is asked for in one run."""
    if seed in KEPT:
        return _kept(kind, seed, size).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return _made(Path(folder, "volume.img"), kind, seed, size).read_bytes()


@functools.cache
def _kept(kind, seed, size):
    """Its file, for as long as this process lives: a tenth of the work of making it is to read it."""
    return _made(Path(_folder(), f"{kind}-{seed}-{size}.img"), kind, seed, size)


@functools.cache
def _folder():
    folder = tempfile.mkdtemp(prefix="volumes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _made(path, kind, seed, size):
    chance = random.Random(f"{kind} {seed}")
    files, gone = files_of(chance), deleted_files(size)
    make = {"ntfs": _ntfs, "xfs": _xfs, "btrfs": _btrfs, "btrfs-dup": _btrfs, "exfat": _exfat}
    make.get(kind, _ext if kind in _EXT else _fat)(path, kind, size, files, gone)
    return path


def _ntfs(path, _, size, files, gone):
    images.make_ntfs(path, size)
    images.edit_ntfs(path, *(["write", f"/{name}", data] for name, data in (gone | files).items()))
    images.edit_ntfs(path, *(["remove", f"/{name}"] for name in gone))


def _exfat(path, _, size, files, gone):
    images.make_exfat(path, size)
    disk = Exfat(path)
    for name, data in [*list((gone | files).items())[:20], ("large", files["large"])]:
        disk.write(name, data)
    for name in gone:
        disk.remove(name)
    disk.save()


def _fat(path, kind, size, files, gone):
    images.make_fat(path, size, int(kind.removeprefix("fat")))
    for name, data in (gone | files).items():
        images.fat_write(path, name, data)
    images.mtool("mdel", path, *(f"::{name}" for name in gone))


def _xfs(path, _, size, files, gone):
    images.make_xfs(path, files, size)
    _fill_free(path, images.free_in_xfs(path), gone)


def _btrfs(path, kind, size, files, gone):
    options = ("-m", "dup", "--csum", "sha256") if kind == "btrfs-dup" else ("-m", "single")
    images.make_btrfs(path, files, size, *options)
    _fill_free(path, _holes_in(path), gone)


def _fill_free(path, free, gone):
    """What was deleted is in free blocks: in the first ones of the longest stretches, as long as it is."""
    left = list(gone.values())
    with path.open("r+b") as file:
        for first, count in sorted(free, key=lambda part: -part[1]):
            file.seek(first * 4096)
            room = count * 4096
            while left and len(left[0]) <= room:
                room -= file.write(left.pop())


def _holes_in(path):
    """(first, count) of the blocks of 4096 bytes that the file system of the host has nothing for."""
    found, at, size = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while at < size:
            start = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            try:
                at = os.lseek(file.fileno(), start, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                at = size
            found.append((start // 4096, (at - start) // 4096))
    return found


def _ext(path, kind, size, files, gone):
    images.make_ext(path, gone | files, size, *_EXT[kind])
    images.debugfs(path, *(f"rm {name}" for name in gone))


def partitioned(content, scheme):
    """A disk with the volume from 1 MiB on, or a disk that is the volume."""
    if scheme == "none":
        return content
    size, front, end = len(content) + 2 * MIB, bytearray(MIB), bytearray(MIB)
    first, count = MIB // SECTOR, len(content) // SECTOR
    kind = 0xEE if scheme == "gpt" else 0x83
    start, length = (1, size // SECTOR - 1) if scheme == "gpt" else (first, count)
    front[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, kind, 255, 255, 255, start, length)
    front[510:512] = b"\x55\xaa"
    if scheme == "gpt":
        _write_gpt(front, end, size, (first, first + count - 1))
    return b"".join((front, content, end))  # the one copy of all that is there


def _write_gpt(front, end, size, volume):
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
    table = struct.pack("<16s16sQQQ72s", linux, uuid.UUID(int=7).bytes_le, *volume, 0, b"").ljust(128 * 128, b"\0")
    last = size // SECTOR - 1
    for here, other, at in ((1, last, 2), (last, 1, last - 32)):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, last - 33, uuid.UUID(int=9).bytes_le, at, 128, 128,
                  zlib.crc32(table)]  # fmt: skip
        fields[3] = zlib.crc32(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
        part, begin = (front, 0) if here == 1 else (end, size - len(end))
        for sector, data in ((here, struct.pack("<8sIIIIQQQQ16sQIII", *fields)), (at, table)):
            place = sector * SECTOR - begin
            part[place : place + len(data)] = data


class LaidOut:
    """A VHDX in memory: its front, then blocks of a flat disk in the order of the file, none of them copied."""

    path = Path("disk.vhdx")

    def __init__(self, front, flat, places, block_size):
        self._front, self._flat, self._places, self._block = bytes(front), memoryview(flat), places, block_size
        self.size = len(front) + len(places) * block_size

    def read_into(self, offset, buffer):
        done, length = 0, len(buffer)
        if offset + length > self.size:
            raise ShortReadError(self.path, offset, length, max(0, self.size - offset))
        while done < length:
            at = offset + done
            if at < len(self._front):
                part = memoryview(self._front)[at : at + length - done]
            else:
                number, within = divmod(at - len(self._front), self._block)
                start = self._places[number] * self._block + within
                length_here = min(length - done, self._block - within)
                part = self._flat[start : start + length_here].tobytes().ljust(length_here, b"\0")
            part = part[: length - done]
            buffer[done : done + len(part)] = part
            done += len(part)


@dataclass
class Made:
    """A VHDX of a flat disk: the blocks that it holds, in the order of its file, and its front without a table."""

    flat: bytes
    block_size: int
    held: list
    front: bytes
    bat: int
    cleared: frozenset = frozenset()
    """Blocks of zeros over a parent that holds something there."""

    @property
    def file_order(self):
        return self.held

    def content(self, block):
        return self.flat[block * self.block_size : (block + 1) * self.block_size]

    @functools.cached_property
    def trimmable(self):
        """Blocks that hold nothing but what was deleted."""
        return [block for block in self.held if _is_deleted(self.content(block))]

    def without(self, blocks, entry=0):
        """The file, with these blocks' entries as given: trimmed, or lost."""
        front, ratio = bytearray(self.front), (1 << 23) * SECTOR // self.block_size
        for number, block in enumerate(self.held):
            place = (len(front) + number * self.block_size) // MIB
            value = entry if block in blocks else place << 20 | 6
            at = self.bat + 8 * (block + block // ratio)
            front[at : at + 8] = value.to_bytes(8, "little")
        for block in self.cleared:
            at = self.bat + 8 * (block + block // ratio)
            front[at : at + 8] = (2).to_bytes(8, "little")
        return LaidOut(front, self.flat, self.held, self.block_size)


def _is_deleted(content):
    sectors = (content[at : at + SECTOR] for at in range(0, len(content), SECTOR))  # most end with the first
    return all(sector in (DELETED, _ZEROS) or _is_list_of_blocks(sector) for sector in sectors)


def _is_list_of_blocks(sector):
    """Part of an indirect block that ext2 freed with its file: numbers of blocks, one after another, then zeros."""
    numbers = [int.from_bytes(sector[at : at + 4], "little") for at in range(0, SECTOR, 4)]
    used = numbers[: numbers.index(0)] if 0 in numbers else numbers
    steps = [after - before for before, after in pairwise(used)]
    return bool(used) and not any(numbers[len(used) :]) and set(steps) <= {1, 2}


def made(flat, block_size, chance, **identity):
    """The VHDX of a flat disk, its blocks in any order; what is zeros is left out, as converters do."""
    if len(flat) % MIB:
        flat += bytes(-len(flat) % MIB)
    spec = ImageSpec(size=len(flat), block_size=block_size, **identity)
    file = encode(spec)
    front = file.read(0, -(-file.size // MIB) * MIB)
    held = blocks_held(flat, block_size)
    chance.shuffle(held)
    return Made(flat, block_size, held, front, Placement.of(spec).bat)


def blocks_held(flat, block_size):
    """The blocks that hold anything."""
    whole = len(flat) // block_size
    rows = np.frombuffer(flat, dtype=np.uint64, count=whole * block_size // 8).reshape(whole, block_size // 8)
    found = [n for n in range(whole) if rows[n].any()]
    return found + ([whole] if any(flat[whole * block_size :]) else [])


def made_upon(base, flat, block_size, chance, **identity):
    """A checkpoint upon a flat disk of its size: it holds the blocks that differ, and clears those that are zeros."""
    flat += bytes(-len(flat) % MIB)
    held_by_it = blocks_held(flat, block_size)
    chance.shuffle(held_by_it)
    parent = {"parent": LocatorSpec.relative("base.vhdx", uuid.UUID(int=5))}
    spec = ImageSpec(size=len(flat), block_size=block_size, **parent | identity)
    file = encode(spec)
    front = file.read(0, -(-file.size // MIB) * MIB)
    count = -(-len(flat) // block_size)
    changed = {n for n in range(count) if _part(flat, n, block_size) != _part(base, n, block_size)}
    held = [block for block in held_by_it if block in changed]
    return Made(flat, block_size, held, front, Placement.of(spec).bat, frozenset(changed - set(held_by_it)))


def _part(flat, block, block_size):
    return flat[block * block_size : (block + 1) * block_size]
