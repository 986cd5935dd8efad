"""The file type identifier, first 64 KiB of the file ([MS-VHDX] 2.2.1)."""

from collections.abc import Iterator
from dataclasses import dataclass

from construct import Bytes, Struct

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import HEADER_AREA_SIZE, IDENTIFIER_OFFSET
from vhdx.structures.fields import parsed
from vhdx.structures.lookalikes import instead_of_vhdx

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
