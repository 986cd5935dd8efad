"""The layout of EWF-E01 as EnCase 6 writes it (libyal/libewf, "Expert Witness Compression Format (EWF)").

A segment file is a header and sections, each of which has the offset of the next one. Chunks of the disk are in
sections "sectors", and each of those is followed by a table of their places, twice.
"""

import zlib
from collections.abc import Sequence
from time import gmtime

from construct import Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from analyzer.convert.model import CaseData
from vhdx.structures.fields import build

FILE_HEADER = Struct("signature" / Bytes(8), Const(b"\1"), "segment" / Int16ul, Const(b"\0\0"))
SIGNATURE = b"EVF\x09\x0d\x0a\xff\x00"
SECTION = Struct("type" / Bytes(16), "next" / Int64ul, "size" / Int64ul, "padding" / Bytes(40), "checksum" / Int32ul)
TABLE_HEADER = Struct(
    "entries" / Int32ul, "padding" / Bytes(4), "base_offset" / Int64ul, "padding_2" / Bytes(4), "checksum" / Int32ul
)
VOLUME = Struct(
    "media_type" / Int8ul,
    "unknown" / Bytes(3),
    "chunks" / Int32ul,
    "sectors_per_chunk" / Int32ul,
    "bytes_per_sector" / Int32ul,
    "sectors" / Int64ul,
    "geometry" / Bytes(12),
    "media_flags" / Int8ul,
    "unknown_2" / Bytes(3),
    "palm_start" / Bytes(4),
    "unknown_3" / Bytes(4),
    "smart_start" / Bytes(4),
    "compression_level" / Int8ul,
    "unknown_4" / Bytes(3),
    "error_granularity" / Int32ul,
    "unknown_5" / Bytes(4),
    "set_identifier" / Bytes(16),
    "unknown_6" / Bytes(963),
    "signature" / Bytes(5),
)
DESCRIPTOR: int = SECTION.sizeof()
TABLE_LEAD: int = TABLE_HEADER.sizeof()
VOLUME_SIZE: int = DESCRIPTOR + VOLUME.sizeof() + 4
MOST_ENTRIES = 16375
"""Of a table: readers of EnCase's age take no more."""
COMPRESSED = 1 << 31
"""Of a table's entry; below it is the place, counted from the table's base."""
MD5_SIZE, SHA1_SIZE = 16, 20
END_SIZE: int = 3 * DESCRIPTOR + (MD5_SIZE + SHA1_SIZE + 40 + 4) + (MD5_SIZE + 16 + 4)
"""Of the sections digest, hash, and done or next."""
ENTRY_COST = 2 * 4
"""Of a chunk, beside itself."""
TABLES_COST: int = DESCRIPTOR + 2 * (DESCRIPTOR + TABLE_LEAD + 4)
"""Of chunks that are together, whatever their number: the section's descriptor and two tables."""
FIXED_DISK, WHOLE_DISK_IMAGE = 1, 3

Sections = Sequence[tuple[bytes, bytes]]
"""Kind and body of each."""


def checksum(data: bytes) -> bytes:
    """Adler-32, as every structure has it behind itself."""
    return zlib.adler32(data).to_bytes(4, "little")


def file_header(segment: int) -> bytes:
    """The first bytes of a segment file; segments count from 1."""
    return bytes(FILE_HEADER.build({"signature": SIGNATURE, "segment": segment}))


def descriptor(kind: bytes, at: int, size: int, *, following: int | None = None) -> bytes:
    """The descriptor of a section of `size` bytes, itself included, at byte `at`; the next one is right behind."""
    following = at + size if following is None else following
    built = build(SECTION, type=kind.ljust(16, b"\0"), next=following, size=size)[:-4]
    return built + checksum(built)


def build_sections(at: int, sections: Sections) -> bytes:
    """Whole sections, one behind the other, of which the first is at byte `at` of its file."""
    built = b""
    for kind, body in sections:
        built += descriptor(kind, at + len(built), DESCRIPTOR + len(body)) + body
    return built


def last_section(kind: bytes, at: int) -> bytes:
    """The end of a segment: "next" when there is one more, "done" when not. It has no size and is its own next."""
    return descriptor(kind, at, 0, following=at)


def tables(entries: bytes, base: int) -> Sections:
    """The table behind chunks, twice: places counted from byte `base` of the file."""
    lead = build(TABLE_HEADER, entries=len(entries) // 4, base_offset=base)[:-4]
    body = lead + checksum(lead) + entries + checksum(entries)
    return [(b"table", body), (b"table2", body)]


def digests(md5: bytes, sha1: bytes) -> Sections:
    """What says which digests the disk has."""
    bodies = {b"digest": md5 + sha1 + bytes(40), b"hash": md5 + bytes(16)}
    return [(kind, body + checksum(body)) for kind, body in bodies.items()]


def header2_text(case: CaseData, program: str) -> str:
    """The section header2 of EnCase 4 to 6 ("header2 section values"); it is in UTF-16."""
    values = (
        case.description,
        case.case_number,
        case.evidence_number,
        case.examiner,
        case.notes,
        "",  # md: the model of the medium
        "",  # sn: its serial number
        program,
        "",  # ov: the system that the medium was acquired on
        str(case.acquired),
        str(case.acquired),
        "0",  # p: no password
        "",
    )
    main = ("main", "a\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc", "\t".join(values), "")
    sources = ("srce", "0\t1", "p\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq", "0\t0", "\t\t\t\t\t-1\t-1\t\t\t", "")
    subjects = ("sub", "0\t1", "p\tn\tid\tnu\tco\tgu", "0\t0", "\t\t\t\t1\t", "")
    return "\n".join(("3", *main, *sources, *subjects, ""))


def header_text(case: CaseData, program: str) -> str:
    """The older section header: what is not ASCII is a question mark there."""
    moment = gmtime(case.acquired)
    date = f"{moment.tm_year} {moment.tm_mon} {moment.tm_mday} {moment.tm_hour} {moment.tm_min} {moment.tm_sec}"
    what = (case.case_number, case.evidence_number, case.description, case.examiner, case.notes)
    values = (*what, program, "", date, date, "0")
    lines = ("1", "main", "c\tn\ta\te\tt\tav\tov\tm\tu\tp", "\t".join(values), "", "")
    return "\r\n".join(lines)
