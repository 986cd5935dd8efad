"""Which bytes of a volume its file system has in use, by its own programs, or by its tables where none says so."""

import re
import struct

import numpy as np

from tests.analyzer.guest.exfat_writer import Exfat
from tests.analyzer.guest.images import run


def in_use(kind, path):
    """For each byte of the volume in that file whether it is in use: what is free no more than the maps say."""
    used = np.ones(path.stat().st_size, dtype=np.bool_)
    find = {"ntfs": _free_in_ntfs, "exfat": _free_in_exfat}
    for start, end in find.get(kind, _free_in_fat if kind.startswith("fat") else _free_in_ext)(path):
        used[start:end] = False
    return used


def _free_in_ext(path):
    said = run("dumpe2fs", path).decode()
    size = int(re.search(r"Block size: +(\d+)", said)[1])
    cluster = re.search(r"Cluster size: +(\d+)", said)  # the last one is named by its first block
    for line in re.findall(r"^  Free blocks: (.+)$", said, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
            yield int(first) * size, int(last or first) * size + (int(cluster[1]) if cluster else size)


def _free_in_ntfs(path):
    with path.open("rb") as file:
        boot = file.read(512)
    sector, clusters = struct.unpack_from("<HB", boot, 11)
    count = struct.unpack_from("<Q", boot, 40)[0] // clusters
    yield from _clear(run("ntfscat", "-f", "-i", "6", path), 0, sector * clusters, count)


def _free_in_exfat(path):
    disk = Exfat(path)
    bitmap = disk.raw[disk._bit(2)[0] :]
    yield from _clear(bitmap, disk.heap, disk.cluster, struct.unpack_from("<I", disk.raw, 92)[0])


def _free_in_fat(path):
    data = path.read_bytes()
    sector, per_cluster, reserved, fats, roots = struct.unpack_from("<HBHBH", data, 11)
    length = struct.unpack_from("<H", data, 22)[0] or struct.unpack_from("<I", data, 36)[0]
    start = (reserved + fats * length) * sector + roots * 32
    cluster, kind = sector * per_cluster, "<u2" if struct.unpack_from("<H", data, 22)[0] else "<u4"
    count = (len(data) - start) // cluster
    entries = np.frombuffer(data, kind, offset=reserved * sector, count=count + 2)[2:].astype(np.int64)
    for number in np.flatnonzero(entries & 0x0FFFFFFF == 0).tolist():
        yield start + number * cluster, start + (number + 1) * cluster


def _clear(bitmap, start, unit, count):
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")[:count]
    for number in np.flatnonzero(bits == 0).tolist():
        yield start + number * unit, start + (number + 1) * unit
