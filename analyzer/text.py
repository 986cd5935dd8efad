"""Text for people: sizes, counts, and names that cannot harm what shows them."""

import unicodedata

_STEP = 1024
_VOWELS = set("aeiou")
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
# Letters, marks and the like can be shown; controls, format characters (which can reverse a line) and lone
# surrogates are shown as what they are.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


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


def _several(what: str) -> str:
    if what.endswith("y") and what[-2:-1] not in _VOWELS:
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith(("s", "x", "ch", "sh")) else f"{what}s"
