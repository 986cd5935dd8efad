"""Options of click as fields of typed records, and the types and options that many commands share."""

import math
import re
from collections.abc import Callable
from dataclasses import field, fields
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from cli.text import safe
from vhdx.sink import Existing

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Declared = Any
"""The field of a record, to dataclasses a value of whatever type the field has."""
_CLICK = "click"


def option(*flags: str, **attributes: Any) -> Declared:
    """A field of a record that an option gives; `flags` and `attributes` are those of `click.option`."""
    return field(metadata={_CLICK: [(click.option, flags, attributes)]})


def argument(**attributes: Any) -> Declared:
    """A field of a record that an argument gives; `attributes` are those of `click.argument`."""
    return field(metadata={_CLICK: [(click.argument, (), attributes)]})


def flags(**helps: str) -> Declared:
    """A field that several flags give: the name of the last one on the command line, or None."""
    declared = [(click.option, (f"--{name}",), {"flag_value": name, "help": text}) for name, text in helps.items()]
    return field(metadata={_CLICK: declared})


def choice(*flags: str, on: Enum, off: Enum, help: str) -> Declared:  # noqa: A002 - click's own word
    """A field that a flag gives, a member of an enum: `on` where it is given, else `off`."""

    def member(_context: click.Context, _parameter: click.Parameter, given: bool) -> Enum:
        return on if given else off

    return option(*flags, is_flag=True, callback=member, help=help)


def grouped(name: str, kind: type, **words: str) -> Callable[[Decorated], Decorated]:
    """A decorator: a command gets the options that the fields of the dataclass `kind` declare as one argument `name`.

    A field that declares none is given by a group below this one, or keeps its default. `words` fill the places in
    helps that differ between commands.
    """
    own = {one.name: one.metadata.get(_CLICK, ()) for one in fields(kind)}

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def gather(*args: Any, **given: Any) -> Any:
            values = {field_name: given.pop(field_name) for field_name in own if field_name in given}
            return function(*args, **{name: kind(**values)}, **given)

        decorated: Callable[..., Any] = gather
        # a decorator applied later is listed earlier: help follows the fields
        for field_name, declared in reversed(own.items()):
            for make, names, attributes in reversed(declared):
                filled = {key: value.format(**words) if key == "help" else value for key, value in attributes.items()}
                decorated = make(*names, field_name, **filled)(decorated)
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
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError("is not a size; write 4096, 64M, 1.5G or 2T")
    amount = float(match[1]) * _UNITS[match[2].upper()]
    if amount != int(amount):
        raise ValueError("is not a whole number of bytes")
    return int(amount)


BYTE_SIZE = Parsed("size", int, _bytes)
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


def json_option(function: Decorated) -> Decorated:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON.")(function)


def force_option(what: str) -> Declared:
    """`--force`: Existing.REPLACE where it is given."""
    return choice("--force", on=Existing.REPLACE, off=Existing.REFUSE, help=f"Replace {what} if it exists.")
