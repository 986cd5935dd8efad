"""Where the passphrase of a repository comes from: never from the command line, which other users see."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.options.common import FILE_PATH

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
VARIABLE = "VHDX_PASSPHRASE"


def passphrase_options(function: Decorated) -> Decorated:
    """`--passphrase-file` and `--passphrase-command`, kept with the context of the command for `Passphrase`."""
    options = (
        click.option("--passphrase-file", type=FILE_PATH, metavar="FILE", expose_value=False, callback=_keep,
                     help=f"File whose first line is the passphrase. Default: {VARIABLE}, or you are asked."),
        click.option("--passphrase-command", metavar="COMMAND", expose_value=False, callback=_keep,
                     help="Command that prints the passphrase, run without a shell."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    ctx.meta[f"{__name__}.{param.name}"] = value


class Passphrase:
    """The passphrase, fetched when it is asked for."""

    def __init__(self, ctx: click.Context) -> None:
        """As the command's options say; raises UsageError when both are given."""
        self._file: Path | None = ctx.meta.get(f"{__name__}.passphrase_file")
        self._command: str | None = ctx.meta.get(f"{__name__}.passphrase_command")
        if self._file and self._command:
            raise click.UsageError("--passphrase-file and --passphrase-command exclude each other.")

    @property
    def is_given(self) -> bool:
        """Whether there is one without asking."""
        return bool(self._file or self._command or os.environ.get(VARIABLE))

    def __call__(self) -> str:
        """The passphrase of a repository that exists."""
        return self._given() or self._asked(twice=False)

    def new(self) -> str:
        """The passphrase of a repository to be: typed twice when it is typed."""
        return self._given() or self._asked(twice=True)

    def _given(self) -> str | None:
        if self._file:
            return _first_line(_read(self._file), f"{self._file} is empty")
        if self._command:
            return _first_line(_output(self._command), "--passphrase-command printed nothing")
        return os.environ.get(VARIABLE)

    def _asked(self, *, twice: bool) -> str:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "An encrypted repository needs a passphrase: give it by --passphrase-file, --passphrase-command or "
                f"{VARIABLE} in the environment."
            )
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))


def _first_line(text: str, otherwise: str) -> str:
    line = text.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise click.UsageError(f"{otherwise}: there is no passphrase.")
    return line


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise click.UsageError(f"The passphrase cannot be read from {path}: {reason}.") from error


def _output(command: str) -> str:
    try:
        words = shlex.split(command)
        done = subprocess.run(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - the user's own command
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--passphrase-command cannot be run: {error}.") from error
    if done.returncode:
        raise click.UsageError(f"--passphrase-command ended with exit code {done.returncode}.")
    return done.stdout.decode("utf-8", "replace")
