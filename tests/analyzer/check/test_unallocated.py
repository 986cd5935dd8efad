"""Stretches of a file that nobody owns, MiB by MiB."""

import random

import numpy as np
import pytest

from analyzer.check import unallocated as unowned


@pytest.mark.parametrize("window", [1, 2, 7, 1 << 20])
def test_free_stretches_are_those_that_a_plain_loop_finds(monkeypatch, window):
    monkeypatch.setattr(unowned, "_WINDOW", window)
    chance = random.Random(window)
    for length in (*range(9), 100):
        for _ in range(30):
            owners = [chance.choice((0, 0, 1, 2)) for _ in range(length)]
            wanted = []
            for at, owner in enumerate(owners):
                if owner == 0:
                    wanted = (
                        [*wanted[:-1], (wanted[-1][0], at + 1)]
                        if wanted and wanted[-1][1] == at
                        else [*wanted, (at, at + 1)]
                    )
            assert list(unowned.free_runs(np.array(owners, dtype=np.uint8))) == wanted
