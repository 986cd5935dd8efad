"""Every byte patch to OpenVMM's chains: what this library makes of it, case by case.

READS: opens and reads as the unmodified chain does. REFUSED: opening raises the finding. LOST: opens, everything but
the blocks meant reads as before, and reading these raises with the finding in its text.
"""

import hashlib
from dataclasses import dataclass

import pytest

import vhdx
from tests.support.corpus_files import disk_hash, manifest, mutate, mutations
from vhdx.errors import CorruptFileError, LostDataError
from vhdx.runs import Kind

pytestmark = pytest.mark.corpus

CASES = {case["name"]: case for case in mutations()}
LEAF, BASE = "chain3_b2m_s512/leaf.avhdx", "chain3_b2m_s512/base.vhdx"
SETS = manifest("openvmm").get("sets", {})
READS_AS = {layer["file"]: layer["view_raw_sha256"] for facts in SETS.values() for layer in facts["layers"]}


@dataclass(frozen=True)
class Reads:
    """Reads as it did, and says `note` where there is one; `zeros` when what was written is gone with its log entry."""

    note: str = ""
    zeros: bool = False


@dataclass(frozen=True)
class Refused:
    code: str


@dataclass(frozen=True)
class Lost:
    code: str


TORN = Reads("LOG-01", zeros=True)
EXPECTED = {
    "unmodified_base": Reads(),
    "unmodified_leaf": Reads(),
    "file_shorter_than_1MiB": Refused("FID-02"),
    "creator_garbage": Reads("FID-03"),
    # The other header is valid and its log is whole: a reader that replays reads what the current one has.
    "current_header_bad_crc": Reads("HDR-03"),
    "both_headers_bad_sig": Refused("HDR-04"),
    "version_2": Refused("HDR-07"),
    "version_0": Refused("HDR-07"),
    "log_length_unaligned": Refused("HDR-09"),
    "log_length_0_clean": Reads(),
    "log_length_0_dirty": Refused("HDR-10"),
    "log_overlaps_metadata": Refused("REG-15"),
    "regions_differ_both_valid": Reads("REG-05"),
    "region_reserved": Refused("REG-07"),
    "region_off_unaligned": Refused("REG-08"),
    "region_unknown_required": Refused("REG-11"),
    "region_bat_beyond_eof": Refused("REG-09"),
    "region_bat_required_flag_clear": Reads("REG-14"),
    "bat_region_too_small": Lost("BAT-10"),
    "meta_hdr_reserved": Refused("MET-02"),
    "meta_hdr_reserved2": Refused("MET-02"),
    "meta_duplicate": Refused("MET-06"),
    "meta_offset_in_table": Refused("MET-04"),
    "meta_items_overlap": Refused("MET-05"),
    "meta_unknown_optional_system": Reads(),
    "missing_file_params": Refused("MET-12"),
    "missing_lss": Refused("MET-12"),
    "missing_page83": Refused("MET-12"),
    "file_params_len_12": Refused("MET-13"),
    "file_params_reserved_bit": Refused("MET-19"),
    "block_512K": Refused("MET-15"),
    "pss_8192": Refused("MET-18"),
    "lss4096_pss512": Reads(),
    "size_over_64T": Refused("MET-16"),
    "bat_state_4": Lost("BAT-01"),
    "bat_state_5": Lost("BAT-01"),
    "bat_reserved": Lost("BAT-02"),
    "bat_reserved_padding_entry": Reads(),
    "bat_full_offset_0": Lost("BAT-03"),  # OpenVMM hands out the headers as data
    "bat_beyond_eof": Lost("BAT-04"),
    "bat_in_log": Lost("BAT-05"),
    "bat_in_bat_region": Lost("BAT-05"),  # its second MiB is that of block 0, which is believed all the same
    "bat_zero_with_offset": Reads(),
    # OpenVMM refuses these two; the offset of an UNMAPPED block is an anchor at most, and a read never follows it.
    "bat_unmapped_collides": Reads(),
    "bat_unmapped_beyond_eof": Reads(),
    "bat_offset_2^28MB": Lost("BAT-04"),
    "bat_partial_in_base": Reads(),
    "diff_partial_without_sbm": Lost("BAT-07"),
    "diff_partial_sbm_state_7": Reads(),
    "diff_sbm_state_2": Lost("BAT-07"),
    "diff_sbm_full_offset_0": Lost("BAT-03"),  # OpenVMM takes the headers for a bitmap
    "diff_sbm_collides_payload": Lost("BAT-06"),
    "truncated_last_block": Lost("BAT-04"),
    "file_len_not_MiB_multiple": Reads(),
    "loc_missing": Refused("LOC-01"),
    "loc_kv_0": Refused("LOC-04"),
    "loc_key_off_odd": Refused("LOC-06"),
    "loc_value_len_0": Refused("LOC-06"),
    "loc_value_past_end": Refused("LOC-05"),
    "loc_value_lone_surrogate": Refused("LOC-07"),
    "loc_present_without_has_parent": Reads("LOC-02"),
    "has_parent_and_leave_allocated": Reads("MET-20"),
    # By the rules the damaged last entry was never written: the disk is as of before it, and that is said.
    "log_entry_bad_crc": TORN,
    "log_entry_len_not_4k": TORN,
    "log_entry_reserved": Reads("LOG-01"),
    "log_desc_offset_below_192K": TORN,
    "log_desc_targets_log": TORN,
    "log_data_seq_mismatch": TORN,
    "log_data_sig": TORN,
}


