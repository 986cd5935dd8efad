"""What a child's own sectors say of a merge into its parent: complete, interrupted, none."""

from dataclasses import replace

import pytest

from analyzer.linkage import guest_evidence, own_sectors
from analyzer.linkage.mismatch import Verdict, gather_evidence
from analyzer.linkage.own_sectors import Effort, Merge, compare_own_sectors
from analyzer.linkage.record import Bearing, Trace
from fixtures import Block, BlockState, Identity, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from vhdx.image import open_image

SIZE = 4 * MIB
CLUSTER = 4096


def disk(clusters, state=BlockState.FULLY_PRESENT):
    """Blocks that hold these clusters, by number what fills them: 0x0302 is bytes of 2, the last of them 3."""
    blocks = {}
    for number, byte in clusters.items():
        block, within = divmod(number * CLUSTER, MIB)
        blocks.setdefault(block, {})[within // 512] = bytes([byte & 0xFF]) * (CLUSTER - 1) + bytes([byte >> 8 or byte])
    return {block: Block(state=state, data=data) for block, data in blocks.items()}


BASE = dict.fromkeys(range(1000), 1)
CHILD = dict.fromkeys(range(0, 800, 20), 2)  # 40 clusters
FIRST = dict.fromkeys(list(CHILD)[:15], 2)


@pytest.fixture
def files(tmp_path):
    """A base as it is now, and a child that was made from it as it was: paths."""

    def write(now, child=CHILD, *, size=SIZE):
        spec = ImageSpec(size=SIZE, identity=Identity.of("base"), blocks=disk(BASE))
        upper = child_of(spec, "child", disk(child, BlockState.PARTIALLY_PRESENT))
        since = replace(spec.identity, data_write_guid=Identity.of("since").data_write_guid)
        for file, made in (
            ("base.vhdx", replace(spec, identity=since, size=size, blocks=disk(now))),
            ("child.avhdx", upper),
        ):
            (tmp_path / file).unlink(missing_ok=True)
            encode(made).write_to(tmp_path / file)
        return upper

    write.folder = tmp_path
    return write


@pytest.fixture
def evidence_on(files):
    def gather(*given, effort=Effort.SAMPLE, **more):
        files(*given, **more)
        with open_image(files.folder / "child.avhdx") as child, open_image(files.folder / "base.vhdx") as parent:
            return gather_evidence(child, parent, effort=effort)

    return gather


def test_a_parent_that_has_every_sector_of_its_child_was_fully_merged(evidence_on):
    evidence = evidence_on(BASE | CHILD)
    assert (evidence.verdict, evidence.own.merge, evidence.doubtful_bytes) == (Verdict.MERGED, Merge.COMPLETE, 0)
    assert "already holds all 320 sectors that the child holds" in str(evidence)


@pytest.mark.parametrize("number", [0, 400, 780])
def test_one_sector_that_differs_contradicts_a_complete_merge(evidence_on, number):
    evidence = evidence_on(BASE | CHILD | {number: 0x0302})
    assert evidence.own.equal == 319
    assert evidence.verdict is not Verdict.MERGED
    assert "already holds" not in str(evidence)


def test_the_first_sectors_of_the_disk_alone_are_an_interrupted_merge(evidence_on):
    evidence = evidence_on(BASE | FIRST)
    assert evidence.verdict is Verdict.MERGE_INTERRUPTED
    assert (evidence.own.leading, evidence.own.held) == (120, 320)
    assert "the first 120 of the 320 sectors" in str(evidence)
    assert "none of the 200 others" in str(evidence)


def test_a_merge_of_a_child_that_leaves_its_parent_nothing_was_interrupted_all_the_same(evidence_on):
    all_of_it = dict.fromkeys(range(SIZE // CLUSTER), 2)
    assert evidence_on(BASE | dict.fromkeys(range(400), 2), all_of_it).verdict is Verdict.MERGE_INTERRUPTED
    assert evidence_on(BASE | {500: 3}, all_of_it).verdict is Verdict.SAFE


def test_a_merge_that_had_several_writes_under_way_was_interrupted_all_the_same(evidence_on):
    assert evidence_on(BASE | FIRST | {320: 2}).verdict is Verdict.MERGE_INTERRUPTED


def test_equal_sectors_that_are_not_the_first_ones_are_no_merge(evidence_on):
    evidence = evidence_on(BASE | dict.fromkeys(list(CHILD)[20:], 2))
    assert (evidence.verdict, evidence.own.merge) == (Verdict.DOUBTFUL, Merge.UNCLEAR)


@pytest.mark.parametrize("equal", [[0], [0, 20, 40, *range(80, 800, 40)]])
def test_a_first_cluster_that_is_equal_by_chance_is_no_merge(evidence_on, equal):
    """One write of what was there before; the first ones, where half of all are equal."""
    evidence = evidence_on(BASE | dict.fromkeys(equal, 2))
    assert (evidence.verdict, evidence.own.merge) == (Verdict.DOUBTFUL, Merge.UNCLEAR)


def test_a_trace_of_another_change_contradicts_an_interrupted_merge(evidence_on, monkeypatch):
    newer = Trace("the parent was mounted since", Bearing.CHANGED)
    monkeypatch.setattr(guest_evidence, "traces_of", lambda *_: (newer,))
    evidence = evidence_on(BASE | FIRST)
    assert (evidence.verdict, evidence.own.merge) == (Verdict.DOUBTFUL, Merge.INTERRUPTED)


def test_a_parent_that_was_written_to_has_none_of_its_childs_sectors(evidence_on):
    evidence = evidence_on(BASE | {999: 3})
    assert (evidence.verdict, evidence.own.merge) == (Verdict.DOUBTFUL, Merge.NONE)
    assert "none of the 320 sectors that the child holds: no trace of a merge" in str(evidence)


@pytest.mark.parametrize(("equal", "said"), [(2, "no trace of a merge"), (600, "and not the first ones alone")])
def test_a_few_equal_sectors_among_thousands_are_no_trace_of_a_merge(equal, said):
    counted = own_sectors.OwnSectors(512, held=6792, compared=6709, equal=equal)
    assert counted.merge is Merge.UNCLEAR
    assert str(counted).endswith(said)


def test_zeros_in_both_files_prove_nothing(evidence_on):
    zeros = dict.fromkeys(range(0, 400, 20), 0)
    own = evidence_on(BASE | zeros, CHILD | zeros).own
    assert (own.merge, own.equal, own.blank, own.leading) == (Merge.NONE, 160, 160, 0)


def test_a_child_of_zeros_alone_proves_no_merge(evidence_on):
    zeros = dict.fromkeys(range(0, 400, 20), 0)
    evidence = evidence_on(BASE | zeros, zeros)
    assert (evidence.verdict, evidence.own.merge, evidence.own.equal) == (Verdict.DOUBTFUL, Merge.UNCLEAR, 160)
    assert "none is known to be other than zeros in both" in str(evidence)


def test_a_parent_of_another_size_was_not_fully_merged(evidence_on):
    assert evidence_on(BASE | CHILD, size=2 * SIZE).own.merge is Merge.UNCLEAR


def test_what_a_parent_leaves_to_its_own_parent_is_not_in_it(files):
    base = ImageSpec(size=SIZE, identity=Identity.of("base"))
    middle = child_of(base, "middle", disk(FIRST, BlockState.PARTIALLY_PRESENT))
    encode(middle).write_to(files.folder / "middle.avhdx")
    files(BASE | CHILD)
    with open_image(files.folder / "child.avhdx") as child, open_image(files.folder / "middle.avhdx") as parent:
        own = compare_own_sectors(child, parent)
    assert (own.merge, own.leading, own.equal) == (Merge.INTERRUPTED, 120, 120)


def test_no_sample_calls_a_large_merge_complete(evidence_on, monkeypatch):
    monkeypatch.setattr(own_sectors, "_ALL", 10)
    monkeypatch.setattr(own_sectors, "_SAMPLE", 10)
    sampled = evidence_on(BASE | CHILD)
    assert (sampled.verdict, sampled.own.merge, sampled.own.compared) == (Verdict.DOUBTFUL, Merge.LIKELY, 80)
    assert "looked at, among the 320" in str(sampled)
    assert evidence_on(BASE | CHILD, effort=Effort.WHOLE).verdict is Verdict.MERGED
    unseen = evidence_on(BASE | CHILD | {20: 3}, effort=Effort.WHOLE)
    assert (unseen.verdict, unseen.own.equal) == (Verdict.DOUBTFUL, 312)


def test_a_file_merged_past_another_is_named_as_the_wrong_order(files):
    lower = files(BASE)
    upper = dict.fromkeys(range(10, 800, 20), 4)
    encode(child_of(lower, "upper", disk(upper, BlockState.PARTIALLY_PRESENT))).write_to(files.folder / "upper.avhdx")
    files(BASE | upper)
    names = ("child.avhdx", "base.vhdx", "upper.avhdx")
    child, parent, above = (open_image(files.folder / name) for name in names)
    with child, parent, above:
        evidence = gather_evidence(child, parent, above=[above])
    assert evidence.verdict is Verdict.DOUBTFUL
    assert "upper.avhdx holds: it was merged in the wrong order, without child.avhdx" in str(evidence)
    assert Bearing.CHANGED in [fact.bearing for fact in evidence.facts]
