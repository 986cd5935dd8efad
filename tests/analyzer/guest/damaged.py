"""Volumes with damage at random in what leads to their files: numbers, pointers, whole sectors, and maps in circles."""

import random
import struct

from tests.analyzer.guest import images
from tests.analyzer.guest.exfat_writer import Exfat

MIB, SECTOR = 1 << 20, 512
KINDS = ("ext2", "ext3", "ext4", "ntfs", "fat12", "fat16", "fat32", "exfat")
_NUMBERS = (0, 1, 2, 3, 11, 1 << 15, 1 << 31, (1 << 32) - 1)
_CLUSTERS = {"fat12": 4, "fat16": 16, "fat32": 40}


def content(seed, length):
    """Bytes that stand nowhere else."""
    return random.Random(seed).randbytes(length)


def made(kind, folder):
    """A healthy volume with some forty files; its bytes."""
    path = folder / f"{kind}.raw"
    files = {f"d{n % 3}/f{n}.bin": content(n, 300 + n * n * 37) for n in range(36)} | {"big.bin": content(99, 700_000)}
    if kind.startswith("ext"):
        images.make_ext(path, files, 8 * MIB, "-t", kind)
    elif kind == "ntfs":
        images.make_ntfs(path)
        images.edit_ntfs(path, *[("write", f"/{name.replace('/', '-')}", data) for name, data in files.items()])
    elif kind == "exfat":
        volume = Exfat(images.make_exfat(path))
        for name, data in list(files.items())[:20]:
            volume.write(name.replace("/", "-"), data)
        volume.save()
    else:
        images.make_fat(path, size=_CLUSTERS[kind] * MIB, bits=int(kind[3:]))
        for number in range(3):
            images.mtool("mmd", path, f"::/d{number}")
        for name, data in list(files.items())[:24]:
            images.fat_write(path, name, data)
    return path.read_bytes()


def damaged(kind, raw, seed):
    """The volume with some damage that the seed chooses, mostly in its front, where its structures are."""
    chance, spoilt = random.Random(f"{kind} {seed}"), bytearray(raw)
    live = [at for at in range(0, len(raw), SECTOR) if raw.count(0, at, at + SECTOR) != SECTOR]
    places = live[: max(8, len(live) // chance.choice((1, 3, 8)))]
    for _ in range(chance.choice((1, 2, 4, 16, 60))):
        _spoil(spoilt, places, chance)
    if kind.startswith("ext") and seed % 4 == 0:
        _circle(spoilt, chance)
    return bytes(spoilt)


def _spoil(spoilt, places, chance):
    at, other = chance.choice(places), chance.choice(places)
    inside = at + chance.randrange(0, SECTOR - 8, 4)
    how = chance.randrange(6)
    if how == 0:
        spoilt[at + chance.randrange(SECTOR)] = chance.randrange(256)
    elif how == 1:
        number = chance.choice((*_NUMBERS, chance.getrandbits(13), chance.getrandbits(32)))
        spoilt[inside : inside + 4] = number.to_bytes(4, "little")
    elif how == 2:
        spoilt[inside : inside + 8] = chance.getrandbits(64).to_bytes(8, "little")
    elif how == 3:
        spoilt[inside : inside + 4] = spoilt[other : other + 4]
    elif how == 4:
        spoilt[at : at + SECTOR] = chance.randbytes(SECTOR)
    else:
        spoilt[at : at + SECTOR] = spoilt[other : other + SECTOR]


def _circle(spoilt, chance):
    """The blocks of numbers of a file of ext point to themselves, or to one another."""
    (first, power), (per_group, size) = (
        struct.unpack_from("<II", spoilt, 1044),
        struct.unpack_from("<I44xH", spoilt, 1064),
    )
    block = 1024 << min(power, 6)
    (table,) = struct.unpack_from("<8xI", spoilt, (first + 1) * block % len(spoilt))
    inodes = [table * block + n * size for n in range(11, min(per_group, 64))] if size else []
    for at in inodes:
        if at + 128 > len(spoilt) or not struct.unpack_from("<I", spoilt, at + 88)[0]:
            continue
        pointers = struct.unpack_from("<3I", spoilt, at + 88)
        own = chance.choice([one for one in pointers if one] or [table])
        spoilt[at + 4 : at + 8] = (1 << 30).to_bytes(4, "little")
        spoilt[at + 88 : at + 100] = struct.pack("<3I", own, own, own)
        if (own + 1) * block <= len(spoilt):
            spoilt[own * block : (own + 1) * block] = struct.pack("<I", own) * (block // 4)
        return
