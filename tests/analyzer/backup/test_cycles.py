"""The whole life of a repository at every kind of place, the second half with the connection cut again and again."""

import hashlib

import pytest

pytest.importorskip("zstandard")

from analyzer.backup.locks import FOLDER as LOCKS
from tests.analyzer.backup import jobs
from tests.analyzer.backup.places import KINDS

# smbclient warns of a file that was open when its connection was cut; nothing is left to close there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    return jobs.disk_files(tmp_path_factory.mktemp("disks"))


def cuts_after(site, count):
    if site.budget is not None:
        site.budget.cut_after(count)


@pytest.mark.parametrize("kind", KINDS)
def test_create_incrementally_verify_forget_prune_and_restore(kind, site_of, disks, tmp_path):
    site = site_of(kind)
    expected = dict(zip(("base", "next", "last"), (sha256 for _, sha256 in disks), strict=True))
    place = site.place("cycle")
    repository = jobs.init(place)
    jobs.create(repository, disks[0][0], "base")

    place = site.place_to_cut("cycle")
    repository = jobs.plain(place)
    before = site.budget.cuts if site.budget else 0
    for number, name in ((1, "next"), (2, "last")):
        cuts_after(site, 3000)
        (made,) = jobs.create(repository, disks[number][0], name)
        assert made.effort.read_in_full is None  # what an earlier point has was not read again
    cuts_after(site, 2000)
    assert jobs.assert_sound(repository, expected) == ["base", "last", "next"]
    cuts_after(site, 1500)
    jobs.forget(repository, "base", "last")
    jobs.prune(repository)
    cuts_after(site, 2500)
    assert jobs.assert_sound(repository, expected) == ["next"]
    ids = repository.index(repository.manifest("next")).ids
    stored = sorted(entry.name.rpartition("/")[2] for entry in place.list("chunks.castr"))
    assert stored == sorted({f"{row.tobytes().hex()}.cacnk" for row in ids})
    cuts_after(site, 4000)
    jobs.restore(repository, "next", tmp_path / "restored.raw")
    assert hashlib.sha256((tmp_path / "restored.raw").read_bytes()).hexdigest() == expected["next"]
    assert list(place.list(LOCKS)) == []
    cuts_after(site, None)
    if site.budget:
        assert site.budget.cuts - before >= 4
    if hasattr(place, "close"):
        place.close()
