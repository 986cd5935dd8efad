"""Kernels made to run: by numba where that repays its start, else interpreted. The only home of numba."""

import os
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from vhdx import kernels
from vhdx.kernels import DATA, HOLE, LOST

Table = npt.NDArray[np.int64] | npt.NDArray[np.uint8]

WORTH_COMPILING = 1 << 18
"""Table entries that repay numba's start: interpreted, each costs about a microsecond, and the start 0.3 s."""


def is_loaded() -> bool:
    """Whether numba's start is paid for already."""
    return "numba" in sys.modules


def load() -> None:
    """Pay numba's start now: many small tables repay it together, though none of them does by itself."""
    import numba  # noqa: F401


def call(
    kernel: Callable[..., Any], work: int, inputs: Sequence[Table], outputs: tuple[Table, ...], *numbers: Any
) -> Any:
    """Run a kernel: compiled when `work` steps repay that, or when numba is there anyway; else interpreted."""
    if work >= WORTH_COMPILING or is_loaded():
        return compiled(kernel)(*inputs, outputs, *numbers)
    return interpreted(kernel, inputs, outputs, *numbers)


def interpreted(kernel: Callable[..., Any], inputs: Sequence[Table], outputs: Sequence[Table], *numbers: Any) -> Any:
    """Run a kernel as it is, over views of the arrays, of which Python takes numbers several times as fast."""
    linked = _linked(kernel, {"end_of_sequence": _end_of_sequence(inputs[0])})
    return linked(*(column.data for column in inputs), tuple(column.data for column in outputs), *numbers)


def _end_of_sequence(entries: Table) -> Callable[..., int]:
    """`kernels.end_of_sequence` over these entries: what the compiler makes vector code of, numpy does here."""

    @cache
    def breaks(stride: int) -> list[int]:
        found: list[int] = (np.flatnonzero(np.diff(entries) != stride) + 1).tolist()
        return found

    def end_of_sequence(_: object, slot: int, end: int, stride: int) -> int:
        places = breaks(stride)
        at = bisect_right(places, slot)
        return max(slot + 1, min(end, places[at]) if at < len(places) else min(end, len(entries)))

    return end_of_sequence


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code: from numba's cache, or compiled once and cached where a cache can be written."""
    from numba import njit  # 0.4 s that most calls never need

    # Compiled code calls compiled code alone. So the parts come first, and the kernel's globals are replaced by them.
    parts: dict[str, Callable[..., Any]] = {}
    for part in kernels.PARTS:
        parts[part.__name__] = njit(_linked(part, parts))
    return _made(_linked(kernel, parts), _signature(kernel))


def _made(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """The function compiled for a signature, cached where that can be."""
    from numba import njit

    try:
        made: Callable[..., Any] = njit(signature, cache=True, nogil=True)(function)
    except (RuntimeError, OSError):  # no place for a cache: a read-only installation without a home
        made = njit(signature, nogil=True)(function)
    return made


def _linked(function: Callable[..., Any], parts: dict[str, Any]) -> Callable[..., Any]:
    """The same function, calling compiled parts where it calls parts."""
    return FunctionType(function.__code__, function.__globals__ | parts, function.__name__)


def _signature(kernel: Callable[..., Any]) -> Any:
    """The types of a kernel's arguments and answer."""
    from numba import types

    # Inputs may be read-only: a memory map, or a table that someone froze.
    given = types.Array(types.int64, 1, "C", readonly=True)
    owners = types.Array(types.uint8, 1, "C", readonly=True)
    number = types.int64
    several: Any = types.UniTuple
    slots, sizes = several(types.int64[::1], 1), several(number, 4)
    return {
        kernels.scan_blocks: several(number, 2)(given, given, several(types.int64[::1], 5), *[number] * 3, sizes),
        kernels.own_places: number(given, given, given, several(types.uint8[::1], 1), sizes),
        kernels.contested_slots: number(given, given, given, owners, slots, sizes),
        kernels.damaged_slots: number(given, given, given, owners, slots, sizes, number),
    }[kernel]


@cache
def calling_the_system(
    kernel: Callable[..., Any], signature: str, parts: tuple[Callable[..., Any], ...] = ()
) -> Callable[..., Any]:
    """A kernel of any module as machine code, in which `pread`, `sendfile` and `send` are the system's.

    It can only run compiled. `signature` is the types of its arguments and answer, in numba's words; `parts` are the
    functions that it calls, each behind those that it calls itself.
    """
    from numba import njit, types

    # Names of a module, not of a closure: what a closure holds is part of the key of numba's cache, and this differs
    # from process to process. test_a_second_process_adds_nothing_to_the_cache.
    size, number, descriptor = types.intp, types.uintp, types.int32
    names: dict[str, Any] = {
        "pread": types.ExternalFunction("pread", size(descriptor, number, number, types.int64)),
        "sendfile": types.ExternalFunction("sendfile", size(descriptor, descriptor, number, number)),
        "send": types.ExternalFunction("send", size(descriptor, number, number, descriptor)),
    }
    for part in parts:
        names[part.__name__] = njit(_linked(part, names))
    return _made(_linked(kernel, names), signature)


@cache
def compiled_reader() -> Callable[..., int] | None:
    """Fills a buffer from many runs without coming back to Python for each; None where the system has no `pread`.

    Takes columns start, end, kind, layer and file offset of runs as a tuple, descriptors by layer (one that is no file
    makes `pread` fail), a buffer of bytes, the first and the last run wanted, the range of the disk that the buffer
    stands for, and whether holes read as zeros. Returns the first run that it could not read whole, for the caller to
    read and to say why; the last one when there is none.
    """
    if not hasattr(os, "pread"):
        return None
    plan = "UniTuple(Array(int64, 1, 'C', True), 5)"
    return calling_the_system(_read_runs, f"int64({plan}, Array(int64, 1, 'C', True), uint8[::1]{', int64' * 5})")


pread: Callable[..., int]
"""The system's, where `_read_runs` is compiled."""


def _read_runs(
    plan: Any, descriptors: Any, buffer: Any, first: int, last: int, at: int, upto: int, holes_are_zeros: int
) -> int:
    start, end, kind, layer, file_offset = plan
    address = buffer.ctypes.data
    for run in range(first, last):
        lower = max(start[run], at)
        upper = min(end[run], upto)
        if kind[run] == DATA:
            place = file_offset[run] + lower - start[run]
            length = upper - lower
            if pread(descriptors[layer[run]], address + (lower - at), length, place) != length:  # noqa: F821 - declared below
                return run
        elif kind[run] == LOST or (kind[run] == HOLE and holes_are_zeros == 0):
            return run
        else:
            buffer[lower - at : upper - at] = 0
    return last
