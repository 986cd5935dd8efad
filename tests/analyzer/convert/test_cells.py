"""What of a cell is not zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.convert.cells import GRAIN, nonzero_ranges
from vhdx.ranges import Range, joined


def naive(cell):
    """The ranges, by looking at every grain as bytes."""
    data = cell.tobytes()
    grains = (Range.between(start, min(start + GRAIN, len(data))) for start in range(0, len(data), GRAIN))
    return list(joined(grain for grain in grains if any(data[grain.start : grain.end])))


@pytest.mark.property
@given(
    st.lists(st.sampled_from(("zeros", "first byte", "last byte", "full")), min_size=1, max_size=40), st.integers(0, 9)
)
def test_what_is_not_zero_is_what_a_look_at_every_byte_finds(grains, short):
    cell = np.zeros(len(grains) * GRAIN, dtype=np.uint8)
    for number, kind in enumerate(grains):
        grain = cell[number * GRAIN : (number + 1) * GRAIN]
        grain[
            {"zeros": slice(0), "first byte": slice(1), "last byte": slice(GRAIN - 1, GRAIN), "full": slice(None)}[kind]
        ] = 7
    cell = cell[: len(cell) - short * 512 % GRAIN or None]
    assert nonzero_ranges(cell) == naive(cell)
