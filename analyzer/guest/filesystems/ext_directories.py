"""Whether the blocks of a folder on ext hold what they must: the reader passes over what it cannot follow."""

import struct

_ENTRY = struct.Struct("<IHB")
_LEAST, _STEP = 8, 4


def is_whole(content: bytes, block: int) -> bool:
    """Whether every block is filled by entries that follow one another: indexes, checksums and free room are some."""
    return all(_is_filled(content[start : start + block]) for start in range(0, len(content), block))


def _is_filled(content: bytes) -> bool:
    at = 0
    while at + _LEAST <= len(content):
        inode, length, name = _ENTRY.unpack_from(content, at)
        if len(content) == 1 << 16 and length in {0, 0xFFFF}:  # all of 64 KiB, for which the field has no room
            length = len(content) - at
        if length < _LEAST + bool(inode) * name or length % _STEP:
            return False
        at += length
    return at == len(content)
