"""Healthy chains: volumes of every kind, partitioned or not, in one to three layers of random blocks."""

import random
import struct
from dataclasses import dataclass
from pathlib import Path

from fixtures.identity import Identity
from fixtures.locator import LocatorSpec
from tests.analyzer.guest.images import is_missing
from tests.analyzer.judgement import disks
from tests.analyzer.judgement.disks import MIB, Made
from vhdx.errors import InputOutputError, ShortReadError
from vhdx.ranges import Range
from vhdx.source import Unread

KINDS = (*disks.KINDS, "lvm", "luks")
"""LVM: one logical volume of ext4 behind its header; LUKS: noise behind its header."""
NAMES = ("base.vhdx", "layer1.avhdx", "layer2.avhdx")


@dataclass(frozen=True)
class Layer:
    """A file of a chain: its name, what it is made of, and which of its blocks were let go."""

    name: str
    made: Made
    trimmed: frozenset = frozenset()


@dataclass(frozen=True)
class Chain:
    """Layers, base first; `older` is the disk before its newest state, where there is one."""

    kind: str
    layers: tuple
    older: bytes

    @property
    def truth(self):
        """What the leaf reads as, but for blocks that were let go."""
        return self.layers[-1].made.flat

    @property
    def leaf(self):
        return self.layers[-1]


def makeable(kinds=KINDS):
    """The kinds that the programs here can make."""
    return [kind for kind in kinds if kind == "luks" or not is_missing("ext" if kind == "lvm" else kind)]


def volume(kind, seed):
    if kind == "lvm":
        return _lvm_label(64 * MIB + MIB).ljust(MIB, b"\0") + disks.volume("ext4", seed)
    if kind == "luks":
        noise = random.Random(f"luks {seed}").randbytes(16 * MIB)
        return (b"LUKS\xba\xbe\0\2" + b"header" * 8).ljust(MIB, b"\0") + noise + bytes(8 * MIB)
    return disks.volume(kind, seed)


def _lvm_label(size):
    label = struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001") + b"i" * 32 + size.to_bytes(8, "little")
    return bytes(512) + label.ljust(512, b"\0")


def states_of(kind, scheme, seeds=(0, 1)):
    """Two disks of a kind, of whole MiB, whose volumes were written apart."""
    found = [disks.partitioned(volume(kind, seed), scheme) for seed in seeds]
    return [state + bytes(-len(state) % MIB) for state in found]


def chain(kind, chance, length=None, block=None, states=None):
    """A chain of a kind; of one layer, or with checkpoints, each of which holds a volume that was written anew."""
    scheme, length = chance.choice(("none", "mbr", "gpt")), length or chance.choice((1, 1, 1, 2, 3))
    states = states or states_of(kind, scheme)
    block, mark = block or chance.choice((1, 1, 2, 4)) * MIB, f"{kind} {chance.random()}"
    identity = Identity.of(f"{mark} 0", disk=mark)
    layers = [Layer(NAMES[0], disks.made(states[0], block, chance, identity=identity))]
    for number in range(1, length):
        above = Identity.of(f"{mark} {number}", disk=mark)
        parent = LocatorSpec.full(f".\\{NAMES[number - 1]}", identity.data_write_guid)
        state = states[number % 2]
        made = disks.made_upon(layers[-1].made.flat, state, block, chance, identity=above, parent=parent)
        layers.append(Layer(NAMES[number], made))
        identity = above
    return Chain(kind, tuple(layers), states[length % 2])


class Altered:
    """A file of a chain with patches over it, cut to `size`; `holes` of the host, and what a medium did not give.

    `moved` are two blocks of the disk that changed places in `source`.
    """

    def __init__(self, source, name, patches=(), size=None, holes=None, unread=None, moved=()):
        self._source, self.patches, self.moved = source, tuple(patches), tuple(moved)
        self.path, self.size = Path("/nowhere", name), source.size if size is None else min(size, source.size)
        self.unread = Unread(Path("/nowhere", f"{name}.map"), unread) if unread else None
        self.holes = holes
        if holes:
            self.extents = lambda: iter(holes.gaps(Range(0, self.size)))

    def read_into(self, offset, buffer):
        end = offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        if self.unread and self.unread.ranges.touches(Range(offset, len(buffer))):
            raise InputOutputError(self.path, "read", "it was not read from its medium")
        self._source.read_into(offset, buffer)
        for at, data in self.patches:
            low, high = max(at, offset), min(at + len(data), end)
            if low < high:
                buffer[low - offset : high - offset] = data[low - at : high - at]
