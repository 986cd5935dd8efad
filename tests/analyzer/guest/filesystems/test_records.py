"""Records of the $MFT as mkntfs writes them: where their data stands, and that torn ones say nothing."""

import pytest

from analyzer.guest.layouts.ntfs import SIZE, parse_boot, parse_data, parse_record
from tests.analyzer.guest.conftest import need
from tests.analyzer.guest.images import MIB, empty, run

pytestmark = pytest.mark.peers
MFT, LOG = 0, 2


@pytest.fixture(params=[512, 4096], ids="sectors of {}".format)
def volume(request, tmp_path):
    """The bytes of a volume on a disk with such sectors, and its boot sector."""
    need("ntfs")
    path = empty(tmp_path / "volume", 16 * MIB)
    run("mkntfs", "-Q", "-F", "-q", "-s", request.param, "-c", 4096, "-p", 0, "-H", 16, "-S", 63, path)
    raw = path.read_bytes()
    return raw, parse_boot(raw[:SIZE])


def record_of(volume, number):
    raw, boot = volume
    at = boot.mft * boot.cluster_size + number * boot.record_size
    return raw[at : at + boot.record_size]


def test_the_runs_of_the_mft_lead_to_its_records_in_order(volume):
    raw, boot = volume
    runs = list(parse_data(record_of(volume, MFT)).runs())
    table = b"".join(raw[at * boot.cluster_size : (at + count) * boot.cluster_size] for at, count in runs)
    heads = [parse_record(table[at : at + boot.record_size]) for at in range(0, len(table), boot.record_size)]
    assert [head.number for head in heads[:16]] == list(range(16))
    assert runs[0][0] == boot.mft


def test_all_of_the_journal_was_written(volume):
    _, boot = volume
    data = parse_data(record_of(volume, LOG))
    assert data.initialized == sum(count for _, count in data.runs()) * boot.cluster_size > 0


def test_a_record_with_a_torn_sector_says_nothing_of_its_data(volume):
    whole = record_of(volume, MFT)
    for end in range(512, len(whole) + 1, 512):
        torn = whole[: end - 2] + bytes(byte ^ 1 for byte in whole[end - 2 : end]) + whole[end:]
        assert parse_data(torn) is None
