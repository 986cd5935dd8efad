"""What comes of reading one structure: a value, the findings against it, or the error that kept it from being read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Value]):
    """One structure: its value, None where there is none, what is wrong with it, and what kept it from being read."""

    value: Value | None = None
    findings: tuple[Finding, ...] = ()
    error: VhdxError | None = None

    def get(self) -> Value:
        """The value, whatever is wrong with it; raises what kept it from being read, else LookupError."""
        if self.value is None:
            raise self.error or LookupError("the file has no such structure")
        return self.value

    @property
    def is_sound(self) -> bool:
        """It was read, and nothing that is wrong with it is an error."""
        return self.value is not None and not any(found.severity is Severity.ERROR for found in self.findings)


class Reads(Protocol):
    """What has structures that are read once."""

    @property
    def reading(self) -> AbstractContextManager[object]:
        """Held by the thread that reads one of them; it may ask for another while it has it."""
        ...


class Once(Generic[Value]):
    """Reads a structure when it is first asked for, and keeps it, or what keeps it from being read.

    Not `functools.cached_property`: up to Python 3.11 it lets one thread at a time read, whatever their files; since
    then it lets several read the same.
    """

    def __init__(self, read: Callable[[Any], Parsed[Value]]) -> None:
        self._read, self._name, self.__doc__ = read, "", read.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Reads, _type: type) -> Parsed[Value]:
        with owner.reading:  # one lock for all structures of a file: to read one may need others
            known: Parsed[Value] | None = owner.__dict__.get(self._name)  # another thread may have read it by now
            if known is None:
                try:
                    known = self._read(owner)
                except VhdxError as error:
                    known = Parsed(error=error.with_traceback(None))  # a traceback would keep what was read alive
                owner.__dict__[self._name] = known  # from now on found before this is asked
            return known
