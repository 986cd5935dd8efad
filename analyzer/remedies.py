"""What to do next, as a command that can be pasted: quoted for this system's shell, with the file's own name."""

import re
from dataclasses import replace
from pathlib import Path

from vhdx.catalogue import remedy_of
from vhdx.errors import CorruptFileError, VhdxError
from vhdx.findings import Finding
from vhdx.system.shell import shell_command

__all__ = ["describe_error", "next_step", "shell_command"]

_COMMAND = re.compile(r"`[^`]+`")


def next_step(finding: Finding, leaf: Path | None = None) -> str:
    """What to do about a finding; its commands name the file that it is about, and that file's folder.

    `leaf` is the file of whose chain that one is a layer: to recover the layer alone would leave out all above it.
    """
    text = remedy_of(finding)
    path = finding.path
    if path is None:
        return text
    if leaf is not None and leaf != path:
        text = text.replace("vhdx recover FILE", f"vhdx recover {shell_command([str(leaf)])} FILE")
    names = dict.fromkeys(("FILE", "LEAF", "CHILD"), shell_command([str(path)])) | {
        "DIR": shell_command([str(path.parent)])
    }
    words = re.compile(rf"\b({'|'.join(names)})\b(?!\.\.\.)")
    return _COMMAND.sub(lambda command: words.sub(lambda word: names[word[1]], command[0]), text)


def describe_error(error: VhdxError) -> str:
    """An error as one sentence for people; of a broken rule with what the catalogue advises, as `next_step` has it."""
    if not isinstance(error, CorruptFileError):
        return str(error)
    step = next_step(replace(error.finding, path=error.path), error.leaf)
    return f"{error.summary}; {step[:1].lower()}{step[1:].removesuffix('.')}"
