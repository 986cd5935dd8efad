"""Damage is named, set aside, and healed; what was read is remembered."""

import hashlib

import pytest

from analyzer.backup.errors import DamagedObjectError, NotRepositoryError, PlaceError
from analyzer.backup.plan import Which
from analyzer.backup.prune import stats_of
from analyzer.backup.repository.chunks import object_of, set_aside_ids
from analyzer.backup.repository.repository import SETTINGS, open_repository
from analyzer.backup.restore import PointDisk
from analyzer.backup.verify import OBJECT, Depth, Scope, Traces, verify
from tests.analyzer.backup.helpers import MIB, MemoryPlace, back_up, content_of, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of


@pytest.fixture(scope="module")
def fixture():
    return fixture_of("chain-3")


@pytest.fixture
def chain(fixture):
    return chain_of([fixture.files[path] for path in fixture.chain[::-1]])


@pytest.fixture
def backed_up(chain):
    repository = new_repository(MemoryPlace(), MIB)
    back_up(repository, chain, which=Which.CHECKPOINTS)
    return repository


def flip(place, name, at):
    data = bytearray(place.objects[name])
    data[at % len(data)] ^= 1 << at % 8
    place.objects[name] = bytes(data)


def named(verdict):
    return {problem.object for problem in verdict.problems}


def test_a_healthy_repository_has_no_problem_and_every_chunk_is_read_once(backed_up):
    verdict = verify(backed_up, Scope())
    assert verdict.problems == ()
    assert verdict.checked == verdict.chunks > 3
    assert verdict.never == 0
    assert verdict.points == 3


@pytest.mark.parametrize("place_in_object", [0, 7, 100, 1001, -1, -20])
def test_a_bit_flipped_in_any_object_is_named(backed_up, place_in_object):
    place = backed_up.place
    verify(backed_up, Scope())  # so that there is a memory to be damaged
    healthy = dict(place.objects)
    assert OBJECT in healthy
    for name in healthy:
        place.objects = dict(healthy)
        flip(place, name, place_in_object)
        if name == SETTINGS:
            with pytest.raises((DamagedObjectError, NotRepositoryError), match=SETTINGS):
                open_repository(place)
        else:
            assert named(verify(backed_up, Scope())) == {name}


def test_any_object_that_went_away_is_named(backed_up):
    place = backed_up.place
    healthy = dict(place.objects)
    for name in healthy:
        if name == SETTINGS or name.endswith(".json"):
            continue  # without its manifest a point is none; without its settings a repository is none
        place.objects = dict(healthy)
        del place.objects[name]
        assert name in named(verify(backed_up, Scope(depth=Depth.INDEXES)))


def test_a_bad_chunk_is_set_aside_with_the_points_that_need_it_and_the_next_backup_brings_it_back(backed_up, chain):
    place = backed_up.place
    disk = PointDisk(backed_up, backed_up.names()[0])
    names = [name for name in place.objects if name.startswith("chunks.castr")]
    for name in names:
        flip(place, name, 30)
    verdict = verify(backed_up, Scope())
    assert named(verdict) == set(names)
    assert all(problem.points for problem in verdict.problems if "zero" not in problem.reason)
    assert len(set_aside_ids(place)) == len(names)
    assert not [name for name in place.objects if name.startswith("chunks.castr")]
    back_up(backed_up, chain, which=Which.CHECKPOINTS)
    assert set_aside_ids(place) == frozenset()
    assert verify(backed_up, Scope()).problems == ()
    point = PointDisk(backed_up, disk.manifest.name)
    assert point.store.get(point.index.id_of(0))


class Sealed(MemoryPlace):
    """A place that nothing can be written to."""

    def __init__(self, objects):
        super().__init__()
        self.objects = dict(objects)

    def _step(self):
        raise PlaceError(self.url, "cannot write anything: Read-only file system")


