"""Checking the corpus: silence about genuine files, and the right word for every byte patch to OpenVMM's chains."""

import pytest

from analyzer.check.check import Content, check_chain, check_file
from tests.support.corpus_files import CORPUS, manifest, mutate, mutations
from vhdx.findings import Severity

pytestmark = pytest.mark.corpus

CASES = {case["name"]: case for case in mutations()}
"""What `check` must say of each, warnings and errors; notes are free. OpenVMM is silent where its condition says so."""
EXPECTED = {
    "unmodified_base": set(),
    "unmodified_leaf": set(),
    "file_shorter_than_1MiB": {"FID-02"},
    "creator_garbage": set(),  # a note, FID-03
    "current_header_bad_crc": {"HDR-03", "LOG-01"},
    "both_headers_bad_sig": {"HDR-01", "HDR-04"},
    "version_2": {"HDR-07"},
    "version_0": {"HDR-07"},
    "log_length_unaligned": {"HDR-09", "HDR-13", "REG-15"},
    "log_length_0_clean": {"HDR-13"},
    "log_length_0_dirty": {"HDR-10", "HDR-13", "LOG-02"},
    "log_overlaps_metadata": {"HDR-13", "REG-15"},
    "regions_differ_both_valid": {"REG-05"},
    "region_reserved": {"REG-07"},
    "region_off_unaligned": {"REG-08"},
    "region_unknown_required": {"REG-11"},
    "region_bat_beyond_eof": {"REG-09"},
    "region_bat_required_flag_clear": set(),  # a note, REG-14: genuine QEMU files have it
    "bat_region_too_small": {"BAT-10", "MET-22"},
    "meta_hdr_reserved": {"MET-02"},
    "meta_hdr_reserved2": {"MET-02"},
    "meta_duplicate": {"MET-06", "MET-12", "MET-14"},
    "meta_offset_in_table": {"MET-04", "MET-15"},
    "meta_items_overlap": {"MET-05", "MET-16"},
    "meta_unknown_optional_system": set(),
    "missing_file_params": {"MET-12"},
    "missing_lss": {"MET-12"},
    "missing_page83": {"MET-12"},
    "file_params_len_12": {"MET-13"},
    "file_params_reserved_bit": {"MET-19"},
    "block_512K": {"MET-15"},
    "pss_8192": {"MET-18"},
    "lss4096_pss512": set(),  # genuine files have it
    "size_over_64T": {"MET-16"},
    # What OpenVMM wrote is still in its closed log, which contradicts each of these changes (BAT-16).
    "bat_state_4": {"BAT-01", "BAT-16"},
    "bat_state_5": {"BAT-01", "BAT-16"},
    "bat_reserved": {"BAT-02", "BAT-16"},
    "bat_reserved_padding_entry": set(),  # a note, BAT-21
    "bat_full_offset_0": {"BAT-03", "BAT-16"},
    "bat_beyond_eof": {"BAT-04", "BAT-16"},
    "bat_in_log": {"BAT-05", "BAT-16"},
    "bat_in_bat_region": {"BAT-05", "BAT-16"},
    "bat_zero_with_offset": set(),  # a note, BAT-13
    "bat_unmapped_collides": {"BAT-06"},
    "bat_unmapped_beyond_eof": {"BAT-04"},
    "bat_offset_2^28MB": {"BAT-04", "BAT-16"},
    "bat_partial_in_base": {"BAT-11"},
    "diff_partial_without_sbm": {"BAT-07", "BAT-16"},
    "diff_partial_sbm_state_7": set(),  # a note, BAT-09
    "diff_sbm_state_2": {"BAT-07", "BAT-08", "BAT-16"},
    "diff_sbm_full_offset_0": {"BAT-03", "BAT-16"},
    "diff_sbm_collides_payload": {"BAT-06", "BAT-16"},
    "truncated_last_block": {"BAT-04"},
    "file_len_not_MiB_multiple": set(),  # a note, FID-08
    "loc_missing": {"LOC-01"},
    "loc_kv_0": {"LOC-04"},
    "loc_key_off_odd": {"LOC-06", "LOC-09"},
    "loc_value_len_0": {"LOC-06", "LOC-09"},
    "loc_value_past_end": {"LOC-05", "LOC-09"},
    "loc_value_lone_surrogate": {"LOC-07", "LOC-09"},
    "loc_present_without_has_parent": {"BAT-11", "LOC-02"},
    "has_parent_and_leave_allocated": set(),  # a note, MET-20
    "log_entry_bad_crc": {"LOG-01", "LOG-05"},
    "log_entry_len_not_4k": {"LOG-01", "LOG-05"},
    "log_entry_reserved": {"LOG-01"},  # and a note, LOG-08
    "log_desc_offset_below_192K": {"LOG-01", "LOG-06"},
    "log_desc_targets_log": {"LOG-01", "LOG-06"},
    "log_data_seq_mismatch": {"LOG-01", "LOG-05"},
    "log_data_sig": {"LOG-01", "LOG-05"},
}
NOTES = {
    "creator_garbage": "FID-03",
    "region_bat_required_flag_clear": "REG-14",
    "bat_reserved_padding_entry": "BAT-21",
    "bat_zero_with_offset": "BAT-13",
    "diff_partial_sbm_state_7": "BAT-09",
    "file_len_not_MiB_multiple": "FID-08",
    "has_parent_and_leave_allocated": "MET-20",
    "log_entry_reserved": "LOG-08",
}
"""What `check` says where OpenVMM is silent and nothing is lost."""
GENUINE = {"qemu-dirty-log-10g.vhdx": {"LOG-01"}, "hyperv-2019-orphan-child.avhdx": {"CHN-01"}}
EXPLAINED = {
    "fixed3-16m-b1m/base.vhdx": {"BAT-15"},
    "win3-16m-b1m/child2.vhdx": {"LOC-13"},
    "incomplete/incomplete.vhdx": {"MET-11"},
    "linkage_mismatch/child.vhdx": {"CHN-02", "CHN-11"},
    "dirty_unapplied/base.vhdx": {"LOG-01"},
}
"""What the notes in the corpus say of its chains."""


