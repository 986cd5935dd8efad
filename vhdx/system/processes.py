"""Processes: what they may use of this machine, and which signals those that are started here are deaf to."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vhdx.system import console, windows


def usable_cores() -> int:
    """How many processors this process may use, which may be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


@contextmanager
def interruptions_held() -> Iterator[None]:
    """Meanwhile no signal that asks for an end is heard; what is started stays deaf to them, until it says otherwise.

    Ctrl-C and the end of a terminal reach all of its processes, also those that another one ends in its own way.
    """
    if sys.platform == "win32":
        with windows.ctrl_c_ignored():
            yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, console.end_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear(number: int) -> None:
    """Hear a signal again that this process was started deaf to."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
