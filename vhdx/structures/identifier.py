"""The file type identifier, first 64 KiB of the file ([MS-VHDX] 2.2.1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from construct import Bytes, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import HEADER_AREA_SIZE, IDENTIFIER_OFFSET

SIGNATURE = b"vhdxfile"
CREATOR_SIZE = 512
TAIL_SIZE = 512
"""What a VHD of version 1 keeps its footer in: the end of the file."""
SECTION = "2.2.1"

_LAYOUT = Struct("signature" / Bytes(8), "creator" / Bytes(CREATOR_SIZE))
SIZE = _LAYOUT.sizeof()

# What people hand in instead: magic bytes, their offset, the name, and the way out.
_FROM_RAW = "make a VHDX of it with `qemu-img convert -f raw -O vhdx`"
_RAW = f"it has no parent and nothing to merge: use it as it is, or {_FROM_RAW}"
_ZEROS = (
    "the front is lost or never arrived: get a whole copy of the file, or try `vhdx recover FILE -o disk.raw`; if it "
    f"is a raw image, {_FROM_RAW}"
)
_LOOKALIKES = (
    (b"EFI PART", 512, "a raw disk image with a GPT", _RAW),
    (b"\x55\xaa", 510, "a raw disk image with a boot sector", _RAW),
    (b"\x53\xef", 1080, "a raw image of an ext file system", _RAW),
    (b"version https://git-lfs", 0, "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", 0, "a ZIP archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "unpack it first"),
    (b"\xfd7zXZ\x00", 0, "an xz archive", "unpack it first with `xz -dk`"),
    (b"\x1f\x8b", 0, "a gzip archive", "unpack it first"),
)
_BY_QEMU = "convert it with `qemu-img convert -O vhdx`"
_CONTAINER_MAGIC = (
    (b"conectix", "a VHD (version 1) disk"),
    (b"QFI\xfb", "a qcow2 image"),
    (b"KDMV", "a VMDK image"),
    (b"# Disk DescriptorFile", "a VMDK descriptor"),
    (b"<<< ", "a VirtualBox VDI image"),
    (b"EVF\x09\x0d\x0a\xff\x00", "an E01 (EWF) image"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd"),
    (b"\x5e\x2a\x4d\x18", "packed by zstd"),
)
_CONTAINERS = {name: _BY_QEMU for _, name in _CONTAINER_MAGIC} | {
    "an E01 (EWF) image": "write it out raw first, with `ewfexport`",
    "packed by zstd": "unpack it first, with `zstd -d`",
}
"""Images of disks that are not the disk as it is, and the way out."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """Signature and creator as they stand in the file."""

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
    fields = _LAYOUT.parse(page[:SIZE].ljust(SIZE, b"\0"))
    return Identifier(bytes(fields.signature), bytes(fields.creator))


def build_identifier(identifier: Identifier) -> bytes:
    """The 520 bytes that `parse_identifier` reads back."""
    creator = identifier.creator_raw.ljust(CREATOR_SIZE, b"\0")
    return bytes(_LAYOUT.build({"signature": identifier.signature, "creator": creator}))


def check_identifier(identifier: Identifier, page: bytes, tail: bytes = b"") -> Iterator[Finding]:
    """What is wrong with the identifier; `page` and `tail` are the file's ends, to say what it is instead."""
    if identifier.signature != SIGNATURE:
        what, advice = _instead(page, tail)
        yield Finding("FID-01", Severity.ERROR, f"not a VHDX file: {what}", IDENTIFIER_OFFSET, 8, SECTION, advice)
        return
    if "\ufffd" in identifier.creator:
        yield Finding("FID-03", Severity.NOTE, "the creator is not UTF-16 text", 8, CREATOR_SIZE, SECTION)


def container_in(page: bytes) -> str | None:
    """Which other program's image begins with these bytes; None for a raw disk and for all else."""
    return next((name for magic, name in _CONTAINER_MAGIC if page.startswith(magic)), None)


def check_length(file_size: int) -> Iterator[Finding]:
    """Whether a file of `file_size` bytes can hold its headers."""
    if file_size < HEADER_AREA_SIZE:
        text = f"the file has {file_size} bytes; its headers alone take 1 MiB"
        yield Finding("FID-02", Severity.ERROR, text, file_size, None, "2.2")


def _instead(page: bytes, tail: bytes) -> tuple[str, str]:
    container = container_in(page)
    if container:
        return f"it is {container}", _CONTAINERS[container]
    if tail.startswith(b"conectix"):
        return "it is a fixed VHD (version 1) disk", "convert it with `qemu-img convert -f vpc -O vhdx`"
    for magic, at, what, advice in _LOOKALIKES:
        if page[at : at + len(magic)] == magic:
            return f"it is {what}", advice
    if not page:
        return "it is empty", "get a whole copy of the file"
    if not any(page):
        return "it begins with zeros", _ZEROS
    return (
        f"it begins with {page[:8]!r}",
        "name a .vhdx or .avhdx file; if it is one, its front is damaged: try `vhdx recover FILE -o disk.raw`",
    )
