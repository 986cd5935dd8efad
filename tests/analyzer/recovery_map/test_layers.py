"""Images with a map of `vhdx recover` beside them, read by all that reads chains: what the map has as lost is lost."""

from dataclasses import replace

import pytest

import vhdx
from analyzer.recover.inputs.layers import Basis
from analyzer.recover.job import RecoverOptions, plan_recovery
from analyzer.recovery_map.disk import by_map
from analyzer.recovery_map.mapfile import Status, mapfile_lines
from analyzer.recovery_map.note import with_maps
from fixtures import Brush, encode
from fixtures.recipes.kit import child_of, disk
from vhdx.errors import LostDataError
from vhdx.parents import Search
from vhdx.ranges import Range, Ranges
from vhdx.runs import Kind

MIB = 1 << 20
SIZE = 8 * MIB
LOST, STALE = Range(2 * MIB, MIB), Range(5 * MIB, MIB)
BASE = replace(disk("recovered", SIZE), blocks=Brush(tag=3).fulls(range(8)))


@pytest.fixture
def recovered(tmp_path):
    """A disk of 8 MiB, of which MiB 2 is lost and MiB 5 is stale by the map beside it."""
    path = tmp_path / "disk.vhdx"
    encode(BASE).write_to(path)
    status = {LOST.start: Status.LOST, STALE.start: Status.STALE}
    rows = [(Range(start, MIB), status.get(start, Status.KNOWN)) for start in range(0, SIZE, MIB)]
    lines = mapfile_lines(rows, "12345678-1234-5678-1234-567812345678")
    (tmp_path / "disk.vhdx.map").write_text("".join(lines))
    return path


def ranges_with(path, status):
    """{range: basis} of what a recovery of one file has of a status."""
    with plan_recovery(RecoverOptions(inputs=(path,), search=Search())) as plan:
        return {row.range: row.basis for row in plan.rows() if row.status is status}


def rows_of_map(path):
    return [line.split()[::2] for line in path.read_text().splitlines()[6:] if not line.startswith("#")]


def test_what_a_map_has_as_lost_is_lost_to_every_reader_and_refused_by_every_writer(vhdx_command, recovered):
    with with_maps(vhdx.open_chain(recovered)) as chain:
        assert chain.runs().of_kind(Kind.LOST).ranges == Ranges.of([LOST])
        with pytest.raises(LostDataError, match=r"disk\.vhdx\.map has it as lost"):
            chain.read(LOST.start, 512)
        assert len(chain.read(STALE.start, MIB)) == MIB
    for words in (["hash", recovered], ["convert", recovered, "-"], ["merge", recovered, recovered.with_name("m.raw")]):
        answer = vhdx_command(*words)
        assert (answer.code, "disk.vhdx.map has it as lost" in answer.err) == (3, True), words
    answer = vhdx_command("map", recovered, "--own")
    assert (answer.code, "lost 1 MiB" in answer.out) == (1, True)


def test_a_second_recovery_keeps_what_the_first_had_as_lost_and_stale(recovered):
    assert ranges_with(recovered, Status.LOST) == {LOST: Basis.RECOVERED}
    assert ranges_with(recovered, Status.STALE) == {STALE: Basis.RECOVERED}


def test_what_is_stale_has_a_map_beside_what_is_made_of_it(vhdx_command, recovered):
    map_, copy = recovered.with_name("disk.vhdx.map"), recovered.with_name("copy.qcow2")
    map_.write_text(map_.read_text().replace("  -", "  +"))
    assert vhdx_command("convert", recovered, copy).code == 0
    rows = rows_of_map(copy.with_name("copy.qcow2.map"))
    assert rows == [["0x00000000", "+"], [f"0x{STALE.start:08X}", "/"], [f"0x{STALE.end:08X}", "+"]]
    map_.unlink()
    assert vhdx_command("convert", recovered, copy, "--force").code == 0
    assert not copy.with_name("copy.qcow2.map").exists()


def test_a_recovered_base_loses_only_what_its_checkpoint_does_not_hide(recovered):
    child = child_of(BASE, "child", Brush(tag=4).fulls((2, 6)), path=".\\disk.vhdx")
    leaf = recovered.with_name("leaf.avhdx")
    encode(child).write_to(leaf)
    with with_maps(vhdx.open_chain(leaf)) as chain:
        assert not chain.runs().bytes_of(Kind.LOST)
        read = by_map(chain)
        assert (read.lost, read.stale) == (Ranges.of([]), Ranges.of([STALE]))
    other = recovered.with_name("other.avhdx")
    encode(replace(child, blocks=Brush(tag=4).fulls((5,)))).write_to(other)
    with with_maps(vhdx.open_chain(other)) as chain:
        assert chain.runs().of_kind(Kind.LOST).ranges == Ranges.of([LOST])
        read = by_map(chain)
        assert (read.lost, read.stale) == (Ranges.of([LOST]), Ranges.of([]))


@pytest.mark.parametrize("left", ["damaged", "gone"])
def test_a_disk_whose_map_is_damaged_or_gone_beside_an_account_of_losses_is_stale_to_a_recovery(recovered, left):
    map_ = recovered.with_name("disk.vhdx.map")
    if left == "damaged":
        map_.write_text(map_.read_text()[:300])
    else:
        map_.unlink()
        account = '{"schema": "vhdx/1", "tool": {"name": "vhdx"}, "command": "recover", "complete": false}'
        recovered.with_name("disk.vhdx.json").write_text(account)
    assert ranges_with(recovered, Status.STALE) == {Range(0, SIZE): Basis.RECOVERED}


def test_a_map_of_another_program_takes_nothing_from_what_is_known(recovered):
    recovered.with_name("disk.vhdx.map").write_text("a linker's map\n")
    assert sum(part.length for part in ranges_with(recovered, Status.KNOWN)) == SIZE
