"""Where the passphrase of a repository comes from. Never from the command line, which other users see."""

import codecs
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from cli.options.common import FILE_PATH, Decorated, kept_option
from vhdx.system.console import is_terminal
from vhdx.system.shell import split_command

VARIABLE = "VHDX_PASSPHRASE"
KNOWN = " passphrase"
"""Under which a command's context keeps the passphrase of its repository, once it was asked for."""
_PROMPTS = {"": "Passphrase", "to": "Passphrase of the other repository", "new": "New passphrase"}


def passphrase_options(kind: str = "", of: str = "the passphrase") -> Callable[[Decorated], Decorated]:
    """Where a passphrase comes from, for `Passphrase`: `kind` is what its options and variables begin with."""
    names = _Names.of(kind)
    text = f"File whose first line is {of}. Default: {names.variable}_FILE, {names.variable}, or you are asked."
    program = kept_option(names.command, metavar="COMMAND", help=f"Command that prints {of}, run without a shell.")
    file = kept_option(names.file, type=FILE_PATH, metavar="FILE", help=text)
    return lambda function: file(program(function))


class _Names(NamedTuple):
    """What a passphrase is given by."""

    file: str
    command: str
    variable: str

    @classmethod
    def of(cls, kind: str) -> "_Names":
        """Those of a kind."""
        flag = f"--{kind}-passphrase" if kind else "--passphrase"
        return cls(f"{flag}-file", f"{flag}-command", VARIABLE.replace("_", f"_{kind.upper()}_" if kind else "_"))


class Passphrase:
    """The passphrase, fetched when it is asked for."""

    def __init__(self, ctx: click.Context, kind: str = "") -> None:
        """As the command's options say; raises UsageError when both are given."""
        self._context, self._kind, self._names = ctx, kind, _Names.of(kind)
        self._file: Path | None = ctx.meta.get(self._names.file)
        self._command: str | None = ctx.meta.get(self._names.command)
        if self._file and self._command:
            raise click.UsageError(f"{self._names.file} and {self._names.command} exclude each other.")
        if not (self._file or self._command):
            named = os.environ.get(f"{self._names.variable}_FILE")
            self._file = Path(named) if named else None
            self._command = None if named else os.environ.get(f"{self._names.variable}_COMMAND")

    @property
    def is_given(self) -> bool:
        """Whether there is one without asking."""
        known = self._context.meta.get(f"{self._kind}{KNOWN}")
        return bool(known or self._file or self._command or os.environ.get(self._names.variable))

    def __call__(self) -> str:
        """The passphrase of a repository that exists."""
        return self._fetched(twice=False)

    def new(self) -> str:
        """The passphrase of a repository to be: typed twice when it is typed."""
        return self._fetched(twice=True)

    def _fetched(self, *, twice: bool) -> str:
        """Asked for once: processes that this one starts are told what it was."""
        known = self._context.meta.get(f"{self._kind}{KNOWN}")
        text = str(known) if known is not None else self._asked(twice=twice)
        self._context.meta[f"{self._kind}{KNOWN}"] = text
        return text

    def _asked(self, *, twice: bool) -> str:
        if self._file:
            return _first_line(_read(self._file), f"{self._file} is empty")
        if self._command:
            words = self._names.command
            return _first_line(_output(self._command, words), f"{words} printed nothing")
        if given := os.environ.get(self._names.variable):
            return given
        if not is_terminal(sys.stdin):
            raise click.UsageError(
                f"An encrypted repository needs a passphrase: give it by {self._names.file}, {self._names.command} or "
                f"{self._names.variable} in the environment."
            )
        # err: stdout may be the restored disk
        return str(click.prompt(_PROMPTS[self._kind], hide_input=True, confirmation_prompt=twice, err=True))


def _first_line(text: str, otherwise: str) -> str:
    line = text.split("\n", 1)[0].removesuffix("\r")  # no strip(): a passphrase may end with a space
    if not line:
        raise click.UsageError(f"{otherwise}: there is no passphrase.")
    return line


def _read(path: Path) -> str:
    try:
        return _decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise click.UsageError(f"The passphrase cannot be read from {path}: {reason}.") from error


def _output(command: str, flag: str) -> str:
    try:
        words = split_command(command)
        done = subprocess.run(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - the user's own command
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{flag} cannot be run: {error}.") from error
    if done.returncode:
        raise click.UsageError(f"{flag} ended with exit code {done.returncode}.")
    return _decoded(done.stdout, "replace")


def _decoded(data: bytes, errors: str = "strict") -> str:
    """Text that some program wrote: UTF-8, or what its first bytes say, as `>` of PowerShell 5 writes them."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors)
    return data.decode("utf-8-sig", errors)
