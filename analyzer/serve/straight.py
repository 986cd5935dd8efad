"""Requests to read that never reach Python: machine code answers those that came in, where that repays its start."""

import struct
from collections.abc import Callable
from functools import cached_property

import numpy as np

from analyzer.nbd.transmission import REQUEST_SIZE
from analyzer.serve import answering
from analyzer.serve.answering import PLACE, READY, RECEIVED, SENT, STATE, STOP, TAKEN
from analyzer.serve.handshake import Session
from analyzer.serve.line import Line
from analyzer.serve.reads import Reads
from analyzer.serve.spans import WORTH_TELLING
from analyzer.serve.views import View
from vhdx import compiling
from vhdx.errors import VhdxError
from vhdx.plans import GRANULE, Plan
from vhdx.structures.constants import MIB

# Requests of all clients of a disk that repay numba's start, 0.35 s from its cache, when others follow: each takes 25
# microseconds less, and whoever asked for a GiB in pieces of 256 KiB is copying.
_WORTH_COMPILING = 1 << 12
# Bytes that are sent between two looks at whether the disk is as it was.
_AT_ONCE = 4 * MIB
_WHERE = struct.Struct(">QI")


class StraightReads:
    """Answers what it can of what came in. Not to be shared between threads."""

    def __init__(self, line: Line, session: Session, view: View, reads: Reads) -> None:
        """Answer by `line`; `reads` goes on where something cannot be sent."""
        self._line, self._view, self._reads, self._export = line, view, reads, session.export
        self._is_usable = session.is_structured and reads.can_send

    def answer(self) -> None:
        """Answer requests up to one that is left for others, which is waited for. Raises ClientLeftError, OSError."""
        self._line.require(REQUEST_SIZE)
        asked = next(self._export.asked)
        if self._is_usable and (asked > _WORTH_COMPILING or compiling.is_loaded()):
            while self._answer_some():
                self._line.require(REQUEST_SIZE)

    def _answer_some(self) -> bool:
        """Answer requests for places of one plan; False where the next one is none that is answered here."""
        line, before = self._line, self._line.taken
        start, length = _WHERE.unpack_from(line.inbox, before + REQUEST_SIZE - _WHERE.size)
        plan = self._export.plans.kept(start // GRANULE)
        if plan is None or start + length > self._export.disk.size or not self._is_plain(start, start + length):
            return False
        line.flush()
        is_done = self._run(plan)
        line.taken = int(self._state[TAKEN])
        if not is_done:
            self._go_on()
        return line.taken > before

    def _is_plain(self, start: int, end: int) -> bool:
        try:
            self._export.guard.require_unchanged()
            return self._view.is_plain(start, end)
        except VhdxError:  # whoever answers the request says so
            return False

    @cached_property
    def _run(self) -> Callable[[Plan], bool]:
        """`answer_reads` with all that stays the same."""
        code = compiling.calling_the_system(answering.answer_reads, answering.SIGNATURE, answering.PARTS)
        line, state = self._line, np.zeros(STATE, np.int64)
        self._room, self._state = bytearray(answering.ROOM), state
        descriptors = np.array(self._reads.descriptors, dtype=np.int64)
        zeros, room, inbox = (np.frombuffer(each, np.uint8) for each in (bytes(WORTH_TELLING), self._room, line.inbox))
        holes_are_zeros, connection = int(self._view.holes_are_zeros), line.socket.fileno()
        most = _AT_ONCE if self._export.scratch is None else 1  # what is written is looked at for each request

        def run(plan: Plan) -> bool:
            state[TAKEN], state[RECEIVED] = line.taken, line.received
            return bool(code(plan.columns, descriptors, connection, zeros, room, inbox, state, holes_are_zeros, most))

        return run

    def _go_on(self) -> None:
        """Send what is left over, and the rest of a request that was answered in part."""
        sent, ready, place, stop = (int(self._state[each]) for each in (SENT, READY, PLACE, STOP))
        self._state[SENT] = self._state[READY] = 0
        self._line.send(self._room[sent:ready])
        if stop:
            self._reads.go_on(self._line.next_request(), place, stop)
