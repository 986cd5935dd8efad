"""What goes wrong, as one sentence on stderr and an exit code; never a traceback."""

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import click

from cli import defaults
from cli.loudness import close_log, keep
from cli.text import safe, say_always
from vhdx.system import console

USAGE, IO_ERROR, FAULT, INTERRUPTED = 2, 6, 70, 130
_BROKEN_PIPE = 128 + 13  # as a shell reports a program that SIGPIPE ended
_KEPT = "no unfinished output was kept, no source was changed; run the command again"


class Terminated(SystemExit):
    """The process was asked to end; unfinished outputs are removed on the way out."""


class _Ender:
    """What a signal sets off. It remembers which: libraries lose exceptions that they do not expect."""

    number = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        raise self.raised()

    def raised(self) -> BaseException:
        """What the last signal raised."""
        return KeyboardInterrupt() if self.number == signal.SIGINT else Terminated(128 + self.number)


def end_tidily() -> None:
    """Have SIGTERM, SIGHUP and Ctrl-Break unwind the stack, as Ctrl-C does, so that unfinished outputs are removed."""
    ender = _Ender()
    for number in console.end_signals():
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, a shell's background job
            signal.signal(number, ender)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Callable[[Callable[[], object]], None]]:
    """What is to be given a function, which Ctrl-C and the signals that ask this process to end then call instead.

    It is for what goes on until it is told to stop: to be stopped is how that ends well.
    """
    stop = list[Callable[[], object]]()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        if stop:
            stop[-1]()

    numbers = [number for number in console.end_signals() if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask_to_stop) for number in numbers}
    try:
        yield stop.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended_by() -> BaseException | None:
    """What the last signal raised, whatever became of that."""
    ender = signal.getsignal(signal.SIGTERM)
    return ender.raised() if isinstance(ender, _Ender) and ender.number else None


def _interruption_behind(error: BaseException) -> KeyboardInterrupt | SystemExit | None:
    """The interruption that an error is, or came of; None where there was none.

    A library that is interrupted tidies up, and what fails then (the end of a message that was never read) takes the
    interruption's place: it is left as the context of the error alone.
    """
    seen, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt | SystemExit):
            return one
        if id(one) not in seen:
            seen.add(id(one))
            waiting += [behind for behind in (one.__cause__, one.__context__) if behind is not None]
    return None


@contextlib.contextmanager
def when_interrupted(kept: str) -> Iterator[None]:
    """What to say of a command, or a part of it, that is interrupted: what was kept, and what to do."""
    try:
        yield
    except BaseException as error:
        interruption = _interruption_behind(error)
        if interruption is not None or _ended_by() is not None:
            (interruption or error).add_note(kept)
        raise


def run(command: click.Command, arguments: Sequence[str] | None) -> int:
    """Run a command; returns the exit code."""
    try:
        code = _run(command, arguments)
        keep(f"exit code {code}")
        return code
    finally:
        close_log()


def _run(command: click.Command, arguments: Sequence[str] | None) -> int:
    if sys.stdout is None:
        return _say("standard output is closed; redirect it, for example to /dev/null", IO_ERROR)
    # The library logs its warnings for those who call it from Python; here they are shown once, by `output.warn`.
    console.escape_what_cannot_be_shown(sys.stdout, sys.stderr)
    logging.getLogger("vhdx").addHandler(logging.NullHandler())
    try:
        # None leaves it to click, which asks whether stdout is a terminal.
        color = False if os.environ.get("NO_COLOR") else None
        given = sys.argv[1:] if arguments is None else arguments
        known = defaults.defaults_for_all(command, given) if isinstance(command, click.Group) else {}
        result = command.main(
            arguments, prog_name="vhdx", standalone_mode=False, color=color, windows_expand_args=False,
            default_map=known,
        )  # fmt: skip
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - `complain` separates internal errors
        return _report_error(error)
    return result if isinstance(result, int) else 0


def _report_error(error: BaseException) -> int:
    """Say what ended a command; returns the exit code. An interruption wins over what fails while it passes."""
    if isinstance(error, click.ClickException):
        keep(f"error: {error.format_message()}")
        error.show()
        return USAGE
    # Libraries turn an interruption into an error of their own, or lose it. What the signal left behind is asked too:
    # test_a_signal_whose_exception_a_library_loses_is_told_all_the_same.
    interruption = _interruption_behind(error) or _ended_by()
    if isinstance(error, click.Abort) or (interruption is not None and not _is_of_library(error)):
        notes = [note for each in (interruption, error) for note in getattr(each, "__notes__", [])]
        kept = [*notes, _KEPT][0]
        if isinstance(interruption, SystemExit):
            return _say(f"terminated: {kept}", int(str(interruption.code)))
        return _say(f"interrupted: {kept}", INTERRUPTED)
    match error:
        case OSError() if console.is_reader_gone(error):
            return reader_gone()
        case MemoryError():
            return _say("out of memory; close other programs, or use a machine with more", IO_ERROR)
        case OSError():
            what = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
            return _say(f"the system reports: {what}; free space or check the path, and run again", IO_ERROR)
    return complain(error)


def _is_of_library(error: BaseException) -> bool:
    """Whether it is the library's own, which says what the interruption has left half done."""
    if not isinstance(error, Exception):
        return False
    from vhdx.errors import VhdxError

    return isinstance(error, VhdxError)


def reader_gone() -> int:
    """Whoever read our output has left, as `| head` does: no error. Python must not trip over it when it flushes."""
    # Python flushes stdout at exit, and would print a traceback for a pipe that nobody reads.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


def complain(error: BaseException) -> int:
    """Say an error of the library on stderr; returns its exit code. Any other is a fault of this program."""
    from analyzer.remedies import describe_error
    from vhdx.errors import ParentNotFoundError, VhdxError

    if not isinstance(error, VhdxError):
        if os.environ.get("VHDX_TRACEBACK"):
            traceback.print_exception(error)
        text = f"internal error ({type(error).__name__}: {error})"
        return _say(f"{text}; run again with VHDX_TRACEBACK=1 and report the traceback", FAULT)
    if not isinstance(error, ParentNotFoundError):
        return _say(describe_error(error), error.exit_code)
    code = _say(error.summary, error.exit_code)
    for place, why in error.tried:
        say_always(f"  looked at {safe(place)}: {safe(why)}")
    return code


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # stderr may be closed
        say_always(f"error: {safe(message)}")
    return code
