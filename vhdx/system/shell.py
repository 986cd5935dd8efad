"""Command lines: words quoted for this system's shell, a command of the user's split, and patterns of file names."""

import glob
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vhdx.system import windows

# What neither cmd nor PowerShell sees anything in. A comma or an @ makes PowerShell see a list.
_PLAIN = re.compile(r"[\w.:\\/-]+")
# What PowerShell sees in double quotes, the curly ones among them, and % in which cmd sees a variable.
_SEEN = '$`"\u201c\u201d\u201e%'


def shell_command(words: Sequence[str]) -> str:
    """Words quoted for this system's shell, controls in names as escapes: what is shown can be pasted."""
    return " ".join(map(_for_windows if windows.HERE else _for_posix, words))


def _for_posix(word: str) -> str:
    """A word as every shell of POSIX takes it: dash and fish know no `$'...'`."""
    if word.isprintable():
        return shlex.quote(word)
    whole = os.fsencode(word)
    bare = whole.rstrip(b"\n")  # which a shell cuts off what a command prints: these stand as they are
    ends = "\n" * (len(whole) - len(bare))
    return f"\"$(printf %b '{''.join(map(_escape, bare))}')\"{ends and shlex.quote(ends)}"


def _escape(byte: int) -> str:
    character = chr(byte)
    plain = character.isascii() and character.isprintable() and character not in "'\"!\\"
    return character if plain else f"\\0{byte:03o}"


def _for_windows(word: str) -> str:
    r"""A word as cmd and PowerShell both take it; what only one of them could take is as PowerShell takes it.

    In cmd such a name leads nowhere, and never to another command: inside double quotes it sees `%` alone.
    A `\` before the closing quote would take the quote with it.
    """
    if _PLAIN.fullmatch(word) and word.isprintable():
        return word
    shown = "".join(_in_quotes(character) for character in word)
    closing = shown[len(shown.rstrip("\\")) :]
    return f'"{shown}{closing}"'


def _in_quotes(character: str) -> str:
    if character == "%" or not character.isprintable():
        return f"$([char]{ord(character)})"
    return f"`{character}" if character in _SEEN else character


def split_command(command: str) -> str | list[str]:
    r"""A command that a user wrote, as subprocess takes it: on Windows whole, for a `\` is in every path there."""
    return command if windows.HERE else shlex.split(command)


def expanded(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that patterns mean, on Windows, where no shell expands them; a file of that very name comes first.

    Only `*` and `?` are patterns: `vm[1].vhdx` is a common name. A pattern that nothing fits stays as it is.
    """
    for path in paths:
        text = str(path)
        is_pattern = windows.HERE and not text.startswith("\\\\?\\") and re.search(r"[*?]", text)
        found = [] if not is_pattern or os.path.lexists(text) else glob.glob(re.sub(r"\[", "[[]", text))  # noqa: PTH207
        yield from map(Path, sorted(found)) if found else [path]
