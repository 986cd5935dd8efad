"""Counts in words."""

import pytest

from analyzer.text import listed, plural


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, "layer"), "1 layer"),
        ((0, "layer"), "0 layers"),
        ((1, "old entry"), "1 old entry"),
        ((2, "old entry"), "2 old entries"),
        ((2, "day"), "2 days"),
        ((1, "block", "is", "are"), "1 block is"),
        ((3, "entry", "comes", "come"), "3 entries come"),
    ],
)
def test_things_are_counted_in_singular_and_plural(arguments, text):
    assert plural(*arguments) == text


def test_of_many_names_the_first_are_given_and_the_others_counted():
    assert listed(()) == ""
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(range(12)) == "0, 1, 2, 3, 4 and 7 more"
