"""Names of restore points: they become names of objects on places of every kind, so little is allowed."""

import re
from collections.abc import Callable
from datetime import datetime

from analyzer.backup.errors import PointNameError

# With the longest suffix of an object it stays far below the 255 bytes that most file systems take.
_LONGEST = 100
# No separator, no space, nothing that a shell or a URL treats specially, and no leading dot or dash.
_ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]*")
# What Windows takes for devices, whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def is_name(text: str) -> bool:
    """Whether a text may name a restore point."""
    plain = _ALLOWED.fullmatch(text) and len(text) <= _LONGEST and not text.endswith(".")
    return bool(plain) and not _RESERVED.fullmatch(text)


def require_name(text: str) -> str:
    """The text itself; raises PointNameError when no restore point may be called so."""
    if not is_name(text):
        advice = f"use up to {_LONGEST} letters, digits and . _ + @ -, the first of them a letter or digit"
        raise PointNameError(text, advice)
    return text


def name_for(stem: str, moment: datetime, is_taken: Callable[[str], bool]) -> str:
    """A name of its own for the state of a file called `stem`: what is not allowed becomes `_`."""
    clean = re.sub(r"[^A-Za-z0-9._+@-]", "_", stem).lstrip(".+@-")[:60].rstrip(".") or "disk"
    first = f"{clean}-{moment:%Y%m%dT%H%M%SZ}"
    if _RESERVED.fullmatch(first):
        first = f"_{first}"
    name, number = first, 2
    while is_taken(name):
        name, number = f"{first}-{number}", number + 1
    return name
