"""Limits that the reader's process holds by itself: while its library is deaf, and without its parent, too."""

import os
import sys
import threading
import time
from pathlib import Path

SECONDS = 3
"""Of processor time without a file told, or a place read that was not read since the last one."""
MEMORY = 1 << 30
"""Bytes: ten times what the walk over a million files takes."""
OUT_OF_TIME, OUT_OF_MEMORY = 86, 87
"""Exit codes."""
_TICK = 0.1
_PAGE = 1 << 16  # what the library reads at once


class Watch:
    """Ends this process, from a thread of its own, where it goes over a limit or its parent is gone.

    The library lets other threads run while it works (pytsk3 releases the lock of the interpreter).
    """

    def __init__(self) -> None:
        """Begin to watch."""
        self._began, self._pages = time.process_time(), set[int]()
        threading.Thread(target=self._run, daemon=True).start()

    def step(self) -> None:
        """Something was told: the time begins anew."""
        self._began = time.process_time()
        self._pages.clear()

    def read(self, start: int) -> None:
        """A place is read: the time begins anew where it is a new one, for a disk has an end."""
        page = start // _PAGE
        if page not in self._pages:
            self._pages.add(page)
            self._began = time.process_time()

    def _run(self) -> None:
        parent = os.getppid()
        while True:
            time.sleep(_TICK)
            if time.process_time() - self._began > SECONDS:
                os._exit(OUT_OF_TIME)
            if _peak_memory() > MEMORY:
                os._exit(OUT_OF_MEMORY)
            if os.getppid() != parent:
                os._exit(0)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS."""

        _fields_ = (
            ("size", wintypes.DWORD), ("faults", wintypes.DWORD), ("peak", ctypes.c_size_t),
            *((f"other{number}", ctypes.c_size_t) for number in range(7)),
        )  # fmt: skip

    def _peak_memory() -> int:
        counters = _Counters()
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
        kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), ctypes.sizeof(counters))
        return int(counters.peak)
else:
    import resource

    _UNIT = 1 if sys.platform == "darwin" else 1024
    _STATUS = Path("/proc/self/status")

    def _peak_memory() -> int:
        """Of this program alone: on Linux what getrusage says begins with the peak of the process that started it."""
        told = _STATUS.read_text(encoding="ascii").partition("VmHWM:")[2].split() if _STATUS.exists() else ()
        return int(told[0]) * 1024 if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
