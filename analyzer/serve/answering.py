"""Requests to read, answered by machine code: what comes in is looked at, and the system sends from the files.

None of it runs in Python, which has no `send` of these arguments. What it does not know is left for Python to answer.
Numbers of other modules are arguments: numba's cache knows when this file changes, and no other.
"""

from typing import Any

import numpy as np

from analyzer.nbd.numbers import CHUNK_MAGIC, DONE, MOST_PAYLOAD, REQUEST_MAGIC
from vhdx.kernels import DATA, HOLE, LOST
from vhdx.system.sockets import MORE_FOLLOWS, NO_SIGNAL

SHORT = 32 << 10
"""Bytes of a reply that are read and sent with their head in one piece; more are sent from the files."""
ROOM = SHORT + 8192
"""Bytes of the room for heads, and for a short reply."""
TAKEN, RECEIVED, SENT, READY, PLACE, STOP, OFFSET, STATE = range(8)
"""The numbers that `answer_reads` goes by and leaves, and how many there are.

TAKEN and RECEIVED: up to which byte requests were answered, and came in. SENT and READY: which bytes of the room are
not sent yet. PLACE and STOP: which bytes of the disk are missing of a chunk whose head is sent or ready. OFFSET: the
place in a file, for `sendfile`.
"""
_REQUEST = 28
_PLAIN_READ, _MAGIC = REQUEST_MAGIC << 32, CHUNK_MAGIC << 32
_IS_DONE = int(DONE)
_NONE_KIND, _DATA_KIND, _HOLE_KIND = 0, 1, 2
_MOST_HEADS = 4096
_IN_BETWEEN = MORE_FOLLOWS | NO_SIGNAL
pread: Any
sendfile: Any
send: Any
"""The system's, where this is compiled."""


def number_at(data: Any, at: int, count: int) -> Any:
    """The number of `count` bytes, the most significant first."""
    value = 0
    for place in range(at, at + count):
        value = value << 8 | data[place]
    return value


def put(room: Any, at: int, value: int, count: int) -> int:
    """Put a number as so many bytes; returns the place behind them."""
    for place in range(count):
        room[at + place] = (value >> (8 * (count - 1 - place))) & 255
    return at + count


def put_chunk(room: Any, state: Any, flags: int, kind: int, cookie: int, length: int) -> None:
    """Put what each chunk begins with behind what is ready to be sent."""
    at = put(room, state[READY], _MAGIC | flags << 16 | kind, 8)
    state[READY] = put(room, put(room, at, cookie, 8), length, 4)


def send_room(connection: int, room: Any, state: Any, flags: int) -> bool:
    """Send what is ready; False where the system takes no more."""
    while state[SENT] < state[READY]:
        sent = send(connection, room.ctypes.data + state[SENT], state[READY] - state[SENT], flags)  # noqa: F821 - declared above
        if sent <= 0:
            return False
        state[SENT] += sent
    state[SENT] = state[READY] = 0
    return True


def runs_behind(plan: Any, descriptors: Any, holes_are_zeros: int, run: int, upto: int) -> int:
    """The first run behind those from `run` up to a place of the disk; 0 where one of them cannot be sent."""
    starts, kinds, layers = plan[0], plan[2], plan[3]
    while run < len(starts) and starts[run] < upto:
        if kinds[run] == DATA:
            if descriptors[layers[run]] < 0:
                return 0
        elif kinds[run] == LOST or (kinds[run] == HOLE and holes_are_zeros == 0):
            return 0
        run += 1
    return run


def read_runs(plan: Any, descriptors: Any, room: Any, ready: int, runs: Any, at: int, upto: int) -> bool:
    """Put a range of the disk into the room; False where any of it cannot be read."""
    starts, ends, kinds, layers, offsets = plan
    for run in range(runs[0], runs[1]):
        lower = max(starts[run], at)
        length, here = min(ends[run], upto) - lower, ready + lower - at
        if kinds[run] != DATA:
            room[here : here + length] = 0
        else:
            place = offsets[run] + lower - starts[run]
            if pread(descriptors[layers[run]], room.ctypes.data + here, length, place) != length:  # noqa: F821 - declared
                return False
    return True


def send_runs(plan: Any, descriptors: Any, connection: int, zeros: Any, state: Any, run: int) -> bool:
    """Send the bytes of a chunk from the run of its first one on; False where they do not go."""
    starts, ends, kinds, layers, offsets = plan
    while state[PLACE] < state[STOP]:
        length = min(ends[run], state[STOP]) - state[PLACE]
        state[OFFSET] = offsets[run] + state[PLACE] - starts[run]
        if kinds[run] == DATA:
            sent = sendfile(connection, descriptors[layers[run]], state.ctypes.data + 8 * OFFSET, length)  # noqa: F821
        else:
            sent = send(connection, zeros.ctypes.data, length, _IN_BETWEEN)  # noqa: F821
        if sent <= 0:
            return False
        state[PLACE] += sent
        run += sent == length
    return True


