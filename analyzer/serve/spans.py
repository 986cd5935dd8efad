"""How the parts of a range reach a client: sent by the system, told as zeros, or read and sent."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vhdx.kernels import DATA, HOLE, LOST
from vhdx.plans import Plan

WORTH_TELLING = 64 << 10
"""Bytes of zeros that are told and not sent: that takes two more chunks, which cost both sides as much as so many."""


class Sent(NamedTuple):
    """Bytes of files that the system can send, and a few zeros between them."""

    start: int
    end: int
    plan: Plan
    """The runs around it."""


class Told(NamedTuple):
    """Zeros of which the number is enough."""

    start: int
    end: int


class Read(NamedTuple):
    """What has to be read: it is in no plain file, or cannot be known."""

    start: int
    end: int


Span = Sent | Told | Read
_NONE, _SENT, _TOLD, _READ = range(4)


def spans_of(plan: Plan, start: int, end: int, can_send: Sequence[bool], *, holes_are_zeros: bool) -> Iterator[Span]:
    """The spans of a range, all of it inside a plan; `can_send` says of each layer whether the system can send it."""
    starts, ends, kinds, layers, _ = plan.views
    first, last = plan.between(start, end)
    way, begin = _NONE, start
    for run in range(first, last):
        kind, here = kinds[run], _READ
        if kind == DATA:
            here = _SENT if can_send[layers[run]] else _READ
        elif kind != LOST and (kind != HOLE or holes_are_zeros):
            length = min(ends[run], end) - max(starts[run], start)
            # A few zeros go with what is in front of them.
            here = _TOLD if length >= WORTH_TELLING else way or _SENT
        if here != way and way:
            yield _span(way, begin, starts[run], plan)
            begin = starts[run]
        way = here
    yield _span(way, begin, end, plan)


def _span(way: int, start: int, end: int, plan: Plan) -> Span:
    if way == _SENT:
        return Sent(start, end, plan)
    return Told(start, end) if way == _TOLD else Read(start, end)
