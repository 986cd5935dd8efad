"""`create`, `forget` and `prune` end at every change that they make to a repository, and nothing is lost."""

import hashlib

import pytest

pytest.importorskip("zstandard")

import vhdx
from analyzer.convert.cells import sha256_of
from tests.analyzer.backup import jobs
from tests.analyzer.backup.faults import Death, MemoryPlace, Mortal, When
from tests.support.attempts import attempt
from vhdx.sink import Sink
from vhdx.writable import WritableFile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    return jobs.disk_files(tmp_path_factory.mktemp("disks"))


@pytest.fixture(scope="module")
def fresh(disks):
    """Gives a copy of a repository with a point of the base, each time the same."""
    first = MemoryPlace()
    jobs.create(jobs.init(first), disks[0][0], "base")
    return first.copy


def expected_of(disks):
    return {"base": disks[0][1], "next": disks[1][1], "last": disks[2][1]}


def every_end(make, job):
    """Run `job` upon a fresh place with an end at each of its changes; gives the place after each."""
    counted = Mortal(make())
    job(jobs.plain(counted))
    assert counted.changes > 2
    for at in range(counted.changes):
        for when in When:
            place = make()
            with pytest.raises(Death):
                job(jobs.plain(Mortal(place, at, when)))
            jobs.break_locks(place)
            yield place


def test_create_may_end_anywhere_and_goes_on_from_there(fresh, disks):
    expected = expected_of(disks)
    counted = Mortal(fresh())
    jobs.create(jobs.plain(counted), disks[2][0], "last")
    for place in every_end(fresh, lambda repository: jobs.create(repository, disks[2][0], "last")):
        repository = jobs.plain(place)
        names = jobs.assert_sound(repository, expected)
        assert "base" in names
        if "last" not in names:
            again = Mortal(place)
            jobs.create(jobs.plain(again), disks[2][0], "last")
            assert again.changes <= counted.changes  # what was stored is not stored again
        assert jobs.assert_sound(repository, expected) == ["base", "last"]


def test_the_first_create_may_end_anywhere(disks):
    def empty():
        place = MemoryPlace()
        jobs.init(place)
        return place

    for place in every_end(empty, lambda repository: jobs.create(repository, disks[0][0], "base")):
        repository = jobs.plain(place)
        if jobs.assert_sound(repository, expected_of(disks)) == []:
            jobs.create(repository, disks[0][0], "base")
        assert jobs.assert_sound(repository, expected_of(disks)) == ["base"]


def test_init_may_end_anywhere_and_leaves_a_repository_or_none(disks):
    count = Mortal(MemoryPlace())
    jobs.init(count)
    for at in range(count.changes):
        place = MemoryPlace()
        with pytest.raises(Death):
            jobs.init(Mortal(place, at))
        attempt(lambda place=place: jobs.init(place))  # refused where there is one
        jobs.create(jobs.plain(place), disks[0][0], "base")
        assert jobs.assert_sound(jobs.plain(place), expected_of(disks)) == ["base"]


@pytest.fixture(scope="module")
def three(disks):
    """Gives a copy of a repository with a point of each layer."""
    first = MemoryPlace()
    repository = jobs.init(first)
    for name, (path, _) in zip(("base", "next", "last"), disks, strict=True):
        jobs.create(repository, path, name)
    return first.copy


def test_forget_may_end_anywhere_and_leaves_no_point_half(three, disks):
    for place in every_end(three, lambda repository: jobs.forget(repository, "base", "last")):
        repository = jobs.plain(place)
        left = jobs.assert_sound(repository, expected_of(disks))
        assert "next" in left
        gone = [name for name in ("base", "last") if name in left]
        if gone:
            jobs.forget(repository, *gone)
        jobs.prune(repository)
        assert jobs.assert_sound(repository, expected_of(disks)) == ["next"]


@pytest.mark.parametrize("window", [0.0, 24 * 3600.0])
def test_prune_may_end_anywhere_and_every_point_stays_whole(three, disks, window):
    def forgotten():
        place = three()
        jobs.forget(jobs.plain(place), "base", "last")
        return place

    whole = forgotten()
    jobs.prune(jobs.plain(whole))
    expected = sorted(entry.name for entry in whole.list("chunks.castr"))
    for place in every_end(forgotten, lambda repository: jobs.prune(repository, window)):
        repository = jobs.plain(place)
        assert jobs.assert_sound(repository, expected_of(disks)) == ["next"]
        jobs.prune(repository)
        assert sorted(entry.name for entry in place.list("chunks.castr")) == expected
        assert list(place.list("candidates")) == []
        assert jobs.assert_sound(repository, expected_of(disks)) == ["next"]


def test_a_create_after_a_prune_that_ended_anywhere_is_sound(three, disks):
    """Chunks that a dead prune had put on a list, or had begun to delete, are needed again."""

    def forgotten():
        place = three()
        jobs.forget(jobs.plain(place), "last")
        return place

    for place in every_end(forgotten, lambda repository: jobs.prune(repository, 0.0)):
        repository = jobs.plain(place)
        jobs.create(repository, disks[2][0], "last")
        assert jobs.assert_sound(repository, expected_of(disks)) == ["base", "last", "next"]
        jobs.prune(repository)
        assert jobs.assert_sound(repository, expected_of(disks)) == ["base", "last", "next"]


def test_a_place_that_refuses_any_one_change_ends_create_with_a_sentence_and_a_sound_repository(fresh, disks):
    counted = Mortal(fresh())
    jobs.create(jobs.plain(counted), disks[2][0], "last")
    for at in range(counted.changes):
        place = fresh()
        made, error = attempt(
            lambda place=place, at=at: jobs.create(jobs.plain(Mortal(place, at, error=None)), disks[2][0], "last")
        )
        assert made or "no space left" in str(error)
        names = jobs.assert_sound(jobs.plain(place), expected_of(disks))
        assert names == ["base", "last"] if made else names in (["base"], ["base", "last"])


@pytest.mark.parametrize("name", ["disk.raw", "disk.vhdx"])
def test_restore_may_end_at_every_write_and_a_second_run_completes(three, disks, tmp_path, monkeypatch, name):
    """[a kill leaves OUT.part, as a file that nobody cleans up]: OUT itself appears when it is whole, or not at all."""
    repository, write, left = jobs.plain(three()), Sink.write_at, []

    def mortal(self, offset, data):
        if left and not left[0]:
            raise Death
        if left:
            left[0] -= 1
        write(self, offset, data)

    monkeypatch.setattr(Sink, "write_at", mortal)
    monkeypatch.setattr(Sink, "discard", WritableFile.close)
    writes = 0
    while True:
        target = tmp_path / str(writes) / name
        target.parent.mkdir()
        left[:] = [writes]
        try:
            jobs.restore(repository, "last", target)
            break
        except Death:
            assert not target.exists()
        left.clear()
        jobs.restore(repository, "last", target)
        assert vhdx_sha256(target) == disks[2][1]
        writes += 1
    assert writes > 3
    assert jobs.assert_sound(repository, expected_of(disks)) == ["base", "last", "next"]


def vhdx_sha256(path):
    if path.suffix == ".raw":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with vhdx.open_chain(path) as chain:
        return sha256_of(chain)
