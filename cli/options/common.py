"""Options of click as fields of typed records, and the types and options that many commands share."""

import math
import re
from collections.abc import Callable
from dataclasses import field, fields
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin
from uuid import UUID

import click

from cli import output
from cli.text import safe
from vhdx.sink import Existing
from vhdx.system.shell import expanded

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Declared = Any
"""The field of a record, to dataclasses a value of whatever type the field has."""
_CLICK = "click"


def option(help: str, *flags: str, **attributes: Any) -> Declared:  # noqa: A002 - click's own word
    """A field of a record that an option gives, of the field's name unless `flags` are given.

    What click is to know follows from the field's type: a bool is a flag, a path is not looked at, an enum is one of
    its values, a tuple of these is an option that may be repeated. `attributes`, those of `click.option`, win.
    """
    return field(metadata={_CLICK: (flags, {"help": help} | attributes)})


def choice(on: Enum, help: str, *flags: str, **attributes: Any) -> Declared:  # noqa: A002 - click's own word
    """A field that a flag gives, a member of an enum: `on` where the flag is given, else the enum's first other one."""
    off = next(member for member in type(on) if member is not on)

    def member(_context: click.Context, _parameter: click.Parameter, given: bool) -> Enum:
        return on if given else off

    return option(help, *flags, **{"type": bool, "is_flag": True, "callback": member} | attributes)


def _known_by_type(kind: Any) -> dict[str, Any]:
    """What click is to know of the parameter that gives a field of this type."""
    if get_origin(kind) is tuple:
        return _known_by_type(get_args(kind)[0]) | {"multiple": True}
    first = (get_args(kind) or [kind])[0]  # of `Path | None` the path
    if isinstance(first, type) and issubclass(first, Enum):
        return {"type": OneOf(first)}
    if first is bool:
        return {"is_flag": True}
    return {"type": FILE_PATH} if first is Path else {}


class InSection(click.Option):
    """An option that the help shows under a heading of its own, behind all others."""

    def __init__(self, *args: Any, section: str, **attributes: Any) -> None:
        """`section` is that heading."""
        super().__init__(*args, **attributes)
        self.section = section


def grouped(name: str, kind: type, **words: str) -> Callable[[Decorated], Decorated]:
    """A decorator: a command gets the options that the fields of the dataclass `kind` declare as one argument `name`.

    A field that declares none is given by another parameter of the command, or keeps its default. `words` fill the
    places in helps that differ between commands.
    """
    own = fields(kind)

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def gather(*args: Any, **given: Any) -> Any:
            values = {one.name: given.pop(one.name) for one in own if one.name in given}
            return function(*args, **{name: kind(**values)}, **given)

        decorated: Callable[..., Any] = gather
        # a decorator applied later is listed earlier: help follows the fields
        for one in reversed([one for one in own if _CLICK in one.metadata]):
            names, attributes = one.metadata[_CLICK]
            known = _known_by_type(one.type) | attributes | {"help": attributes["help"].format(**words)}
            decorated = click.option(*names or [f"--{one.name.replace('_', '-')}"], one.name, **known)(decorated)
        return decorated  # type: ignore[return-value]  # the same function, but for the group

    return decorate


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A value of a type that `parse` makes of text; a ValueError says behind the text what is wrong with it."""

    def __init__(self, name: str, kind: Any, parse: Callable[[str], Any]) -> None:
        """`name` is what the help shows for the value."""
        self.name, self._kind, self._parse = name, kind, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; a default may be one already."""
        if isinstance(value, self._kind):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{safe(repr(value))} {error}", param, ctx)


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic in the newest click alone
    """A member of an enum, by its value."""

    def __init__(self, kind: type[Enum]) -> None:
        """Any member of `kind`."""
        super().__init__([member.value for member in kind])
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Enum:
        """The member."""
        return value if isinstance(value, self._kind) else self._kind(super().convert(value, param, ctx))