def is_told(plan: Any, run: int, at: int, upto: int, worth: int) -> bool:
    """Whether the zeros of a run are told and not sent: so many of them and more."""
    return bool(plan[2][run] != DATA and min(plan[1][run], upto) - max(plan[0][run], at) >= worth)


def answer_long(
    plan: Any, descriptors: Any, connection: int, zeros: Any, room: Any, state: Any, runs: Any, request: Any
) -> bool:
    """Answer by chunks of data and of zeros; False where one of them is not sent whole."""
    (run, last), (cookie, at, upto) = runs, request
    while at < upto:
        first, told, begin = run, is_told(plan, run, at, upto, len(zeros)), at
        while run < last and is_told(plan, run, at, upto, len(zeros)) == told:
            at = min(plan[1][run], upto)
            run += 1
        if told:
            put_chunk(room, state, 0, _HOLE_KIND, cookie, 12)
            state[READY] = put(room, put(room, state[READY], begin, 8), at - begin, 4)
        else:
            put_chunk(room, state, 0, _DATA_KIND, cookie, at - begin + 8)
            state[READY] = put(room, state[READY], begin, 8)
            state[PLACE], state[STOP] = begin, at
            if not send_room(connection, room, state, _IN_BETWEEN):
                return False
            if not send_runs(plan, descriptors, connection, zeros, state, first):
                return False
    put_chunk(room, state, _IS_DONE, _NONE_KIND, cookie, 0)
    return True


def answer_short(plan: Any, descriptors: Any, room: Any, state: Any, runs: Any, request: Any) -> bool:
    """Put an answer of one chunk into the room; False, and nothing put, where it cannot be read."""
    (cookie, at, upto), before = request, state[READY]
    put_chunk(room, state, _IS_DONE, _DATA_KIND, cookie, upto - at + 8)
    ready = put(room, state[READY], at, 8)
    is_read = read_runs(plan, descriptors, room, ready, runs, at, upto)
    state[READY] = ready + upto - at if is_read else before
    return is_read


def next_read(plan: Any, inbox: Any, state: Any) -> Any:
    """Cookie, start and end of the next request; an end of 0 where it is none to read in the plan, and no more."""
    at = state[TAKEN]
    if state[RECEIVED] - at < _REQUEST or number_at(inbox, at, 8) != _PLAIN_READ:
        return 0, 0, 0
    start, length = number_at(inbox, at + 16, 8), number_at(inbox, at + 24, 4)
    is_inside = plan[0][0] <= start < plan[1][-1] and start + length <= plan[1][-1]
    return number_at(inbox, at + 8, 8), start, start + length if is_inside and 0 < length <= MOST_PAYLOAD else 0


def answer_reads(
    plan: Any, descriptors: Any, connection: int, zeros: Any, room: Any, inbox: Any, state: Any, holes_are_zeros: int,
    most: int,
) -> bool:  # fmt: skip
    """Answer requests for about `most` bytes of the disk inside a plan, up to one that is left for Python.

    Takes columns start, end, kind, layer and file offset of runs as a tuple, descriptors by layer, that of a socket
    which blocks, as many zeros as are worth telling, ROOM bytes, what came in, STATE numbers, whether holes are zeros.
    False where something could not be sent: `state` says what. Without a STOP that is nothing but the rest of the room.
    """
    run = state[STOP] = 0
    while most > 0:
        cookie, at, upto = next_read(plan, inbox, state)
        if not plan[0][run] <= at < plan[1][run]:
            run = np.searchsorted(plan[0], at, side="right") - 1
        last = runs_behind(plan, descriptors, holes_are_zeros, run, upto) if upto else 0
        if last == 0:
            break
        if upto - at > SHORT:
            if not answer_long(plan, descriptors, connection, zeros, room, state, (run, last), (cookie, at, upto)):
                return False
        elif not answer_short(plan, descriptors, room, state, (run, last), (cookie, at, upto)):
            break
        state[TAKEN] += _REQUEST
        state[STOP] = 0
        if state[READY] > _MOST_HEADS and not send_room(connection, room, state, NO_SIGNAL):
            return False
        run, most = last - 1, most - (upto - at)
    return send_room(connection, room, state, NO_SIGNAL)


PARTS = (
    number_at,
    put,
    put_chunk,
    send_room,
    runs_behind,
    read_runs,
    send_runs,
    is_told,
    answer_long,
    answer_short,
    next_read,
)
"""What `answer_reads` calls, each after what it calls itself."""
SIGNATURE = (
    "boolean(UniTuple(Array(int64, 1, 'C', True), 5), Array(int64, 1, 'C', True), int64, Array(uint8, 1, 'C', True), "
    "uint8[::1], uint8[::1], int64[::1], int64, int64)"
)
"""The types of its arguments and answer, in numba's words."""
