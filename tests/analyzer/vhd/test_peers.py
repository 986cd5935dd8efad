"""Faults of other readers of VHD, each read right here. A test fails too where a fault of theirs has been mended."""

import pytest

from analyzer.vhd.chain import open_vhd_chain
from fixtures import write_files
from fixtures.vhd import SECTOR, Kind, VhdSpec, chain_of
from tests.support.peer_tools import libvhdi_disk, qemu_img

pytestmark = pytest.mark.peers
SIZE = 4 << 20
BASE = VhdSpec(
    name="base.vhd", size=SIZE, kind=Kind.DYNAMIC, sectors={15: b"b" * SECTOR, 100: b"c" * SECTOR, 5000: b"d" * SECTOR}
)
# Its bits are 01 fe: the run of set ones ends inside a byte of the bitmap.
CHILD = VhdSpec(
    name="child.avhd",
    size=SIZE,
    kind=Kind.DIFFERENCING,
    sectors={number: b"%03d " % number * 128 for number in range(7, 15)},
    parent=BASE,
)


@pytest.fixture
def paths(tmp_path):
    write_files(chain_of(BASE, CHILD), tmp_path)
    return [tmp_path / spec.name for spec in (BASE, CHILD)]


def wrong_sectors(content):
    model = CHILD.content()
    assert len(content) == len(model)
    return [at // SECTOR for at in range(0, SIZE, SECTOR) if content[at : at + SECTOR] != model[at : at + SECTOR]]


def test_all_of_a_child_is_read_right(paths):
    with open_vhd_chain(paths[-1]) as disk:
        assert wrong_sectors(disk.read(0, SIZE)) == []


def test_libvhdi_takes_the_sector_behind_a_run_of_bits_for_the_childs(paths, require_peer):
    require_peer("pyvhdi")
    disk, _layers = libvhdi_disk(paths)
    assert wrong_sectors(disk.read_buffer_at_offset(SIZE, 0)) == [15]


def test_qemu_reads_a_child_without_its_parent(paths, require_peer, tmp_path):
    require_peer("qemu-img")
    qemu_img("convert", "-f", "vpc", "-O", "raw", str(paths[-1]), str(tmp_path / "out.raw"))
    assert wrong_sectors((tmp_path / "out.raw").read_bytes()) == [15, 100, 5000]
