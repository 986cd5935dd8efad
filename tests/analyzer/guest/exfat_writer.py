"""exFAT written by hand: no program that does it without mounting is packaged. Its files are contiguous."""

import struct

_ROOT_SLOTS = 64
_DATE = (2024 - 1980) << 25 | 5 << 21 | 6 << 16 | 7 << 11 | 8 << 5 | 9 >> 1
MODIFIED = "2024-05-06T07:08:08"


class Exfat:
    """The root folder of a freshly made volume, and its free clusters; the image is changed in its place."""

    def __init__(self, path):
        self.path = path
        self.raw = bytearray(path.read_bytes())
        fat, _, heap, _, root = struct.unpack_from("<IIIII", self.raw, 80)
        self.sector, self.cluster = 1 << self.raw[108], 1 << (self.raw[108] + self.raw[109])
        self.fat, self.heap, self.root = fat * self.sector, heap * self.sector, root
        self.bitmap = next(
            struct.unpack_from("<I", self.raw, at + 20)[0] for at in self._slots() if self.raw[at] == 0x81
        )

    def save(self):
        self.path.write_bytes(self.raw)

    def write(self, name, data):
        """A file in the root; the clusters are the first ones free."""
        count = -(-len(data) // self.cluster)
        first = self._allocate(count) if count else 0
        if count:
            at = self._place(first)
            self.raw[at : at + len(data)] = data
        self._enter(name, first, len(data))

    def poke(self, name, offset, data):
        """Bytes within a file."""
        at = self._place(self._first(name)) + offset
        self.raw[at : at + len(data)] = data

    def remove(self, name):
        """The entries are marked as unused, and its clusters freed."""
        at, size = self._find(name), self._size(name)
        first = self._first(name)
        for cluster in range(first, first + -(-size // self.cluster)):
            self._mark(cluster, used=False)
        for entry in range(self.raw[at + 1] + 1):
            self.raw[at + 32 * entry] &= 0x7F

    def rename(self, name, another):
        """New entries for the same clusters, the old ones unused."""
        first, size, at = self._first(name), self._size(name), self._find(name)
        for entry in range(self.raw[at + 1] + 1):
            self.raw[at + 32 * entry] &= 0x7F
        self._enter(another, first, size)

    def _enter(self, name, first, size):
        text = name.encode("utf-16-le")
        parts = [text[at : at + 30] for at in range(0, len(text), 30)]
        head = bytearray(32)
        head[0], head[1] = 0x85, 1 + len(parts)
        struct.pack_into("<HHIII", head, 4, 0x20, 0, _DATE, _DATE, _DATE)
        stream = bytearray(32)
        stream[0], stream[1], stream[3] = 0xC0, 3 if first else 1, len(name)
        struct.pack_into("<H", stream, 4, self._name_hash(name))
        struct.pack_into("<QIIQ", stream, 8, size, 0, first, size)
        names = b"".join(b"\xc1\0" + part.ljust(30, b"\0") for part in parts)
        entries = head + stream + names
        struct.pack_into("<H", entries, 2, self._checksum(entries))
        at = self._free_slots(len(entries) // 32)
        self.raw[at : at + len(entries)] = entries

    def _slots(self):
        start = self._place(self.root)
        return range(start, start + 32 * _ROOT_SLOTS, 32)

    def _free_slots(self, count):
        """Behind everything: an entry that was let go is not used again."""
        last = max(at for at in self._slots() if self.raw[at])
        return last + 32

    def _find(self, name):
        for at in self._slots():
            if self.raw[at] == 0x85 and self._name_at(at) == name:
                return at
        raise FileNotFoundError(name)

    def _name_at(self, at):
        length = self.raw[at + 35]
        raw = b"".join(self.raw[at + 32 * n + 2 : at + 32 * n + 32] for n in range(2, self.raw[at + 1] + 1))
        return raw[: 2 * length].decode("utf-16-le")

    def _first(self, name):
        return struct.unpack_from("<I", self.raw, self._find(name) + 32 + 20)[0]

    def _size(self, name):
        return struct.unpack_from("<Q", self.raw, self._find(name) + 32 + 24)[0]

    def _allocate(self, count):
        first = 2
        while any(self._used(cluster) for cluster in range(first, first + count)):
            first += 1
        for cluster in range(first, first + count):
            self._mark(cluster, used=True)
        return first

    def _bit(self, cluster):
        return self._place(self.bitmap) + (cluster - 2) // 8, 1 << ((cluster - 2) % 8)

    def _used(self, cluster):
        at, bit = self._bit(cluster)
        return bool(self.raw[at] & bit)

    def _mark(self, cluster, *, used):
        at, bit = self._bit(cluster)
        self.raw[at] = self.raw[at] | bit if used else self.raw[at] & ~bit

    def _place(self, cluster):
        return self.heap + (cluster - 2) * self.cluster

    @staticmethod
    def _rotate(value, byte):
        return ((value << 15) & 0xFFFF | value >> 1) + byte & 0xFFFF

    def _checksum(self, entries):
        value = 0
        for at, byte in enumerate(entries):
            if at not in {2, 3}:
                value = self._rotate(value, byte)
        return value

    def _name_hash(self, name):
        value = 0
        for byte in name.upper().encode("utf-16-le"):
            value = self._rotate(value, byte)
        return value
