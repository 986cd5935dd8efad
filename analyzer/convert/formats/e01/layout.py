"""EWF-E01, what EnCase, FTK, X-Ways, Autopsy and libewf take as evidence: compressed chunks, checksums, MD5 and SHA-1.

The format has no holes: a chunk of zeros is packed once, and written as often as there are such chunks.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from analyzer.convert.cells import CELL
from analyzer.convert.formats.codecs import deflate
from analyzer.convert.formats.e01 import format as ewf
from analyzer.convert.formats.e01.segment_files import MOST
from analyzer.convert.model import CaseData, Compression, Digests, ImageRequest
from analyzer.text import version
from vhdx.errors import OutputError
from vhdx.structures.fields import build

# EnCase's own size, 32 KiB, which every reader takes.
SECTORS_PER_CHUNK = 64
MOST_CHUNKS = 4 << 20
"""Where a disk would have more, its chunks are larger, up to a cell: tables and zeros stay small."""
USUAL_SEGMENT = 1500 << 20
SMALLEST_SEGMENT, LARGEST_SEGMENT = 4 << 20, 2047 << 20
"""Places in a segment have 31 bits."""
# To a chunk that does not shrink: its checksum; and to zeros, which take less than this for each KiB.
_MOST_ADDED = 64
_FAST, _BEST = 1, 9


@dataclass(frozen=True)
class E01Layout:
    """An E01 to be; sizes are bytes."""

    size: int
    sector_size: int
    data_bytes: int
    segment_size: int
    level: int
    """Of zlib, which the format calls fast and best, 1 and 2."""
    digests: Digests
    case: CaseData
    identifier: UUID

    @property
    def chunk(self) -> int:
        """Bytes of a chunk, which never crosses a cell: 64 sectors, or more on large disks."""
        chunk = SECTORS_PER_CHUNK * self.sector_size
        while chunk < CELL and self.size > MOST_CHUNKS * chunk:
            chunk *= 2
        return chunk

    @property
    def chunks(self) -> int:
        """How many the disk has; the last may be shorter."""
        return -(-self.size // self.chunk)

    @cached_property
    def zeros(self) -> bytes:
        """A whole chunk of zeros, packed as tightly as can be: it is packed once."""
        return zlib.compress(bytes(self.chunk), 9)

    @property
    def needed_bytes(self) -> int:
        """Everything, when nothing shrinks."""
        data = self.data_bytes // self.chunk * (self.chunk + _MOST_ADDED)
        chunks = self.chunks * (len(self.zeros) + ewf.ENTRY_COST)
        tables = (self.chunks // ewf.MOST_ENTRIES + 1) * ewf.TABLES_COST
        whole = data + chunks + tables
        return whole + self._segments(whole) * (self._front_bytes + ewf.TABLES_COST)

    @property
    def digested_bytes(self) -> int:
        """What digests are taken of."""
        return self.size if self.digests is Digests.TAKEN else 0

    @property
    def most_segments(self) -> int:
        """How many files it may take."""
        return self._segments(self.needed_bytes)

    def pack(self, data: bytes | memoryview) -> bytes:
        """A chunk, packed; it may come out longer."""
        return deflate(data, zlib.MAX_WBITS, self.level)

    def front(self, number: int) -> ewf.Sections:
        """The sections with which segment `number` begins."""
        facts = build(
            ewf.VOLUME,
            media_type=ewf.FIXED_DISK,
            chunks=self.chunks,
            sectors_per_chunk=self.chunk // self.sector_size,
            bytes_per_sector=self.sector_size,
            sectors=self.size // self.sector_size,
            media_flags=ewf.WHOLE_DISK_IMAGE,
            compression_level=2 if self.level == _BEST else 1,
            error_granularity=self.chunk // self.sector_size,
            set_identifier=self.identifier.bytes_le,
        )
        facts += ewf.checksum(facts)
        if number > 1:
            return [(b"data", facts)]
        program = f"vhdx {version()}"
        unicode = zlib.compress(ewf.header2_text(self.case, program).encode("utf-16"))
        plain = zlib.compress(ewf.header_text(self.case, program).encode("ascii", "replace"))
        return [(b"header2", unicode), (b"header2", unicode), (b"header", plain), (b"volume", facts)]

    @property
    def _front_bytes(self) -> int:
        """What the largest front takes, of all sections and with the room that a chunk may leave at the end."""
        return sum(ewf.DESCRIPTOR + len(body) for _, body in self.front(1)) + ewf.VOLUME_SIZE + self.chunk + _MOST_ADDED

    def _segments(self, length: int) -> int:
        return -(-length // (self.segment_size - self._front_bytes - ewf.TABLES_COST))


def plan(request: ImageRequest, data_bytes: int) -> E01Layout:
    """What is going to be written; raises OutputError."""
    target, options = request.target, request.options
    if target.suffix.upper() != ".E01":
        reason = "an E01 is a set of files, of which the first is called NAME.E01"
        raise OutputError(target, reason, f"name it {target.name}.E01")
    layout = E01Layout(
        size=request.like.size,
        sector_size=request.like.logical_sector_size,
        data_bytes=data_bytes,
        segment_size=options.e01.segment_size or USUAL_SEGMENT,
        level=_BEST if options.compression is Compression.ZLIB else _FAST,
        digests=options.e01.digests,
        case=options.e01.case,
        identifier=options.identities("set_identifier"),
    )
    if not SMALLEST_SEGMENT <= layout.segment_size <= LARGEST_SEGMENT:
        reason = f"segments of {layout.segment_size} bytes cannot be written"
        raise OutputError(target, reason, "choose 4M to 2047M")
    if layout.most_segments > MOST:
        reason = f"it may take {layout.most_segments} segments, and there are names for {MOST}"
        raise OutputError(target, reason, "choose larger segments, up to 2047M")
    return layout
