"""A sample of the disasters of `make soak`: nothing known is wrong against evidence, healthy chains are believed."""

import pytest

from tests.analyzer.recover.disasters.chains import makeable
from tests.analyzer.recover.disasters.soak import table, trial

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_a_chain_nothing_known_is_wrong_against_evidence(seed):
    kinds = [kind for kind in makeable() if kind in {"ext4", "luks", "lvm"}]
    found = trial(seed, kinds)
    assert found.wrong == 0, (found.name, found.kind, found.layers)
    assert any(found.name.replace("_", " ") in row for row in table([found]))