@pytest.mark.parametrize("damaged", ["nothing", "a chunk", "README.md"])
def test_what_cannot_be_written_to_is_read_and_compared_all_the_same(backed_up, damaged):
    objects = dict(backed_up.place.objects)
    name = next((name for name in sorted(objects) if name.endswith(".cacnk")), "") if damaged == "a chunk" else damaged
    if name in objects:
        objects[name] = bytes(byte ^ 1 for byte in objects[name])
    sealed = Sealed(objects)
    verdict = verify(open_repository(sealed), Scope(traces=Traces.NONE))
    assert named(verdict) == {name} - {"nothing"}
    assert verdict.checked == verdict.chunks > 3
    assert sealed.objects == objects
    with pytest.raises(PlaceError):
        verify(open_repository(sealed), Scope())


def test_a_missing_chunk_is_brought_back_by_the_next_backup_too(backed_up, chain, fixture):
    place = backed_up.place
    for name in [name for name in place.objects if name.startswith("chunks.castr")]:
        del place.objects[name]
    verify(backed_up, Scope())
    made = back_up(backed_up, chain, which=Which.CHECKPOINTS)
    assert verify(backed_up, Scope()).problems == ()
    model = fixture.models[fixture.leaf]
    assert content_of(backed_up, made[-1].name) == model.read(0, model.size)


def test_a_missing_chunk_of_zeros_is_brought_back_and_then_forgotten(backed_up, chain):
    zeros = hashlib.sha256(bytes(MIB)).digest()
    del backed_up.place.objects[object_of(zeros)]
    assert named(verify(backed_up, Scope())) == {object_of(zeros)}
    assert set_aside_ids(backed_up.place) == {zeros}
    back_up(backed_up, chain, which=Which.CHECKPOINTS)
    assert verify(backed_up, Scope()).problems == ()
    assert set_aside_ids(backed_up.place) == frozenset()


def test_shares_come_round_to_every_chunk(backed_up):
    total, counted = verify(backed_up, Scope(depth=Depth.INDEXES)).chunks, []
    while (verdict := verify(backed_up, Scope(percent=30))).never:
        counted.append(verdict.checked)
        assert verdict.checked == -(-total * 30 // 100)
    assert len(counted) == 3


def test_indexes_alone_read_no_chunk(backed_up):
    backed_up.place.reads.clear()
    verdict = verify(backed_up, Scope(depth=Depth.INDEXES))
    assert verdict.checked == 0
    assert not [name for name in backed_up.place.reads if name.startswith("chunks.castr")]


def test_no_time_at_all_reads_nothing_and_forgets_nothing(backed_up):
    verify(backed_up, Scope(percent=50))
    before = backed_up.place.objects[OBJECT]
    verdict = verify(backed_up, Scope(seconds=0))
    assert verdict.checked == 0
    assert backed_up.place.objects[OBJECT] == before


def test_a_damaged_manifest_keeps_no_backup_from_being_made(backed_up, chain):
    name = f"points/{backed_up.names()[-1]}.json"
    flip(backed_up.place, name, 50)
    (manifest,) = back_up(backed_up, chain)
    assert content_of(backed_up, manifest.name) == chain.read(0, chain.size)


def test_a_damaged_index_is_not_built_upon(backed_up, chain):
    for name in [name for name in backed_up.place.objects if name.endswith(".caibx")]:
        flip(backed_up.place, name, 80)
    (manifest,) = back_up(backed_up, chain)
    assert manifest.parent is None
    assert content_of(backed_up, manifest.name) == chain.read(0, chain.size)


def test_stats_count_what_each_point_holds_alone(backed_up):
    stats = stats_of(backed_up)
    packed = [len(data) for name, data in backed_up.place.objects.items() if name.startswith("chunks.castr")]
    assert (stats.chunks, stats.bytes) == (len(packed), sum(packed))
    assert stats.unused_chunks == 0
    assert all(point.own_chunks <= point.chunks for point in stats.points)
    alone = new_repository()
    assert stats_of(alone).chunks == 0
