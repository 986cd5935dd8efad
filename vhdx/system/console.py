"""Terminals: what is one, how wide it is, what it cannot show, and whether anybody still reads."""

import errno
import os
import shutil
import signal
from io import TextIOWrapper
from typing import IO, TextIO

from vhdx.system import windows

# GNOME Terminal and its kin crashed on links before 0.50.
_LEAST_VTE = 5001
_LINKING = frozenset({"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "mintty"})
_LINKING_VARIABLES = ("WT_SESSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "DOMTERM")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has no SIGHUP, and alone SIGBREAK, Ctrl-Break


def is_terminal(stream: IO[str] | IO[bytes] | None) -> bool:
    """Whether somebody sits at a stream; NUL, which says so too on Windows, is nobody."""
    if stream is None or not stream.isatty():
        return False
    try:
        return not windows.HERE or windows.is_console(stream.fileno())
    except OSError:
        return False


def columns(stream: IO[str] | None) -> int | None:
    """Columns of a terminal, or as COLUMNS has it; None where a stream is none, or nobody says how wide it is."""
    if not is_terminal(stream) or stream is None:
        return None
    try:
        own = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        own = os.terminal_size((0, 0))
    return shutil.get_terminal_size(own).columns or None


def has_colours(stream: IO[str] | None) -> bool:
    """Whether a stream shows colours, and nobody asked for none (NO_COLOR, no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def has_links(stream: IO[str] | None) -> bool:
    """Whether a terminal says of itself that it shows hyperlinks (OSC 8); others print what stands for one."""
    if not has_colours(stream):
        return False
    version = os.environ.get("VTE_VERSION", "")
    is_vte = version.isdigit() and int(version) >= _LEAST_VTE
    is_known = os.environ.get("TERM_PROGRAM") in _LINKING or any(os.environ.get(name) for name in _LINKING_VARIABLES)
    return is_vte or is_known


def escape_what_cannot_be_shown(*streams: TextIO | None) -> None:
    """Have streams show what their encoding lacks as escapes: a pipe has the code page of a region on Windows."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def is_reader_gone(error: OSError) -> bool:
    """Whether writing failed because whoever read a pipe has left; Windows calls that an invalid argument."""
    is_windows_own = windows.HERE and error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or is_windows_own


def end_signals() -> list[int]:
    """The numbers of the signals that ask this process to end."""
    return [int(number) for name in _SIGNALS if (number := getattr(signal, name, None)) is not None]
