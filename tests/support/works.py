"""Work for processes, which find it by its name."""

import os
import time
from pathlib import Path

import click

from vhdx.errors import InputOutputError


def squares(numbers):
    return [number * number for number in numbers]


def processes(numbers):
    time.sleep(0.05)  # so that one process does not do it all
    return [os.getpid() for _ in numbers]


def ends_at_seven(numbers):
    """Ends its process, as one does that is killed."""
    if 7 in numbers:
        os._exit(9)
    return squares(numbers)


def ends_once(folder, numbers):
    """Ends its process at each number that is met for the first time."""
    for number in numbers:
        if number % 3 == 0:
            try:
                (folder / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os._exit(9)
    return squares(numbers)


def raises(numbers):
    raise InputOutputError(path=Path(str(numbers[0])), action="read", reason="a test")


def writes_until_ended(folder, numbers):
    """Says that it is there, and removes what it has made when it is asked to end."""
    for number in numbers:
        part = folder / f"{number}.part"
        part.touch()
        try:
            (folder / f"{number}.{os.getpid()}").touch()
            time.sleep(60)
        finally:
            part.unlink()
    return numbers


def options_seen(_numbers):
    return [dict(click.get_current_context().meta)]
