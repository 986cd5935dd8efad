"""How much work something is, in numbers that a busy machine does not change: no test asserts what a clock says."""

import sys
import threading
from collections import Counter

SAFETY = 600
"""Seconds after which a process that does not end is given up: far more than any machine needs."""


def calls_of(work):
    """How many functions some work enters, those of C and of the threads it starts included; and what it gives."""
    counts = Counter()  # by thread: `+=` on one number of all of them would lose some

    def note(_frame, event, _what):
        if event in {"call", "c_call"}:
            counts[threading.get_ident()] += 1

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        result = work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return counts.total(), result
