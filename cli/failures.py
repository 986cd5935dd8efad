"""What goes wrong, as one sentence on stderr and an exit code; never a traceback."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import click

from cli.text import safe

USAGE, IO_ERROR, FAULT, INTERRUPTED = 2, 6, 70, 130
_BROKEN_PIPE = 128 + 13  # as a shell reports a program that SIGPIPE ended
_KEPT = "no unfinished output was kept, no source was changed; run the command again"


class Terminated(SystemExit):
    """The process was asked to end; unfinished outputs are removed on the way out."""


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(128 + number)


def end_tidily() -> None:
    """Have SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that unfinished outputs are removed."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), _terminate)


def run(command: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a command; returns the exit code."""
    if sys.stdout is None:
        return _say("standard output is closed; give it somewhere to go, /dev/null for one", IO_ERROR)
    try:
        color = False if os.environ.get("NO_COLOR") else None
        result = command.main(arguments, prog_name="vhdx", standalone_mode=False, color=color)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return _say(f"interrupted: {_KEPT}", INTERRUPTED)
    except Terminated as end:
        return _say(f"terminated: {_KEPT}", int(str(end.code)))
    except click.ClickException as error:
        error.show()
        return USAGE
    except (OSError, MemoryError) as error:
        return _of_system(error)
    except Exception as error:  # noqa: BLE001 - which errors are the library's is known once it is imported
        return complain(error)
    return result if isinstance(result, int) else 0


def reader_gone() -> int:
    """Whoever read our output has left, as `| head` does: no error. Python must not trip over it when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


def _of_system(error: OSError | MemoryError) -> int:
    if isinstance(error, BrokenPipeError):
        return reader_gone()
    if isinstance(error, MemoryError):
        return _say("there is not enough memory; close other programs, or use a machine with more", IO_ERROR)
    place = f" ({error.filename})" if error.filename else ""
    return _say(
        f"the system says: {error.strerror or error}{place}; make room, or check the path, and run again", IO_ERROR
    )


def complain(error: Exception) -> int:
    """Say an error of the library on stderr; returns its exit code. Any other is a fault of this program."""
    from vhdx.errors import ParentNotFoundError, VhdxError

    if not isinstance(error, VhdxError):
        return _fault(error)
    code = _say(error.summary if isinstance(error, ParentNotFoundError) else str(error), error.exit_code)
    if isinstance(error, ParentNotFoundError):
        for place, why in error.tried:
            click.echo(f"  looked at {safe(place)}: {safe(why)}", err=True)
    return code


def _fault(error: Exception) -> int:
    if os.environ.get("VHDX_TRACEBACK"):
        traceback.print_exception(error)
    name = type(error).__name__
    return _say(
        f"a fault in vhdx itself ({name}: {error}); run again with VHDX_TRACEBACK=1 and report what it says", FAULT
    )


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # stderr may be closed
        click.echo(f"error: {safe(message)}", err=True)
    return code
