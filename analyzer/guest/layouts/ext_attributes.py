"""What an ext inode says of a file beside its content: its kind, its device, its extended attributes.

Attributes are behind the inode's own fields, in one block of their own, or in an inode each (kernel documentation,
"ext4 Data Structures and Algorithms", Extended Attributes).
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analyzer.guest.layouts.ext_inodes import LEAST_SIZE

_MAGIC = (0xEA020000).to_bytes(4, "little")
_ENTRY = struct.Struct("<BBHIIxxxx")
_FIRST_IN_INODE, _FIRST_IN_BLOCK = 4, 32
# Names are kept without their beginning, of which the index tells; system.data (7) is the content of a small file.
_PREFIXES = {
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
    8: "system.richacl",
}
_CONTENT = "system.data"
_ACLS = {2, 3}
_ACL_ENTRY, _ACL_ID = struct.Struct("<HH"), struct.Struct("<I")
_ACL_STORED, _ACL_SHOWN, _NOBODY = 1, 2, 0xFFFFFFFF
_WITH_ID = {0x02, 0x08}
"""Tags of entries for a user and a group by number: only they have one where they are stored."""
_EXTRA_SIZE, _BLOCK, _BLOCK_HIGH, _DEVICES = slice(128, 130), slice(104, 108), slice(118, 120), struct.Struct("<II")
_DEVICES_AT = 40
MOST_VALUE = 1 << 16
"""Bytes of a value that Linux takes."""


@dataclass(frozen=True, slots=True)
class ExtAttribute:
    """One attribute: its full name, and its value as programs get it, or the inode and length of what holds that."""

    name: str
    value: bytes
    inode: int = 0
    length: int = 0


def mode_of(inode: bytes) -> int:
    """Kind and permissions, as stat has them."""
    return int.from_bytes(inode[:2], "little")


def device_of(inode: bytes) -> tuple[int, int]:
    """Major and minor number of a device; in one of two forms (kernel, fs/ext4/ext4.h, `old_decode_dev`)."""
    old, new = _DEVICES.unpack_from(inode, _DEVICES_AT)
    if old:
        return old >> 8 & 0xFF, old & 0xFF
    return new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00


def attributes_in(inode: bytes, read: Callable[[int], bytes]) -> Iterator[ExtAttribute]:
    """The attributes of an inode, as far as they are whole; `read` gives a block of the volume by its number."""
    extra = int.from_bytes(inode[_EXTRA_SIZE], "little")
    within = inode[LEAST_SIZE + extra :]
    if within.startswith(_MAGIC):
        yield from _entries(within, _FIRST_IN_INODE, _FIRST_IN_INODE)
    number = int.from_bytes(inode[_BLOCK], "little") | int.from_bytes(inode[_BLOCK_HIGH], "little") << 32
    block = read(number) if number else b""
    if block.startswith(_MAGIC):
        yield from _entries(block, _FIRST_IN_BLOCK, 0)


def _entries(table: bytes, first: int, base: int) -> Iterator[ExtAttribute]:
    """Entries from byte `first` up to four zeros; places of values count from byte `base`."""
    at = first
    while at + _ENTRY.size <= len(table) and any(table[at : at + 4]):
        length, index, place, inode, size = _ENTRY.unpack_from(table, at)
        rest = table[at + _ENTRY.size : at + _ENTRY.size + length].decode("utf-8", "surrogateescape")
        name = _PREFIXES.get(index, f"unknown-{index}.") + rest
        value = table[base + place : base + place + size]
        if name != _CONTENT and (inode or len(value) == size):
            yield ExtAttribute(name, b"" if inode else _shown(index, value), inode, size)
        at += _ENTRY.size + (length + 3) // 4 * 4


def _shown(index: int, value: bytes) -> bytes:
    """A value as Linux gives it to programs: ACLs are stored in a shorter form."""
    if index not in _ACLS or value[:4] != _ACL_STORED.to_bytes(4, "little"):
        return value
    shown, at = _ACL_SHOWN.to_bytes(4, "little"), 4
    while at + _ACL_ENTRY.size <= len(value):
        tag, rights = _ACL_ENTRY.unpack_from(value, at)
        at += _ACL_ENTRY.size
        who = _NOBODY
        if tag in _WITH_ID and at + _ACL_ID.size <= len(value):
            (who,) = _ACL_ID.unpack_from(value, at)
            at += _ACL_ID.size
        shown += _ACL_ENTRY.pack(tag, rights) + _ACL_ID.pack(who)
    return shown