FILE_PATH = click.Path(path_type=Path, readable=False)
"""A path that click does not look at: what is wrong with it, the library says, with the right exit code."""
STDOUT = Path("-")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def expand_patterns(_context: click.Context, _parameter: click.Parameter, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files that an argument means, patterns as the shell would have them where the shell leaves that to us."""
    return tuple(expanded(paths))


def parse_bytes(text: str) -> int:
    """The bytes that a size means, such as 127G; raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError("is not a size; write 4096, 64M, 1.5G or 2T")
    amount = float(match[1]) * _UNITS[match[2].upper()]
    if amount != int(amount):
        raise ValueError("is not a whole number of bytes")
    return int(amount)


BYTE_SIZE = Parsed("size", int, parse_bytes)
"""A number of bytes: 4096, 64M, 1.5G, 2TiB."""


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None:
        raise ValueError("is not a time; write 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


DURATION = Parsed("time", float, _seconds)
"""A time in seconds: 90s, 30m, 2h."""


def _log_moment(text: str) -> int | UUID:
    text = text.strip()
    try:
        # int() takes `1_000`, and digits of any script
        return int(text) if text.isascii() and text.isdigit() else UUID(text)
    except ValueError:
        raise ValueError("is neither a log entry's number nor a log_guid; see `vhdx history`") from None


LOG_MOMENT = Parsed("moment", int | UUID, _log_moment)
"""A moment of a file's log: the number of an entry, or the log_guid of a session."""


class Number(click.FloatRange):
    """A number; nan and inf are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def kept_option(flag: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """An option that is no argument of its command: it is kept with the command's context, in `meta`, under `flag`."""

    def keep(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        ctx.meta[flag] = value

    return click.option(flag, expose_value=False, callback=keep, **attributes)


json_option = kept_option(output.JSON, is_flag=True, help="Write the result to stdout as JSON.")
"""`--json`, for `output.is_json` and what prints answers."""


def force_option(what: str) -> Declared:
    """`--force`: Existing.REPLACE where it is given."""
    return choice(Existing.REPLACE, f"Replace {what} if it exists.", "--force")


def refuse_stdout(out: Path | None) -> None:
    """A VHDX is not written front to back: `-`, which means stdout, cannot take one."""
    if out == STDOUT:
        raise click.UsageError("stdout takes a raw image alone, from `vhdx convert`; name a file.")


def output_argument(function: Decorated) -> Decorated:
    """What a command writes, as its argument `out`: the last positional one, or the value of `-o`."""

    @wraps(function)
    def named(*args: Any, out: Path | None, **given: Any) -> Any:
        if out is None:
            raise click.UsageError("name the output, as OUT or with -o OUT.")
        return function(*args, out=out, **given)

    return optional_output(named)  # type: ignore[return-value]  # the same function, but for what it is given


def optional_output(function: Decorated) -> Decorated:
    """As `output_argument`, for a command that may write no new file: None where none is named."""

    @wraps(function)
    def named(*args: Any, out: Path | None, named_out: Path | None, **given: Any) -> Any:
        if out is not None and named_out is not None:
            raise click.UsageError("OUT and -o name the output twice: leave one out.")
        return function(*args, out=out or named_out, **given)

    decorated = _named_output(named)
    return click.argument("out", type=FILE_PATH, required=False)(decorated)  # type: ignore[return-value]


def disks_and_output(function: Decorated) -> Decorated:
    """What a command reads and what it writes, as `disks` and `out`: the last argument, or the value of `-o`.

    Of several disks the output is a folder.
    """

    @wraps(function)
    def named(*args: Any, words: tuple[str, ...], named_out: Path | None, **given: Any) -> Any:
        disks, out = last_or_named(words, named_out, "OUT")
        if len(disks) > 1 and not out.is_dir():
            more = "; or OUT and -o name the output twice: leave one out" if named_out else ""
            raise click.UsageError(f"several disks go into a folder, and {safe(out)} is none{more}.")
        return function(*args, disks=disks, out=out, **given)

    words = click.argument("words", nargs=-1, required=True, metavar="DISK... OUT")
    return words(_named_output(named))  # type: ignore[return-value]


def last_or_named(words: tuple[str, ...], named_out: Path | None, out: str) -> tuple[tuple[str, ...], Path]:
    """What is read, and what is written: the value of `-o`, else the last word. Raises UsageError for a lone one."""
    given, target = (words[:-1], Path(words[-1])) if named_out is None else (words, named_out)
    if not given:
        raise click.UsageError(f"name the output, as {out} or with -o {out}.")
    return given, target


def _named_output(function: Callable[..., Any]) -> Callable[..., Any]:
    text = "The same as OUT. A folder gets a file named after the source."
    return click.option("-o", "--output", "named_out", type=FILE_PATH, metavar="OUT", help=text)(function)


def file_in(out: Path, source: Path, ending: str) -> Path:
    """`out`, or where that is a folder a file in it, named after `source`; raises UsageError for `.`, `..` and `/`."""
    if not out.is_dir():
        return out
    inside = out / f"{source.stem}{ending}"
    # A folder that is named is meant. Without a name it is more often a slip, and a disk would land beside the sources.
    if out.name in {"", ".."}:
        raise click.UsageError(f"{safe(out)} is a folder; name the file, such as {safe(inside)}.")
    return inside
