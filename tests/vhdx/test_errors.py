"""Errors carry their facts, and make their sentences from them."""

import pickle
from pathlib import Path

from vhdx.errors import NoSpaceError, NotRescuedError, ShortReadError, SourceChangedError

FILE = Path("disk{0}.vhdx")


def test_an_error_that_another_process_raised_says_the_same_here():
    for error in (
        SourceChangedError(FILE),
        ShortReadError(FILE, 5, 10, 3),
        NoSpaceError(FILE, 9, 4),
        NotRescuedError(FILE, Path("map"), 0, 512),
    ):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own making
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_two_errors_of_the_same_facts_are_two_events():
    assert len({SourceChangedError(FILE), SourceChangedError(FILE)}) == 2


def test_braces_in_a_name_are_no_placeholders():
    assert str(SourceChangedError(FILE)).startswith("disk{0}.vhdx was changed")
