"""Scans of files that other programs wrote."""

import json
from pathlib import Path

import pytest

from tests.support.corpus_files import CORPUS

pytestmark = pytest.mark.corpus


@pytest.fixture
def scan(corpus, vhdx_command):
    """Scans the folder of an image; gives the answer, and its trees as lists of (name, state of its link)."""

    def run(name):
        answer = vhdx_command("scan", corpus(name).parent, "--json")
        trees = [
            [(Path(m["path"]).name, m["link"] and m["link"]["state"]) for m in tree["members"]]
            for tree in answer.json["trees"]
        ]
        return answer, trees

    return run


@pytest.fixture
def vhdx_command(capsys):
    from cli.errors import run
    from cli.main import vhdx
    from tests.support.command_line import Answer

    def call(*arguments):
        code = run(vhdx, [str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("name", ["chain3_b1m_s4096", "chain3_b2m_s512", "chain3_b32m_s512", "mixed_blocks_512"])
def test_a_chain_of_openvmm_is_one_tree(scan, name):
    answer, trees = scan(f"openvmm/{name}/base.vhdx")
    assert answer.code == 0
    assert trees == [[("base.vhdx", None), ("mid.avhdx", "by_path"), ("leaf.avhdx", "by_path")]]


def test_a_mismatch_of_openvmm_has_its_evidence(scan):
    answer, trees = scan("openvmm/linkage_mismatch/base.vhdx")
    assert answer.code == 1
    assert trees == [[("base.vhdx", None), ("child.vhdx", "mismatch")]]
    (tree,) = answer.json["trees"]
    assert tree["members"][1]["link"]["evidence"]["verdict"] == "doubtful"


def test_all_ways_of_naming_a_parent_are_understood(scan):
    answer, trees = scan("openvmm/locator_variants/base.vhdx")
    assert answer.code == 0
    assert {state for tree in trees for _, state in tree} <= {None, "by_path", "by_identity"}
    assert [len(tree) for tree in trees] == [5]


def test_an_unfinished_file_of_openvmm_is_told(scan):
    answer, _ = scan("openvmm/incomplete/incomplete.vhdx")
    assert "MET-11" in {finding["code"] for finding in answer.json["findings"]}


def test_the_genuine_files_give_no_error_but_the_orphan_and_no_warning_but_the_live_log(corpus, vhdx_command):
    names = [path.name.removesuffix(".xz") for path in sorted((CORPUS / "genuine").glob("*.xz"))]
    answer = vhdx_command("scan", *(corpus(f"genuine/{name}") for name in names), "--json")
    told = {(f["code"], Path(f["path"]).name) for f in answer.json["findings"] if f["severity"] != "note"}
    assert told == {
        ("CHN-01", "hyperv-2019-orphan-child.avhdx"),
        ("CHN-10", "hyperv-2019-orphan-child.avhdx"),
        ("LOG-01", "qemu-dirty-log-10g.vhdx"),
    }, json.dumps(sorted(told))
