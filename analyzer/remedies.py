"""What to do next, as a command that can be pasted: quoted for this system's shell, with the file's own name."""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import replace

from vhdx.catalogue import remedy_of
from vhdx.errors import CorruptFileError, VhdxError
from vhdx.findings import Finding

_COMMAND = re.compile(r"`[^`]+`")


def next_step(finding: Finding) -> str:
    """What to do about a finding; its commands name the file that it is about, and that file's folder."""
    text = remedy_of(finding)
    path = finding.path
    if path is None:
        return text
    names = dict.fromkeys(("FILE", "LEAF", "CHILD"), shell_command([str(path)])) | {
        "DIR": shell_command([str(path.parent)])
    }
    words = re.compile(rf"\b({'|'.join(names)})\b(?!\.\.\.)")
    return _COMMAND.sub(lambda command: words.sub(lambda word: names[word[1]], command[0]), text)


def describe_error(error: VhdxError) -> str:
    """An error as one sentence for people; of a broken rule with what the catalogue advises, as `next_step` has it."""
    if not isinstance(error, CorruptFileError):
        return str(error)
    step = next_step(replace(error.finding, path=error.path))
    return f"{error.summary}; {step[:1].lower()}{step[1:].removesuffix('.')}"


def shell_command(words: Sequence[str]) -> str:
    """Words quoted for this system's shell, controls in names as escapes: what is shown can be pasted."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    data = os.fsencode(word)
    shown = (
        chr(b) if chr(b).isascii() and chr(b).isprintable() and chr(b) not in "'\\" else f"\\x{b:02x}" for b in data
    )
    return f"$'{''.join(shown)}'"
