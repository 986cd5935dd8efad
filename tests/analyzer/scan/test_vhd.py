"""Chains of VHD files in a scan: matched, weighed and advised as those of VHDX are."""

from analyzer.linkage.matching import LinkState
from analyzer.scan.run import run_scan
from tests.analyzer.vhd.test_chain import SECTOR, chain, written


def test_a_chain_is_found_by_content_and_the_leaf_is_advised_to_be_merged(tmp_path):
    specs = chain("scan", depth=3)
    path = written(tmp_path, *specs)
    path = path.rename(path.with_suffix(".bin"))
    scan = run_scan([tmp_path])
    assert [record.path.name for record in scan.forest.records] == [specs[0].name, specs[1].name, path.name]
    assert not [finding for finding in scan.findings if finding.severity > 1]
    (advice,) = scan.advice
    assert advice.current == path
    assert advice.command[:3] == ("vhdx", "merge", str(path))
    assert scan.weights[path].own == len(specs[2].sectors) * SECTOR


def test_a_parent_that_is_not_there_is_asked_for_by_its_unique_id_and_no_recovery_is_advised(tmp_path):
    specs = chain("gap", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).unlink()
    scan = run_scan([tmp_path])
    assert scan.forest.links[path].state is LinkState.MISSING
    assert any("unique id" in finding.message for finding in scan.findings if finding.code == "CHN-01")
    assert not any(advice.recovery or advice.command for advice in scan.advice)


def test_a_renamed_parent_is_found_by_its_identity(tmp_path):
    specs = chain("moved", depth=2)
    path = written(tmp_path, *specs)
    (tmp_path / specs[0].name).rename(tmp_path / "other.vhd")
    assert run_scan([tmp_path]).forest.links[path].state is LinkState.BY_IDENTITY


def test_what_a_cut_file_lost_is_said(tmp_path):
    spec = chain("cut", depth=2)[1]
    path = written(tmp_path, *chain("cut", depth=2))
    path.write_bytes(path.read_bytes()[: -SECTOR - 2 * SECTOR * len(spec.sectors)])
    scan = run_scan([tmp_path])
    assert scan.weights[path].lost
    assert {"VHD-02", "VHD-06"} <= {finding.code for finding in scan.findings}
