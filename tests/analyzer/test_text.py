"""Counts in words."""

import pytest

from analyzer.text import plural


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
