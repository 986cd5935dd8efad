"""Disks in memory, and partition tables written by hand from the public layouts."""

import struct
import zlib
from pathlib import Path
from uuid import UUID

import numpy as np

from vhdx.disk import Disk
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource

HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
MIB = 1 << 20
DISK = UUID(int=7)
ONE_PARTITION = ((UUID(int=1), 64, 1000),)


class MemoryDisk(Disk):
    """A disk that is nothing but bytes."""

    path, findings = Path("<memory>"), ()

    def __init__(self, data, sector_size=512):
        self.data, self._sector = bytes(data), sector_size
        self.sources = (MemorySource(self.data),)

    size = property(lambda self: len(self.data))
    sector_size = property(lambda self: self._sector)
    sources = ()

    def windows(self, start=0, end=None):
        end = self.size if end is None else min(end, self.size)
        for at in range(start, end, 3 * MIB):  # more than one window, and no round ones
            upto = min(end, at + 3 * MIB)
            yield RunTable.of([(at, upto - at, Kind.DATA, 0, at)])

    def error_for(self, run):
        return None

    def require_unchanged(self):
        pass

    def close(self):
        pass


def flat(disk):
    """All bytes of a disk."""
    return Reader(disk).read(0, disk.size)


def header(here, other, table, entries, *, disk=DISK, sector=512, count=128, entry_size=128, usable=(34, 100)):
    """A GPT header's sector, its checksum right."""
    fields = (here, other, *usable, disk.bytes_le, table, count, entry_size, zlib.crc32(entries))
    bare = HEADER.pack(b"EFI PART", 0x10000, HEADER.size, 0, 0, *fields)
    return HEADER.pack(b"EFI PART", 0x10000, HEADER.size, zlib.crc32(bare), 0, *fields).ljust(sector, b"\0")


def entry(guid, first, last):
    """An entry of a GPT."""
    return struct.pack("<16s16sQQ80x", UUID(int=9).bytes_le, guid.bytes_le, first, last)


def mbr(signature, *partitions, code=b""):
    """A master boot record; partitions are (kind, first sector, sectors)."""
    entries = b"".join(struct.pack("<B3xB3xII", 0, *one) for one in partitions)
    return code.ljust(440, b"\0") + signature + bytes(2) + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt_disk(size=4 * MIB, sector=512, *, partitions=ONE_PARTITION, signature=bytes(4), backup=None):
    """A disk with both copies of a GPT, the second in sector `backup` or in the last."""
    data, last = bytearray(size), size // sector - 1
    backup = last if backup is None else backup
    entries = b"".join(entry(*one) for one in partitions).ljust(128 * 128, b"\0")
    put(data, 0, mbr(signature, (0xEE, 1, last)))
    put(data, sector, header(1, backup, 2, entries, sector=sector))
    put(data, 2 * sector, entries)
    put(data, backup * sector, header(backup, 1, backup - 16384 // sector, entries, sector=sector))
    put(data, backup * sector - 16384, entries)
    return data


def put(data, at, piece):
    """Lay a piece over the bytes of a disk."""
    data[at : at + len(piece)] = piece


def check_gpt(data, at, sector=512):
    """Disk GUID and partition GUIDs of the copy whose header stands at a byte; its checksums must be right."""
    raw = data[at : at + sector]
    _, _, size, crc, _, here, _, _, _, disk, table, count, entry_size, table_crc = HEADER.unpack_from(raw)
    assert zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) == crc
    assert here * sector == at
    entries = data[table * sector : table * sector + count * entry_size]
    assert zlib.crc32(entries) == table_crc
    used = [entries[n : n + 128] for n in range(0, len(entries), entry_size) if any(entries[n : n + 16])]
    return UUID(bytes_le=disk), [UUID(bytes_le=one[16:32]) for one in used]


def changed_bytes(old, new):
    """Places at which two equally long byte strings differ."""
    assert len(old) == len(new)
    return set(np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)).tolist())
