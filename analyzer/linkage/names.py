"""What a file of a disk was called, whatever a program has put behind that since."""

import re
from pathlib import Path

from vhdx.source import ByteSource, read_if_possible
from vhdx.structures.constants import HEADER_AREA_SIZE
from vhdx.structures.lookalikes import FRONT_SIZE, is_archive

# `disk.vhdx.locked`, `disk.vhdx.id-7F3A.[mail].ext`: ransomware, downloads and copying programs put theirs behind.
_OWN = re.compile(r".+\.(?:a?vhdx|vhds|a?vhd)(?=\.|$)", re.IGNORECASE | re.DOTALL)


def own_name(path: Path) -> str:
    """The name up to the ending of a virtual disk; the whole name where it has none."""
    found = _OWN.match(path.name)
    return found[0] if found else path.name


def may_be_renamed(source: ByteSource) -> bool:
    """Whether a file with more behind its own name may be a disk: it is as large as one, and no archive."""
    return source.size >= HEADER_AREA_SIZE and not is_archive(read_if_possible(source, 0, FRONT_SIZE))


def own_ending(path: Path) -> str:
    """The ending of that, in small letters, with its dot."""
    return Path(own_name(path)).suffix.lower()
