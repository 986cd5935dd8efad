"""The file type identifier, first 64 KiB of the file ([MS-VHDX] 2.2.1), and what a file is that has none.

Of what people hand in for a VHDX names are given, never content: a locator may point at any file of this machine, and
what is in there stays there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from construct import Bytes, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import HEADER_AREA_SIZE, IDENTIFIER_OFFSET
from vhdx.structures.fields import parsed

SIGNATURE = b"vhdxfile"
CREATOR_SIZE = 512
SECTION = "2.2.1"

_LAYOUT = Struct("signature" / Bytes(8), "creator" / Bytes(CREATOR_SIZE))
SIZE = _LAYOUT.sizeof()


@dataclass(frozen=True, slots=True)
class Identifier:
    """Signature and creator as they are in the file."""

    signature: bytes
    creator_raw: bytes

    @property
    def creator(self) -> str:
        """The program that made the file, as it names itself; "" when it does not, or not readably."""
        raw = self.creator_raw
        end = next((at for at in range(0, len(raw), 2) if raw[at : at + 2] == b"\0\0"), len(raw))
        return raw[:end].decode("utf-16-le", errors="replace")


def parse_identifier(page: bytes) -> Identifier:
    """The identifier in the first bytes of a file; a shorter page is taken as if zeros followed."""
    fields = parsed(_LAYOUT, page[:SIZE].ljust(SIZE, b"\0"))
    return Identifier(fields["signature"], fields["creator"])


def build_identifier(identifier: Identifier) -> bytes:
    """The 520 bytes that `parse_identifier` reads back."""
    creator = identifier.creator_raw.ljust(CREATOR_SIZE, b"\0")
    return bytes(_LAYOUT.build({"signature": identifier.signature, "creator": creator}))


def check_identifier(identifier: Identifier, page: bytes, tail: bytes = b"") -> Iterator[Finding]:
    """What is wrong with the identifier; `page` and `tail` are the file's ends, to say what it is instead."""
    if identifier.signature != SIGNATURE:
        what, advice = instead_of_vhdx(page, tail)
        yield Finding("FID-01", Severity.ERROR, f"not a VHDX file: {what}", IDENTIFIER_OFFSET, 8, SECTION, advice)
        return
    if "\ufffd" in identifier.creator:
        yield Finding("FID-03", Severity.NOTE, "the creator is not UTF-16 text", 8, CREATOR_SIZE, SECTION)


def check_length(file_size: int) -> Iterator[Finding]:
    """Whether a file of `file_size` bytes can hold its headers."""
    if file_size < HEADER_AREA_SIZE:
        text = f"the file has {file_size} bytes; its headers alone take 1 MiB"
        yield Finding("FID-02", Severity.ERROR, text, file_size, None, "2.2")


FRONT_SIZE = 33 << 10
"""Bytes of a file's front that tell all of these apart: an ISO 9660 image has its magic 32 KiB in."""
TAIL_SIZE = 512
"""What a fixed VHD of version 1 has its footer in: the end of the file."""

_FROM_RAW = "make a VHDX of it with `vhdx convert FILE NEW.vhdx`"
_RAW = f"it has no parent and nothing to merge: use it as it is, or {_FROM_RAW}"
_ZEROS = (
    "the front is lost or never arrived: get a whole copy of the file, or try `vhdx recover FILE -o disk.raw`; if it "
    f"is a raw image, {_FROM_RAW}"
)
_BY_QEMU = "convert it with `qemu-img convert -O vhdx`, or read it through `qemu-nbd` (docs/other-formats.md)"
_VHD = "read it by `vhdx info`, `vhdx files` and the like, or make a VHDX of it with `vhdx convert FILE NEW.vhdx`"
_VHD_CHILD = "merge it with its parents into a VHDX: `vhdx merge FILE NEW.vhdx`"
_AGAIN = "get the file itself: this is what a server or a program answered instead of it"
_OTHER = "name a .vhdx or .avhdx file"
_ISO = "an ISO 9660 image"


class Lookalike(NamedTuple):
    """A kind of file: magic bytes at an offset, what it is called, and what to do with it."""

    magic: bytes
    at: int
    name: str
    advice: str
    is_image: bool = False
    """It holds a disk that is not the disk as it is."""

    @property
    def is_archive(self) -> bool:
        """It may hold a whole VHDX that is stored: what begins inside of it is not the file, and may be in pieces."""
        return self.name.endswith("archive")