def loud(checked):
    """The codes of warnings and errors."""
    return {finding.code for finding in checked.findings if finding.severity >= Severity.WARNING}


def test_every_mutation_has_its_expectation(corpus):
    assert corpus
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_mutation_is_told_by_its_codes(name, corpus, tmp_path):
    case = CASES[name]
    checked = check_file(mutate(corpus, case, tmp_path))
    assert loud(checked) == EXPECTED[name]
    assert {NOTES[name]} <= {finding.code for finding in checked.findings} if name in NOTES else True
    if not case["openvmm_read_only_open"].startswith("ok"):
        assert EXPECTED[name], "where OpenVMM reports corruption, so does check"


@pytest.mark.parametrize("name", sorted(manifest("genuine").get("files", {})))
def test_a_genuine_file_gives_no_error_and_no_warning_but_the_two_in_the_catalogue(corpus, name):
    checked = check_chain(corpus(f"genuine/{name}"), content=Content.LOOK)
    assert loud(checked) == GENUINE.get(name, set())


@pytest.mark.parametrize("group", ["openvmm", "discutils"])
def test_chains_of_other_programs_give_nothing_but_what_their_notes_explain(corpus, group):
    for name in sorted(names_of(group)):
        checked = check_chain(corpus(f"{group}/{name}"), content=Content.LOOK)
        explained = {code for path, codes in EXPLAINED.items() if wanted_by(checked, path) for code in codes}
        assert loud(checked) <= explained, name


def names_of(group):
    """The images of a group, quirks left out: they are there to be told."""
    folder = CORPUS / group
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.xz"))
    return [name for name in names if not name.startswith("quirk")]


def wanted_by(checked, path):
    return any(file.as_posix().endswith(path) for file in checked.files)
