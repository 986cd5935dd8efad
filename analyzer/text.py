"""Text for people: sizes, counts, and names that cannot harm what shows them."""

import os
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

MOST_LISTED = 5
"""Names that a sentence gives."""
_STEP = 1024
_VOWELS = set("aeiou")
# Columns below which nothing can be read: wider lines are better then.
_NARROWEST = 16
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
# Letters, marks and the like can be shown; controls, format characters (which can reverse a line) and lone
# surrogates are shown as what they are.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class AddressPath(type(Path())):  # type: ignore[misc]  # the system says which class of paths that is
    """What stands for a path where there is none: an address, which is shown as it is, both slashes of its `//` too."""

    address = ""
    """Empty of what is made of another one, as its parent is: a path like any other."""

    def __new__(cls, address: str) -> Self:
        """The path that shows `address`."""
        made: Self = super().__new__(cls, address)
        made.address = address
        return made

    def __str__(self) -> str:
        return self.address or str(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


def named_path(text: str) -> Path:
    """What a text names: a path, or an address."""
    return AddressPath(text) if "://" in text else Path(text)


def path_text(path: Path) -> str:
    """A path as text for programs: a name that is none has bytes that strict readers refuse, shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def version() -> str:
    """The version of the installed distribution."""
    # Loaded here: it brings the email package along, a tenth of a small recovery's processor time.
    from importlib import metadata

    try:
        return metadata.version("vhdx")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def safe(text: object) -> str:
    """The text with everything that a terminal or page would obey, or that would hide, visible as an escape."""
    shown = str(text)
    if shown.isascii() and shown.isprintable():  # most names
        return shown
    return "".join(map(_shown, shown))


def _shown(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else f"\\x{ord(character):02x}"
    if unicodedata.category(character) in _UNSAFE:
        return character.encode("ascii", "backslashreplace").decode()
    return character


def wrapped(text: str, width: int | None, first: str = "", rest: str = "") -> list[str]:
    """The text in lines of `width` columns, which `first` and `rest` begin; one line where `width` is None.

    Lines are broken at spaces alone: paths, options and numbers stay whole, so that they can be copied.
    """
    if width is None:
        return [text]
    lines = textwrap.wrap(text, max(_NARROWEST, width), initial_indent=first, subsequent_indent=rest,
                          break_long_words=False, break_on_hyphens=False)  # fmt: skip
    return lines or [text]


def size(count: int) -> str:
    """Bytes for people: `64 MiB`, with a fraction only where it is not whole."""
    if count < _STEP:
        return plural(count, "byte")
    value, unit = count / _STEP, _UNITS[0]
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"


def exact_size(count: int) -> str:
    """Bytes for people and for machines: `64 MiB (67108864 bytes)`."""
    return size(count) if count < _STEP else f"{size(count)} ({count} bytes)"


def plural(count: int, what: str, one: str = "", many: str = "") -> str:
    """`1 layer`, `3 layers`, `2 entries`; with a verb for one and for many: `1 block has`, `3 blocks have`."""
    verb = one if count == 1 else many
    return f"{count} {what if count == 1 else _several(what)}{' ' if verb else ''}{verb}"


def listed(names: Iterable[object]) -> str:
    """The first of some names, and how many more there are."""
    shown = [*map(str, names)]
    more = f" and {len(shown) - MOST_LISTED} more" if len(shown) > MOST_LISTED else ""
    return f"{', '.join(shown[:MOST_LISTED])}{more}"


def _several(what: str) -> str:
    if what.endswith("y") and what[-2:-1] not in _VOWELS:
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith(("s", "x", "ch", "sh")) else f"{what}s"


def adding_extra(name: str) -> str:
    """How to add an extra to the installation at hand. No index is named, for the project is published on none."""
    return f"reinstall vhdx with its extra `{name}` (from its checkout: pip install '.[{name}]')"
