"""What a file is that is no VHDX, by its ends.

Of what people hand in for a VHDX names are given, never content: a locator may point at any file of this machine, and
what is in there stays there.
"""

import codecs
from typing import NamedTuple
from unicodedata import category

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
_UNLOCK = "decrypt it first"
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
        return self.name.endswith("archive") or self.name.startswith("packed")


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
    Lookalike(b"QED\x00", 0, "a QED image", _BY_QEMU, is_image=True),
    Lookalike(b"WithoutFreeSpace", 0, "a Parallels image", _BY_QEMU, is_image=True),
    Lookalike(b"WithouFreSpacExt", 0, "a Parallels image", _BY_QEMU, is_image=True),
    Lookalike(b"EVF2\x0d\x0a\x81\x00", 0, "an Ex01 (EWF2) image", "write it out raw first", is_image=True),
    Lookalike(b"PK\x03\x04", 0, "a ZIP archive", "unpack it first"),
    Lookalike(b"PK\x05\x06", 0, "an empty ZIP archive", _AGAIN),
    Lookalike(b"PK\x07\x08", 0, "a part of a ZIP archive", "unpack all of its parts first"),
    Lookalike(b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first"),
    Lookalike(b"\xfd7zXZ\x00", 0, "an xz archive", "unpack it first with `xz -dk`"),
    Lookalike(b"\x1f\x8b", 0, "a gzip archive", "unpack it first"),
    Lookalike(b"BZh", 0, "a bzip2 archive", "unpack it first"),
    Lookalike(b"\x04\x22\x4d\x18", 0, "packed by lz4", "unpack it first, with `lz4 -d`"),
    Lookalike(b"Rar!\x1a\x07", 0, "a RAR archive", "unpack it first"),
    Lookalike(b"ustar", 257, "a tar archive", "unpack it first with `tar -xf`"),
    Lookalike(b"MSCF", 0, "a cabinet archive", "unpack it first"),
    Lookalike(b"MSWIM\x00\x00\x00", 0, "a WIM (Windows imaging) archive", "extract an image of it, with `wimapply`"),
    Lookalike(b"Salted__", 0, "a file encrypted by OpenSSL", _UNLOCK),
    Lookalike(b"age-encryption.org/", 0, "a file encrypted by age", _UNLOCK),
    Lookalike(b"-----BEGIN PGP MESSAGE-----", 0, "a file encrypted by PGP", _UNLOCK),
    Lookalike(b"CD001", 32769, _ISO, _OTHER),
    Lookalike(b"BEA01", 32769, "a UDF image", _OTHER),
    Lookalike(b"%PDF-", 0, "a PDF document", _OTHER),
    Lookalike(b"\x89PNG", 0, "a PNG picture", _OTHER),
    Lookalike(b"\xff\xd8\xff", 0, "a JPEG picture", _OTHER),
    Lookalike(b"GIF8", 0, "a GIF picture", _OTHER),
    Lookalike(b"ftyp", 4, "a video, MP4 or its like", _OTHER),
    Lookalike(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an OLE file (an Office document, an MSI package)", _OTHER),
    Lookalike(b"SQLite format 3\x00", 0, "an SQLite database", _OTHER),
    Lookalike(b"\xef\xcd\xab\x89", 4, "an ESE database", _OTHER),
    Lookalike(b"ElfFile\x00", 0, "a Windows event log", _OTHER),
    Lookalike(b"regf", 0, "a hive of Windows' registry", _OTHER),
    Lookalike(b"\x7fELF", 0, "a program", _OTHER),
    Lookalike(b"This program cannot be run in DOS mode", 78, "a Windows program", _OTHER),
    Lookalike(b"LUKS\xba\xbe", 0, "a raw image of a LUKS volume", _RAW),
    Lookalike(b"-FVE-FS-", 3, "a raw image of a BitLocker volume", _RAW),
    Lookalike(b"LABELONE", 512, "a raw image of an LVM physical volume", _RAW),
    Lookalike(b"XFSB", 0, "a raw image of an XFS file system", _RAW),
    Lookalike(b"EFI PART", 512, "a raw disk image with a GPT", _RAW),
    Lookalike(b"EFI PART", 4096, "a raw disk image with a GPT in sectors of 4096 bytes", _RAW),
    Lookalike(b"\x55\xaa", 510, "a raw disk image with a boot sector", _RAW),
    Lookalike(b"\x53\xef", 1080, "a raw image of an ext file system", _RAW),
)
_MARKUP = (
    ("<!doctype html", "an HTML page (a web page)"),
    ("<html", "an HTML page (a web page)"),
    ("<?xml", "an XML document"),
    ("{", "a text file, perhaps JSON"),
)
_VHDX = b"vhdxfile"
_VHD_COOKIE = b"conectix"
_DIFFERENCING = (4).to_bytes(4, "big")
# Where the footer of a VHD, and its copy in front, has the type of the disk.
_TYPE = slice(60, 64)
_LAYOUT_OF_TEXT = str.maketrans("", "", "\t\r\n\f\ufeff")
_SMALLEST = 512
_NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
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
    if not page or _VHDX in page:
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
    if (begin := page.find(_VHDX)) > 0 and not (kind and kind.is_archive):
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
    codec = next((codec for mark, codec in _MARKS if page.startswith(mark)), "utf-8")
    text = _text_in(page[:4096], codec)
    front = (text or "").lstrip("\ufeff \t\r\n\f")[:32].lower()
    markup = next((name for mark, name in _MARKUP if front.startswith(mark)), None)
    if markup:
        return f"it is {markup}", _AGAIN
    if text is not None and len(text) >= (_ENOUGH if codec == "utf-8" else 1):
        return "it is a text file, no virtual disk", _AGAIN
    if not page:
        return "it is empty", "get a whole copy of the file"
    if any(page) and len(page) <= _SMALLEST:
        return f"it has {len(page)} bytes, and no disk is so small", "get a whole copy of the file"
    if not any(page):
        return "it begins with zeros", _ZEROS
    advice = "if it is one, its front is damaged: try `vhdx recover FILE -o disk.raw`"
    return "it begins like no virtual disk that is known", f"{_OTHER}; {advice}"


def _text_in(page: bytes, codec: str) -> str | None:
    """The front of a file as text; None where it holds what no text does.

    A page may end within a character. Text of old Windows programs is taken for its plain letters: no noise has
    three of them in four bytes.
    """
    head = page.rstrip(b"\0")
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        plain = bytes(filter(range(0x80).__contains__, head))
        if 4 * len(plain) < 3 * len(head):
            return None
        text = plain.decode()
    return None if any(category(character) in _NO_TEXT for character in text.translate(_LAYOUT_OF_TEXT)) else text
