"""Processes of this machine, told apart from all others, so that one that has ended is known as such."""

import socket
import subprocess
import sys
import uuid
from pathlib import Path

from vhdx.system import windows


def machine() -> str:
    """What the numbers of processes are about: one machine, and one start of it; empty where the system does not say.

    A host name is not enough: containers share it, and see processes of their own. Windows does not tell one start
    from another, but `birth` does: it is a moment there, to 100 ns.
    """
    if windows.HERE:
        return _windows()
    if sys.platform == "darwin":
        return _answer("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{started}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def birth(pid: int) -> str:
    """When a process was started, in the system's own count; empty when there is none."""
    if windows.HERE:
        return str(windows.started(pid) or "")
    if sys.platform == "darwin":
        return _answer("/bin/ps", "-o", "lstart=", "-p", str(pid))
    try:
        # The name of the program is in brackets and may hold anything, brackets too.
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]


def _windows() -> str:
    """Machines that were cloned share what Windows calls the machine's GUID; name and address then tell them apart."""
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:  # type: ignore[attr-defined]
            guid = winreg.QueryValueEx(key, "MachineGuid")[0]  # type: ignore[attr-defined]
    except OSError:
        return ""
    return f"{guid}/{socket.gethostname()}/{uuid.getnode():012x}"


def _answer(*command: str) -> str:
    """What a program of the system prints; empty where it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603 - its own words
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace").strip()