@pytest.fixture
def mutated(corpus, tmp_path):
    def make(name):
        return mutate(corpus, CASES[name], tmp_path), corpus(f"openvmm/{CASES[name]['base']}")

    return make


def opened(path, origin):
    return vhdx.open_chain(path, search=[origin.parent])


def of_kind(expected):
    return sorted(name for name, outcome in EXPECTED.items() if isinstance(outcome, expected))


def test_every_case_has_an_expectation_and_every_expectation_a_case(corpus):
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("name", of_kind(Reads))
def test_a_harmless_change_reads_as_before(mutated, name):
    expected = EXPECTED[name]
    path, origin = mutated(name)
    with opened(path, origin) as disk:
        if expected.zeros:
            assert disk_hash(disk) == hashlib.sha256(bytes(disk.size)).hexdigest()
        elif name != "loc_present_without_has_parent":  # it is a base then: the parent's share reads as zeros
            assert disk_hash(disk) == READS_AS[CASES[name]["base"]]
        else:
            assert len(disk.read(0, disk.size)) == disk.size
        codes = {finding.code for finding in disk.findings}
        assert not expected.note or expected.note in codes


@pytest.mark.parametrize("name", of_kind(Refused))
def test_a_broken_rule_is_refused_with_its_finding(mutated, name):
    with pytest.raises(CorruptFileError) as caught:
        opened(*mutated(name))
    assert caught.value.finding.code == EXPECTED[name].code
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", of_kind(Lost))
def test_a_damaged_entry_loses_its_range_and_nothing_else(mutated, name):
    expected = EXPECTED[name]
    path, origin = mutated(name)
    with opened(path, origin) as disk, vhdx.open_chain(origin) as whole:
        table = disk.runs()
        lost = list(table.of_kind(Kind.LOST))
        assert lost
        for run in lost[:4]:
            with pytest.raises(LostDataError) as caught:
                disk.read(run.start, 1)
            assert caught.value.exit_code == 3
            assert caught.value.start == run.start
            assert expected.code in str(caught.value)
        for run in table:
            if run.kind is not Kind.LOST and run.start < whole.size:
                length = min(run.length, whole.size - run.start)
                assert disk.read(run.start, length) == whole.read(run.start, length)


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case["openvmm_read_only_open"] == "ok"))
def test_what_openvmm_opens_opens_here_too(mutated, name):
    with opened(*mutated(name)) as disk:
        assert disk.size > 0


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case["openvmm_read_only_open"] != "ok"))
def test_what_openvmm_calls_corrupt_is_never_taken_in_silence(mutated, name):
    try:
        with opened(*mutated(name)) as disk:
            warned = any(finding.severity >= vhdx.Severity.WARNING for finding in disk.findings)
            assert warned or disk.runs().bytes_of(Kind.LOST) or name.startswith("bat_unmapped_")
    except CorruptFileError:
        pass
