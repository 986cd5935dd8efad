"""The scratch file: what was written to a disk that is served, sector by sector (docs/scratch-format.md).

A header of 4 KiB, a table with an entry of 8 bytes for each 2 MiB of the disk, and room for each of these blocks that
holds something: a page with one bit for each sector, and the block itself.
"""

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum

from analyzer.text import safe
from vhdx.structures.constants import MIB
from vhdx.structures.fields import crc32c

PAGE = 4096
BLOCK = 2 * MIB
"""Bytes of the disk that one entry is about."""
STRIDE = PAGE + BLOCK
"""Bytes of the file that a block takes: its bits, and its content."""
TABLE_OFFSET = MIB
ENTRY_SIZE = 8
STATE_MASK = 3
MAGIC = b"VHDXSCRA"
_VERSION = 1
_HEAD = struct.Struct("<8sIIQII")
_MOST_TEXT = PAGE - _HEAD.size


class State(IntEnum):
    """What an entry says of its block; the rest of the entry is its place in the file, 0 for none."""

    BELOW = 0
    """Nothing was written: the disk below shows."""
    ZERO = 1
    """Zeros throughout, which hide the disk below. A place that it has is for what is written next."""
    OWN = 2
    """Sectors whose bit is set are in the file; the disk below shows in the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchHeader:
    """Which disk a scratch file belongs to. `identity` changes with what the disk shows; `below` is for people."""

    size: int
    sector_size: int
    identity: str
    below: str

    @property
    def blocks(self) -> int:
        """How many entries the table has."""
        return -(-self.size // BLOCK)

    @property
    def first_place(self) -> int:
        """Where the first block is put."""
        end = TABLE_OFFSET + self.blocks * ENTRY_SIZE
        return -(-end // MIB) * MIB


def build_header(header: ScratchHeader) -> bytes:
    """The first page of a file."""
    words = {name: text for name, text in asdict(header).items() if isinstance(text, str)}
    text = json.dumps(words | {"below": safe(header.below)[:1024]}).encode()
    page = _HEAD.pack(MAGIC, 0, _VERSION, header.size, header.sector_size, len(text)) + text
    page = page.ljust(PAGE, b"\0")
    return page[:8] + struct.pack("<I", crc32c(page)) + page[12:]


def parse_header(page: bytes) -> ScratchHeader | None:
    """The header in a file's first page; None where it is no header of this version, or not whole."""
    magic, checksum, version, size, sector_size, length = _HEAD.unpack_from(page)
    blank = page[:8] + bytes(4) + page[12:]
    if (magic, version) != (MAGIC, _VERSION) or checksum != crc32c(blank) or length > _MOST_TEXT:
        return None
    try:
        words = json.loads(page[_HEAD.size : _HEAD.size + length])
        return ScratchHeader(size=size, sector_size=sector_size, identity=words["identity"], below=words["below"])
    except (ValueError, KeyError, TypeError):
        return None
