"""A disk as a bytearray: the judge. It knows writes and zeros, and nothing of blocks, tables or files."""


class ByteDisk:
    """The disk that one layer shows: its parent's bytes, cut or filled up with zeros, and what was done to them."""

    def __init__(self, size, parent=None):
        below = b"" if parent is None else bytes(parent.bytes[:size])
        self.size = size
        self.bytes = bytearray(below.ljust(size, b"\0"))

    def write(self, start, data):
        """Put bytes at `start`; what would stand past the end is dropped."""
        kept = data[: max(0, self.size - start)]
        self.bytes[start : start + len(kept)] = kept

    def zero(self, start, length):
        """Make a range zeros."""
        self.write(start, bytes(length))

    def read(self, start, length):
        """The bytes at [start, start + length), cut at the end."""
        return bytes(self.bytes[start : start + length])
