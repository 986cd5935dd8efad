"""What a scan advises where a merge was finished, or broken off, and the child was left over."""

import re
from dataclasses import replace

import pytest

from analyzer.check.check import check_chain
from analyzer.scan.run import run_scan
from fixtures import Block, BlockState, Identity, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of
from tests.support.hyperv_store import configuration
from vhdx.edit.editor import Editor
from vhdx.in_place import open_edited

SIZE = 8 * MIB
CLUSTER = 4096
OWN = [*range(0, 256, 8), *range(600, 640)]
"""The clusters that the child holds."""


def blocks_of(contents, state):
    blocks = {}
    for number, byte in contents.items():
        block, within = divmod(number * CLUSTER, MIB)
        blocks.setdefault(block, {})[within // 512] = bytes([byte]) * CLUSTER
    return {block: Block(state=state, data=data) for block, data in blocks.items()}


@pytest.fixture
def folder(tmp_path):
    """A folder with a child, and its base that has so many of the child's clusters, and another identity."""

    def write(merged, **more):
        before = dict.fromkeys(range(700), 1)
        base = ImageSpec(size=SIZE, identity=Identity.of("base"), blocks=blocks_of(before, BlockState.FULLY_PRESENT))
        child = child_of(base, "child", blocks_of(dict.fromkeys(OWN, 2), BlockState.PARTIALLY_PRESENT))
        since = replace(base.identity, data_write_guid=Identity.of("since").data_write_guid)
        now = blocks_of(before | dict.fromkeys(OWN[:merged], 2) | more, BlockState.FULLY_PRESENT)
        encode(replace(base, identity=since, blocks=now)).write_to(tmp_path / "base.vhdx")
        encode(child).write_to(tmp_path / "child.avhdx")
        return tmp_path

    return write


def test_a_child_that_was_fully_merged_is_not_the_current_state(folder):
    place = folder(len(OWN))
    scan = run_scan([place])
    (advice,) = scan.advice
    assert advice.current == place / "base.vhdx"
    assert advice.reason == "it already holds all that child.avhdx holds"
    assert not advice.command
    assert any("was fully merged into" in step and "needed no more" in step for step in advice.steps)
    assert [finding.code for finding in scan.findings if finding.severity.name == "ERROR"] == ["CHN-02"]


def test_an_interrupted_merge_is_completed_in_a_new_file(folder):
    place = folder(20)
    (advice,) = run_scan([place]).advice
    assert advice.current == place / "child.avhdx"
    assert advice.command[-2:] == ("--on-mismatch", "accept")
    assert "a merge of it was interrupted" in advice.steps[0]


def test_a_parent_that_was_written_to_is_doubtful_as_ever(folder):
    (advice,) = run_scan([folder(0)]).advice
    assert "look for an older copy" in advice.steps[0]


@pytest.mark.parametrize(
    ("merged", "verdict"), [(len(OWN), "fully merged"), (20, "merge interrupted"), (0, "doubtful")]
)
def test_a_check_of_the_chain_says_what_became_of_a_merge(folder, merged, verdict):
    found = check_chain(folder(merged) / "child.avhdx").findings
    (mismatch,) = [finding for finding in found if finding.code == "CHN-02"]
    assert f"; {verdict}: " in mismatch.message


@pytest.mark.parametrize("is_pending", [True, False, None])
def test_what_the_host_has_noted_of_merges_is_evidence_where_an_identity_does_not_fit(folder, is_pending):
    pytest.importorskip("dissect.hypervisor.descriptor.hyperv", reason="dissect.hypervisor is not installed")
    place = folder(20)
    (place / "vm.vmcx").write_bytes(configuration("mail", ["C:\\VMs\\child.avhdx"], is_pending))
    scan = run_scan([place])
    (machine,) = scan.machines
    assert machine.merge_pending is is_pending
    facts = [str(fact) for fact in scan.evidence[place / "child.avhdx"].facts]
    assert any("of mail says that disks of it are still to be merged" in fact for fact in facts) is bool(is_pending)


def test_a_log_that_others_left_live_is_applied_before_their_merge_is_completed(folder):
    place = folder(20)
    with open_edited(place / "base.vhdx") as medium:
        editor = Editor(medium)
        editor.set_block(7, BlockState.ZERO)  # zeros as before, and an entry in the log
        editor.commit()
    (advice,) = run_scan([place]).advice
    commands = re.findall(r"`(vhdx [^`]*)`", advice.steps[0])
    assert [command.split()[1] for command in commands] == ["repair", "merge"]
