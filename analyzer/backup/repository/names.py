"""What a restore point may be called: letters of any script; and what its objects are called, which is ASCII."""

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime

from analyzer.backup.errors import PointNameError

POINTS = "points"
# With the longest suffix of an object it stays below the 255 bytes that most file systems take, however it is encoded.
_LONGEST, _LONGEST_STORED, _LONGEST_STEM = 100, 200, 60
# No separator, no space, nothing that a shell or a URL treats specially, and no leading dot or dash.
_MARKS = frozenset("._+@-")
# What Windows takes for devices, whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ESCAPED = re.compile("(?:=[0-9A-F]{2})+")
# What Hyper-V appends to a disk's name for each checkpoint (automatic ones too): the next leaf is the same disk.
OF_CHECKPOINT = re.compile(r"_([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
LATEST = "latest"
"""Stands for the newest restore point, so that none is called so."""


def is_name(text: str) -> bool:
    """Whether a text may name a restore point."""
    plain = text[:1].isalnum() or text.startswith("_")
    plain = plain and all(_is_letter(one) or one in _MARKS for one in text) and not text.endswith(".")
    short = len(text) <= _LONGEST and len(stored_name(text)) <= _LONGEST_STORED
    return plain and short and unicodedata.is_normalized("NFC", text) and not _RESERVED.fullmatch(text)


def _is_letter(one: str) -> bool:
    # Marks too: many scripts write vowels, and decomposed letters accents, as such.
    return one == "_" or unicodedata.category(one)[0] in "LMN"


def require_name(text: str) -> str:
    """The text, its accents composed; raises PointNameError when no restore point may be called so."""
    name = normalised(text)
    if not is_name(name) or name == LATEST:
        advice = f"use up to {_LONGEST} letters, digits and . _ + @ -, the first of them a letter or digit"
        raise PointNameError(text, advice if name != LATEST else "it stands for the newest one; choose another")
    return name


def normalised(text: str) -> str:
    """The text with composed accents: keyboards and systems differ in that."""
    return unicodedata.normalize("NFC", text)


def stored_name(name: str) -> str:
    """The name in ASCII, as objects have it: every other letter is =XX for each byte of its UTF-8."""
    return "".join(one if one.isascii() else "".join(f"={byte:02X}" for byte in _utf8(one)) for one in name)


def _utf8(letter: str) -> bytes:
    return letter.encode("utf-8", "surrogatepass")  # a lone surrogate is no letter: `is_name` says so


def name_in(stored: str) -> str | None:
    """The name of the restore point whose objects are called so; None where no point's are."""
    try:
        name = _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("=", "")).decode("utf-8"), stored)
    except UnicodeDecodeError:
        return None
    return name if is_name(name) and stored_name(name) == stored else None


def index_object(name: str) -> str:
    """The name of an index's object."""
    return f"{POINTS}/{stored_name(name)}.caibx"


def manifest_object(name: str) -> str:
    """The name of a manifest's object."""
    return f"{POINTS}/{stored_name(name)}.json"


def name_for(stem: str, moment: datetime, is_taken: Callable[[str], bool]) -> str:
    """A name of its own for the state of a file called `stem`: what is not allowed becomes `_`.

    Of the GUID that Hyper-V appends for a checkpoint, the first digits are kept: names are typed.
    """
    short = OF_CHECKPOINT.sub(r"_\1", normalised(stem))
    clean = "".join(one if _is_letter(one) or one in _MARKS else "_" for one in short)
    clean = clean.lstrip(".+@-")[:_LONGEST_STEM]
    while len(stored_name(clean)) > _LONGEST_STORED - 30:
        clean = clean[:-1]
    clean = clean.rstrip(".") or "disk"
    first = f"{clean if clean[0].isalnum() else f'_{clean}'}-{moment:%Y%m%dT%H%M%SZ}"
    if _RESERVED.fullmatch(first):
        first = f"_{first}"
    name, number = first, 2
    while is_taken(name):
        name, number = f"{first}-{number}", number + 1
    return name
