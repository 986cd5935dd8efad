"""What layers hold and still show, against a bytearray for each."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.scan.coverage import measure_file, weigh
from analyzer.scan.find import find_files
from analyzer.scan.forest import build_forest
from analyzer.scan.run import look_at
from analyzer.tasks.engine import Here
from fixtures import Block, BlockState, Brush, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.identity import Identity
from fixtures.recipes.kit import child_of

pytestmark = pytest.mark.property

SECTORS = MIB // 512
logging.getLogger("vhdx").addHandler(logging.NullHandler())

spans = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda span: range(span[0], span[0] + span[1]))
layers = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), spans)), min_size=1, max_size=6)


@settings(max_examples=15)
@given(layers, st.sampled_from((0, 1, 4096)))
def test_own_and_shown_bytes_are_those_of_a_model(tmp_path_factory, chosen, kept):
    """Layer n stands on layer `parent % n`; None is a zeroed block, a range the sectors that it holds."""
    folder = tmp_path_factory.mktemp("layers")
    base = ImageSpec(size=MIB, identity=Identity.of("base"), blocks={0: Brush(tag=1).full(0, range(4))})
    specs, parents, held = [base], [None], [set(range(SECTORS))]
    for number, (parent, span) in enumerate(chosen, start=1):
        parents.append(parent % number)
        block = Block(state=BlockState.ZERO) if span is None else Brush(tag=2).partial(0, span)
        specs.append(child_of(specs[parent % number], f"layer{number}", {0: block}))
        held.append(set(range(SECTORS)) if span is None else set(span))
    for number, spec in enumerate(specs):
        encode(spec).write_to(folder / f"{number}.vhdx")
    weights = weights_of(folder, kept)
    shown = seen(parents, held)
    for number in range(len(specs)):
        weight = weights[folder / f"{number}.vhdx"]
        assert (weight.own, weight.shown) == (len(held[number]) * 512, len(shown[number]) * 512)


def weights_of(folder, kept):
    """What every file of the one tree in a folder holds, when `kept` stretches of each are kept at first."""
    readings = look_at(find_files([folder]).files, Here()).readings
    (tree,) = build_forest([reading.record for reading in readings]).trees
    return weigh(tree, {path: measure_file(path, kept) for path in tree.by_path}, measure_file)


def seen(parents, held):
    """The sectors of each layer that some leaf reads from it."""
    found = [set() for _ in held]
    leaves = set(range(len(held))) - set(parents)
    for leaf in leaves:
        here, hidden = leaf, set()
        while here is not None:
            found[here] |= held[here] - hidden
            hidden |= held[here]
            here = parents[here]
    return found


@pytest.mark.parametrize("size", [MIB, 3 * MIB])
def test_what_lies_past_a_shorter_childs_end_does_not_show(tmp_path, size):
    base = ImageSpec(size=3 * MIB, identity=Identity.of("base"), blocks=Brush(tag=1).fulls(range(3)))
    child = child_of(base, "child", {})
    encode(base).write_to(tmp_path / "base.vhdx")
    encode(ImageSpec(size=size, identity=child.identity, parent=child.parent)).write_to(tmp_path / "child.avhdx")
    assert weights_of(tmp_path, 1)[tmp_path / "base.vhdx"].shown == size
