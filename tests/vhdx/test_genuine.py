"""Files that Hyper-V and QEMU wrote."""

import pytest

import vhdx
from tests.support.corpus_files import disk_hash, file_hash, manifest
from vhdx.errors import ParentNotFoundError
from vhdx.runs import Kind

pytestmark = pytest.mark.corpus

FILES = manifest("genuine").get("files", {})
ORPHAN = "hyperv-2019-orphan-child.avhdx"
DIRTY = "qemu-dirty-log-10g.vhdx"
WHOLE = sorted(name for name, facts in FILES.items() if facts["sha256"])


def test_the_corpus_has_the_files_that_these_tests_are_about(corpus):
    assert len(WHOLE) == 5
    assert {ORPHAN, DIRTY} <= set(FILES)


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_genuine_file_reads_to_its_hash_and_stays_as_it_is(corpus, name):
    path = corpus(f"genuine/{name}")
    before = file_hash(path), path.stat().st_mtime_ns
    with vhdx.open_chain(path) as disk:
        assert disk.size == FILES[name]["virtual_size"]
        assert disk.base.parameters.block_size == FILES[name].get("block_size", disk.base.parameters.block_size)
        assert disk_hash(disk) == FILES[name]["sha256"]
    assert (file_hash(path), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", WHOLE)
def test_a_genuine_file_gives_no_warning_but_for_the_live_log(corpus, name):
    with vhdx.open_image(corpus(f"genuine/{name}")) as image:
        warnings = {finding.code for finding in image.findings if finding.severity > vhdx.Severity.NOTE}
        assert warnings == ({"LOG-01"} if name == DIRTY else set())
        assert image.log_was_replayed == (name == DIRTY)


def test_a_live_log_is_seen_although_the_file_is_not_changed(corpus):
    with vhdx.open_image(corpus(f"genuine/{DIRTY}")) as image:
        assert image.source is not image.file
        assert image.log.active


def test_an_orphan_names_the_parent_it_wants_and_everywhere_it_was_looked_for(corpus, tmp_path):
    path = corpus(f"genuine/{ORPHAN}")
    before = file_hash(path)
    with pytest.raises(ParentNotFoundError) as caught:
        vhdx.open_chain(path, search=[tmp_path])
    error = caught.value
    assert error.exit_code == 4
    assert error.child == path
    with vhdx.open_image(path) as image:
        assert error.wanted == image.locator.linkages[0]
        assert error.hint in dict(image.locator.paths).values()
        paths = image.locator.paths
    places = [place for place, _ in error.tried]
    for key, text in paths:
        assert any(place.startswith(f"{key} {text}") for place in places)
    assert f"{path.parent}/" in places
    assert f"{tmp_path}/" in places
    assert all(reason for _, reason in error.tried)
    assert str(error.wanted) in str(error)
    assert all(place in str(error) for place in places)
    assert file_hash(path) == before


def test_an_orphan_alone_reads_what_it_holds_and_says_where_its_parent_is_needed(corpus):
    with vhdx.open_image(corpus(f"genuine/{ORPHAN}")) as image:
        table = image.runs()
        assert table.end == image.size
        data = list(table.of_kind(Kind.DATA))
        assert len(data) >= 34
        for run in data:
            assert len(image.read(run.start, min(run.length, 65536))) == min(run.length, 65536)
        hole = next(iter(table.of_kind(Kind.HOLE)))
        with pytest.raises(vhdx.VhdxError) as caught:
            image.read(hole.start, 512)
        assert caught.value.exit_code == 4
        assert len(image.log.places) == 23
