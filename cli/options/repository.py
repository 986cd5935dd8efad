"""What the commands of `vhdx backup` share: how a repository is named and opened, and how points are shown.

A passphrase never comes from the command line, which other users see.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import ENCRYPTED, Repository, open_repository
from analyzer.backup.storage.open import place_of as place_named
from analyzer.backup.storage.remote_folder import Place
from cli.options.common import FILE_PATH, Decorated
from cli.text import fitted, line_width, plural, safe, say, size

VARIABLE = "VHDX_PASSPHRASE"


def repository_argument(function: Decorated) -> Decorated:
    """REPOSITORY, a folder or URL, as `repository`; and where its passphrase comes from, for `repository_of`."""
    return click.argument("repository")(passphrase_options(function))


def place_of(name: str) -> Place:
    """The place that a command line names, a folder or URL; it is closed when the command ends."""
    place = place_named(name)
    click.get_current_context().call_on_close(place.close)
    return place


def repository_of(name: str) -> Repository:
    """The repository that a command line names, opened, whichever way it is kept."""
    passphrase = Passphrase(click.get_current_context())
    return open_repository(place_of(name), passphrase, must_be=ENCRYPTED if passphrase.is_given else None)


def point_lines(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Restore points, a line each; on a terminal that has no room for it several, broken between what they say."""
    width = line_width()
    lines = ("  ".join(_tied(fact, width) for fact in _facts(manifest)) for manifest in manifests)
    return (line.replace(_TIED, " ") for line in fitted(lines, width))


# Stands for a space at which no line is broken.
_TIED = "\0"


def _tied(fact: str, width: int | None) -> str:
    return fact.replace(" ", _TIED) if width is not None and len(fact) < width else fact


def _facts(manifest: Manifest) -> list[str]:
    facts = [
        manifest.name,
        f"{manifest.created:%Y-%m-%d %H:%M:%S}Z",
        f"disk of {size(manifest.size)}",
        f"layer {manifest.layer} of {safe(manifest.chain[-1].name)}",
    ]
    if manifest.lost:
        facts.append(f"{plural(len(manifest.lost), 'range')} LOST")
    return facts


def warn_of_damaged(names: Iterable[str]) -> None:
    """Warn of restore points whose manifest cannot be read."""
    for name in names:
        say(f"warning: the manifest of {safe(name)} is damaged; `vhdx backup verify` lists the details")


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
        # err: stdout may be the restored disk
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True))


def _first_line(text: str, otherwise: str) -> str:
    line = text.split("\n", 1)[0].removesuffix("\r")  # no strip(): a passphrase may end with a space
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