_KINDS = (
    Lookalike(b"conectix", 0, "a VHD (version 1) disk", _VHD, is_image=True),
    Lookalike(b"QFI\xfb", 0, "a qcow2 image", _BY_QEMU, is_image=True),
    Lookalike(b"KDMV", 0, "a VMDK image", _BY_QEMU, is_image=True),
    Lookalike(b"# Disk DescriptorFile", 0, "a VMDK descriptor", _BY_QEMU, is_image=True),
    Lookalike(b"<<< ", 0, "a VirtualBox VDI image", _BY_QEMU, is_image=True),
    Lookalike(
        b"EVF\x09\x0d\x0a\xff\x00", 0, "an E01 (EWF) image", "write it out raw first, with `ewfexport`", is_image=True
    ),
    Lookalike(b"\x28\xb5\x2f\xfd", 0, "packed by zstd", "unpack it first, with `zstd -d`", is_image=True),
    Lookalike(b"\x5e\x2a\x4d\x18", 0, "packed by zstd", "unpack it first, with `zstd -d`", is_image=True),
    Lookalike(b"version https://git-lfs", 0, "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    Lookalike(b"PK\x03\x04", 0, "a ZIP archive", "unpack it first"),
    Lookalike(b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first"),
    Lookalike(b"\xfd7zXZ\x00", 0, "an xz archive", "unpack it first with `xz -dk`"),
    Lookalike(b"\x1f\x8b", 0, "a gzip archive", "unpack it first"),
    Lookalike(b"BZh", 0, "a bzip2 archive", "unpack it first"),
    Lookalike(b"\x04\x22\x4d\x18", 0, "packed by lz4", "unpack it first, with `lz4 -d`"),
    Lookalike(b"Rar!\x1a\x07", 0, "a RAR archive", "unpack it first"),
    Lookalike(b"ustar", 257, "a tar archive", "unpack it first with `tar -xf`"),
    Lookalike(b"MSCF", 0, "a cabinet archive", "unpack it first"),
    Lookalike(b"MSWIM\x00\x00\x00", 0, "a WIM (Windows imaging) archive", "extract an image of it, with `wimapply`"),
    Lookalike(b"CD001", 32769, _ISO, _OTHER),
    Lookalike(b"%PDF-", 0, "a PDF document", _OTHER),
    Lookalike(b"\x89PNG", 0, "a PNG picture", _OTHER),
    Lookalike(b"\xff\xd8\xff", 0, "a JPEG picture", _OTHER),
    Lookalike(b"\x7fELF", 0, "a program", _OTHER),
    Lookalike(b"EFI PART", 512, "a raw disk image with a GPT", _RAW),
    Lookalike(b"EFI PART", 4096, "a raw disk image with a GPT in sectors of 4096 bytes", _RAW),
    Lookalike(b"\x55\xaa", 510, "a raw disk image with a boot sector", _RAW),
    Lookalike(b"\x53\xef", 1080, "a raw image of an ext file system", _RAW),
)
_MARKUP = (
    (b"<!doctype html", "an HTML page (a web page)"),
    (b"<html", "an HTML page (a web page)"),
    (b"<?xml", "an XML document"),
    (b"{", "a text file, perhaps JSON"),
)
_VHD_COOKIE = b"conectix"
_DIFFERENCING = (4).to_bytes(4, "big")
# Where the footer of a VHD, and its copy in front, has the type of the disk.
_TYPE = slice(60, 64)
_TEXT = frozenset(range(0x20, 0x7F)) | set(b"\t\r\n\f")
# Bytes of text that make a file text: fewer are printable by chance in a short file.
_ENOUGH = 64


def is_vhd(page: bytes, tail: bytes) -> bool:
    """Whether a file with this front and this end begins or ends as a VHD of version 1 does, damaged or not.

    The footer of Virtual PC before 2004 is a byte shorter than the sector.
    """
    return any(part.startswith(_VHD_COOKIE) for part in (page, tail, tail[1:]))


def container_in(page: bytes) -> str | None:
    """Which other program's image begins with these bytes; None for a raw disk and for all else."""
    kind = _kind_of(page)
    return kind.name if kind and kind.is_image else None


def may_be_raw(page: bytes) -> bool:
    """Whether a file with this front may be a disk as it is: it begins as a disk does, or as nothing that is known."""
    kind = _kind_of(page)
    if not page or SIGNATURE in page:
        return False
    return kind.advice is _RAW or kind.name == _ISO if kind else _by_content(page)[1] is not _AGAIN


def is_archive(page: bytes) -> bool:
    """Whether the front of an archive begins with these bytes."""
    kind = _kind_of(page)
    return kind is not None and kind.is_archive


def instead_of_vhdx(page: bytes, tail: bytes) -> tuple[str, str]:
    """What a file with this front and this end is, as in "it is a ZIP archive", and what to do with it.

    Never a byte of the content: see above.
    """
    if page.startswith(_VHD_COOKIE) and page[_TYPE] == _DIFFERENCING:
        return "it is a checkpoint of a VHD (version 1) chain", _VHD_CHILD
    kind = _kind_of(page)
    if (begin := page.find(b"vhdxfile")) > 0 and not (kind and kind.is_archive):
        cut = f"cut off what is in front (`tail -c +{begin + 1} FILE > NEW.vhdx`)"
        return (
            f"a VHDX begins at byte {begin} of it",
            f"{cut}, or have `vhdx recover FILE -o disk.raw` read it from there",
        )
    if kind and kind.is_image:
        return f"it is {kind.name}", kind.advice
    if tail.startswith(_VHD_COOKIE):
        return "it is a fixed VHD (version 1) disk", _VHD
    if kind:
        return f"it is {kind.name}", kind.advice
    return _by_content(page)


def _kind_of(page: bytes) -> Lookalike | None:
    return next((kind for kind in _KINDS if page[kind.at : kind.at + len(kind.magic)] == kind.magic), None)


def _by_content(page: bytes) -> tuple[str, str]:
    """What a file without magic bytes is, and what to do with it."""
    front, head = page.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower(), page[:4096].rstrip(b"\0")
    markup = next((name for mark, name in _MARKUP if front.startswith(mark)), None)
    if markup:
        return f"it is {markup}", _AGAIN
    if len(head) >= _ENOUGH and _TEXT.issuperset(head):
        return "it is a text file, no virtual disk", _AGAIN
    if not page:
        return "it is empty", "get a whole copy of the file"
    if not any(page):
        return "it begins with zeros", _ZEROS
    advice = "if it is one, its front is damaged: try `vhdx recover FILE -o disk.raw`"
    return "it begins like no virtual disk that is known", f"{_OTHER}; {advice}"
