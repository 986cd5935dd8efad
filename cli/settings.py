"""What options are where the command line leaves them out: by variables, a project's file, the user's file.

Both files are called vhdx.toml. Its tables are called like commands, [check] or [backup.create], its keys like options
without their hyphens in front; what is above all tables is of all commands: docs/configuration.md.
"""

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from cli import loudness

NAME, USER_VARIABLE, REPOSITORY = "vhdx.toml", "VHDX_CONFIG", "VHDX_REPOSITORY"
HARMLESS = frozenset((
    "verbose", "no-progress", "progress", "json", "output-format", "recursive", "block-size", "logical-sector",
    "physical-sector", "chunk-size", "compress", "zstd", "granularity", "content", "hash", "list",
))  # fmt: skip
"""What a project's file may say. That file may have come with somebody else's folder: it decides how answers look and
how files are packed, and never what is read, written, run, replaced, deleted, checked, verified or kept silent."""
# No settings file has as much; a disk that is called so must not be read whole.
_MOST_BYTES = 1 << 16


class Origin(Enum):
    """Where a setting comes from, the strongest last."""

    USER = "user"
    PROJECT = "project"
    VARIABLE = "variable"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: of a command, by its names, or of all, by none."""

    command: tuple[str, ...]
    name: str
    value: Any
    origin: Origin
    place: str
    """The path of the file, or the variable's name."""

    @property
    def key(self) -> str:
        """Its name as `vhdx config` shows it: check.min-severity."""
        return ".".join((*self.command, self.name))


class BadSettingError(click.UsageError):
    """A setting that is none."""

    def __init__(self, setting: Setting, reason: str) -> None:
        super().__init__(f"{setting.place}: {setting.key} {reason}.")
        self.setting = setting


def user_file() -> Path | None:
    """The user's file, whether or not it is there; None where VHDX_CONFIG is set and empty, or no home is known."""
    if USER_VARIABLE in os.environ:
        named = os.environ[USER_VARIABLE]
        return Path(named) if named else None
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA")
    elif sys.platform == "darwin":
        folder = f"{home}/Library/Application Support"
    else:
        folder = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(folder) / "vhdx" / NAME if folder and os.path.isabs(folder) else None  # noqa: PTH117


def project_file() -> Path | None:
    """The nearest file from the working folder upwards; None where there is none, or files are switched off."""
    if os.environ.get(USER_VARIABLE) == "":
        return None
    try:
        here = Path.cwd()
    except OSError:  # it was removed meanwhile
        return None
    found = next((folder / NAME for folder in (here, *here.parents) if _is_file(folder / NAME)), None)
    user = user_file()
    return None if found is None or (user is not None and found == user.absolute()) else found


def all_settings() -> Iterator[Setting]:
    """What both files and the environment say, the weakest first; raises UsageError for a user's file that is none."""
    for origin, path in ((Origin.USER, user_file()), (Origin.PROJECT, project_file())):
        if path is not None and (_is_file(path) or (origin is Origin.USER and USER_VARIABLE in os.environ)):
            try:
                # What is said of a group gives way to what is said of a command.
                yield from sorted(_flat((), _table(path), origin, path), key=lambda one: len(one.command))
            except click.UsageError as error:
                refuse(origin, error)


def repository() -> str:
    """The repository that the environment names, or else the user's file; "" where neither does."""
    if named := os.environ.get(REPOSITORY):
        return named
    found = [one for one in all_settings() if (one.command, one.name) == (("backup",), "repository")]
    texts = [one for one in found if one.origin is Origin.USER and isinstance(one.value, str)]
    if not texts or "://" in texts[-1].value:
        return str(texts[-1].value) if texts else ""
    return str(beside(texts[-1], texts[-1].value))


def is_harmless(setting: Setting) -> bool:
    """Whether it may be said where it is said."""
    return setting.origin is not Origin.PROJECT or setting.name in HARMLESS


def _table(path: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise click.UsageError(f"{path}: a settings file has no more than 64 KiB.")
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise click.UsageError(f"{path}: the settings cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"{path}: this is not TOML: {error}.") from error


def _flat(command: tuple[str, ...], table: Mapping[str, Any], origin: Origin, path: Path) -> Iterator[Setting]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat((*command, name), value, origin, path)
        else:
            yield Setting(command, name, value, origin, str(path))


def beside(setting: Setting, text: object) -> str:
    """A path of a file, from the folder that the file is in."""
    return str(Path(setting.place).absolute().parent / Path(str(text)).expanduser())


def refuse(origin: Origin, error: click.UsageError) -> None:
    """A mistake of the user's ends the command; one of a project's file is said, and passed over."""
    if origin is not Origin.PROJECT:
        raise error
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in error.message)
    loudness.keep(f"warning: {text}")
    if not loudness.is_set(loudness.QUIET):
        click.echo(f"warning: {text}", err=True)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)  # a pipe of that name would never end
    except (OSError, ValueError):
        return False
