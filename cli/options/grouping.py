"""Options of click as typed records: a command gets one object for each group of options."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Option = Callable[[Any], Any]


def grouped(name: str, kind: type, options: Sequence[Option]) -> Callable[[Decorated], Decorated]:
    """A decorator for options that a command gets as one argument `name`: the dataclass `kind`, made of their values.

    Each option gives the field of its own name; a field without an option keeps its default.
    """
    own = [field.name for field in fields(kind)]

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def gather(*args: Any, **given: Any) -> Any:
            values = {field: given.pop(field) for field in own if field in given}
            return function(*args, **{name: kind(**values)}, **given)

        decorated: Callable[..., Any] = gather
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[return-value]  # the same function, but for the group

    return decorate


def choice(*names: str, on: Enum, off: Enum, help: str) -> Option:  # noqa: A002 - click's own word
    """A flag that a command gets as a member of an enum: `on` where it is given, else `off`."""

    def member(_context: click.Context, _parameter: click.Parameter, given: bool) -> Enum:
        return on if given else off

    return click.option(*names, is_flag=True, callback=member, help=help)


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic in the newest click alone
    """A member of an enum, by its value."""

    def __init__(self, kind: type[Enum]) -> None:
        """Any member of `kind`."""
        super().__init__([member.value for member in kind])
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Enum:
        """The member."""
        return value if isinstance(value, self._kind) else self._kind(super().convert(value, param, ctx))
