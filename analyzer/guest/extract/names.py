"""Names that are safe on every system: whatever a guest called its files, none is more than a name in its folder."""

import os
import re
import unicodedata
from hashlib import sha256

from analyzer.guest.filesystems.record import SLASH

MOST_BYTES = 255
"""Of a name, in UTF-8: what every file system takes, and no more units of UTF-16 than Windows does."""
# Left for what makes a name unique, and for the suffixes of files that are being written or partly lost.
_ROOM = MOST_BYTES - 24
_FORBIDDEN = set('<>:"/\\|?*')  # what Windows takes in no name (Microsoft, "Naming Files, Paths, and Namespaces")
# All else of ASCII that can be seen, a dot or a space not at the end: what most names are.
_HARMLESS = re.compile(r"[ !#-)+-.0-9;=@-\[\]-{}~]*[!#-)+,\-0-9;=@-\[\]-{}~]")
# Controls, marks that hide or turn text round, surrogates, nothing.
_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])[ .]*(\..*)?", re.IGNORECASE
)


def safe_name(name: str) -> str:
    """The name with everything that a system would take for more than a name as %XX; the same where nothing is.

    Separators, colons (drives, streams), wildcards, controls, characters that hide or reverse, bytes that are no UTF-8,
    trailing dots and spaces are written as the bytes they are. Names of Windows' devices get an underscore in front,
    names that are too long are cut and get eight digits of the whole name's hash.
    """
    if _HARMLESS.fullmatch(name) and not _DEVICES.fullmatch(name) and len(name) <= _ROOM:
        return name  # as most are
    text = "".join(_encoded(character) if _is_harmful(character) else character for character in name)
    kept = text.rstrip(". ")
    text = (kept + "".join(map(_encoded, text[len(kept) :]))) or "_"
    if _DEVICES.fullmatch(text):
        text = f"_{text}"
    return _cut(text, name)


def folded(name: str) -> str:
    """The same for names that some system takes for the same: case and composition do not count."""
    if name.isascii():
        return name.lower()
    # Twice: folding case can decompose what was composed, and macOS compares composed names.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Names:
    """The names given in one folder: no two that any system takes for the same."""

    def __init__(self) -> None:
        """None is given yet."""
        self._taken: set[str] = set()

    def give(self, name: str) -> str:
        """A safe name for a file, another one for every call."""
        wanted = chosen = safe_name(name)
        number, key = 1, folded(chosen)
        while key in self._taken:
            number += 1
            stem, dot, extension = wanted.rpartition(".") if "." in wanted[1:] else (wanted, "", "")
            chosen = f"{stem}~{number}{dot}{extension}"
            key = folded(chosen)
        self._taken.add(key)
        return chosen


class FaithfulNames(Names):
    """The names given in one folder, kept as they are: only what is no name anywhere is changed, and what is twice."""

    def give(self, name: str) -> str:
        """The name for a file, another one for every call."""
        wanted = "".join(_encoded(letter) if letter in "/\0" or is_no_byte(letter) else letter for letter in name)
        wanted = chosen = wanted if wanted.strip(".") or len(wanted) > len("..") else wanted.replace(".", "%2E") or "_"
        if len(os.fsencode(wanted)) > MOST_BYTES:
            wanted = chosen = _cut(safe_name(wanted), wanted)
        number = 1
        while chosen in self._taken:
            number += 1
            chosen = f"{wanted}~{number}"
        self._taken.add(chosen)
        return chosen


def is_no_byte(letter: str) -> bool:
    """Whether a letter of a name is a surrogate that stands for no byte."""
    return "\ud800" <= letter <= "\udfff" and not "\udc80" <= letter <= "\udcff"


def _is_harmful(character: str) -> bool:
    if character.isascii():
        return character in _FORBIDDEN or not character.isprintable()
    return unicodedata.category(character) in _HARMFUL


def _encoded(character: str) -> str:
    # A surrogate that stands for a byte is that byte; any other is written as if UTF-8 had it.
    handler = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    raw = b"/" if character == SLASH else character.encode("utf-8", handler)
    return "".join(f"%{byte:02X}" for byte in raw)


def _cut(text: str, name: str) -> str:
    if len(text.encode()) <= _ROOM:
        return text
    # The hash is of the whole name, so that two long names with one beginning stay two.
    mark = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, extension = text.rpartition(".")
    if not stem or len(extension.encode()) > 16:  # noqa: PLR2004 - longer ones are none
        stem, dot, extension = text, "", ""
    room = _ROOM - len(f"~{mark}{dot}{extension}".encode())
    head = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return f"{head}~{mark}{dot}{extension}"
