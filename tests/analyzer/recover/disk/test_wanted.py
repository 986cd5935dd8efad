"""Some files of a disk first: what they need is read and known, all else is not asked of the medium until it is."""

import pytest

from analyzer.recover.disk.filled import Fill
from analyzer.recover.job import RecoverOptions, plan_recovery
from analyzer.recovery_map.mapfile import Status
from tests.analyzer.guest import images
from tests.analyzer.guest.conftest import content, need
from tests.support.sources import CountingSource
from vhdx.parents import Search
from vhdx.reader import Reader
from vhdx.source import FileSource

pytestmark = [pytest.mark.peers, pytest.mark.slow]
MIB = images.MIB
FILES = {
    f"{folder}/file{number}": content(number, 700_000) for number, folder in enumerate(("a", "a", "b", "b", "b/c"))
}


def disk_of(kind, path):
    need(kind)
    if kind == "ext4":
        return images.make_ext(path, FILES, 16 * MIB)
    images.make_ntfs(path, 16 * MIB)
    folders = [("mkdir", f"/{name}") for name in ("a", "b", "b/c")]
    images.edit_ntfs(path, *folders, *(("write", f"/{name}", data) for name, data in FILES.items()))
    return path


@pytest.fixture(params=["ext4", "ntfs"])
def disk(request, tmp_path):
    """A raw disk, and a VHDX of it."""
    raw = disk_of(request.param, tmp_path / "disk.raw")
    return raw, images.chain_of(tmp_path / "chain", raw)


def test_the_files_asked_for_come_out_and_a_later_run_brings_the_rest(vhdx_command, disk, tmp_path):
    raw, leaf = disk
    out = tmp_path / "out.raw"
    answer = vhdx_command("recover", leaf, "-o", out, "--only", "/a", "--only", "/b/c/file4", "--json")
    wanted = {"a/file0", "a/file1", "b/c/file4"}
    assert (answer.code, answer.json["files"]["users"]["known"], answer.json["files"]["lost"]) == (1, len(wanted), 0)
    assert 0 < answer.json["totals"]["left_out"] == answer.json["totals"]["lost"]
    assert {run[6] for run in answer.json["runs"] if run[2] == "lost"} == {"left out"}
    assert vhdx_command("extract", out, "/a", "/b/c/file4", "-o", tmp_path / "files").code == 0
    found = {path.name: path.read_bytes() for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert found == {name.rpartition("/")[2]: FILES[name] for name in wanted}
    assert "file3 [" in vhdx_command("files", out, "/b", "-r").out, "it is marked, for it is not there yet"
    assert vhdx_command("recover", leaf, "-o", out, "--resume").code == 0
    assert out.read_bytes() == raw.read_bytes()


def test_nothing_of_the_other_files_is_read(disk):
    raw, leaf = disk
    asked = list[CountingSource]()

    def opener(path):
        asked.append(CountingSource(FileSource(path)))
        return asked[-1]

    request = RecoverOptions(inputs=(leaf,), search=Search(), fill=Fill.ZERO, only=("/a/file0",))
    with plan_recovery(request, opener) as plan:
        Reader(plan.filled).read(0, plan.disk.size)
        content_at = raw.read_bytes().index(FILES["b/file2"])
        rows = [row for row in plan.rows() if row.start <= content_at < row.end]
        assert [row.status for row in rows] == [Status.LOST]
        at = next(row for row in plan.disk.windows(content_at, content_at + 1)).file_offset.tolist()[0]
    reads = [(offset, offset + length) for source in asked for offset, length in source.reads]
    assert not [read for read in reads if read[0] < at + 600_000 and at + 8192 < read[1]]


def test_paths_come_from_a_list_and_what_is_not_there_is_said(vhdx_command, disk, tmp_path):
    _, leaf = disk
    (tmp_path / "list").write_text("# the important ones\n/a/file0\n\n1:/b/file2\n/gone\n")
    answer = vhdx_command("recover", leaf, "--dry-run", "--files-from", tmp_path / "list")
    assert (answer.code, "no volume has /gone" in answer.err) == (1, True)
    assert "left out as --only asked" in answer.out
    for words in (["--only", "/gone"], ["--only", "2:/a/file0"]):
        refused = vhdx_command("recover", leaf, "--dry-run", *words)
        assert (refused.code, "no volume that can be read has" in refused.err) == (2, True)
    (tmp_path / "empty").write_text("\n")
    assert vhdx_command("recover", leaf, "--dry-run", "--files-from", tmp_path / "empty").code == 2
