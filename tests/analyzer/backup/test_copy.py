"""Points copied to another repository read as they did, whichever keys the two have."""

from contextlib import closing

import pytest

pytest.importorskip("zstandard")

from analyzer.backup.copy import PointCopier, plan_copy
from analyzer.backup.errors import MissingObjectError, PointRefusedError
from analyzer.backup.plan import Which
from analyzer.backup.repository.chunks import object_of
from analyzer.backup.repository.keys import Cost
from analyzer.backup.repository.repository import init_encrypted
from tests.analyzer.backup.helpers import KIB, MemoryPlace, back_up, content_of, new_repository, stored_chunks
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of

pytestmark = pytest.mark.slow
KINDS = ["plain", "encrypted"]


@pytest.fixture(scope="module")
def chain():
    fixture = fixture_of("chain-3")
    return chain_of([fixture.files[path] for path in fixture.chain[::-1]])


def repository_of(kind):
    if kind == "plain":
        return new_repository()
    pytest.importorskip("cryptography")
    return init_encrypted(MemoryPlace(), 64 * KIB, "secret", Cost(n=16, r=1, p=1))


def copy(source, target, names=None):
    plan = plan_copy(source, target, names or source.names())
    with closing(PointCopier(plan)) as copier:
        return [copier.copy(point) for point in plan.points], plan.there


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("of", KINDS)
def test_every_point_reads_as_it_did_and_the_next_backup_builds_on_it(chain, of, to):
    source, target = repository_of(of), repository_of(to)
    made = back_up(source, chain, which=Which.CHECKPOINTS, tags=("quarter",))
    copied, there = copy(source, target)
    assert ([one.name for one in copied], there) == ([one.name for one in made], ())
    for one in made:
        assert content_of(target, one.name) == content_of(source, one.name)
        assert target.manifest(one.name).tags == ("quarter",)
    assert len(stored_chunks(target)) == len(stored_chunks(source))
    (after,) = back_up(target, chain)
    assert after.effort.read_bytes == after.effort.chunks_written == 0


@pytest.mark.parametrize("to", KINDS)
def test_again_only_what_is_new_is_read(chain, to):
    source, target = repository_of("plain"), repository_of(to)
    (first,) = back_up(source, chain.upto(0))
    copy(source, target)
    (second,) = back_up(source, chain)
    source.place.reads.clear()
    copied, there = copy(source, target)
    assert ([one.name for one in copied], there) == ([second.name], (first.name,))
    read = {name for name in source.place.reads if name.endswith(".cacnk")}
    shared = {bytes(one) for one in source.index(first).ids}
    assert not read & {object_of(one) for one in shared}
    assert content_of(target, second.name) == content_of(source, second.name)


def test_a_missing_chunk_leaves_no_point_and_the_others_are_copied(chain):
    source, target = repository_of("plain"), repository_of("plain")
    (base,) = back_up(source, chain.upto(0))
    (leaf,) = back_up(source, chain)
    own = {bytes(one) for one in source.index(leaf).ids} - {bytes(one) for one in source.index(base).ids}
    source.place.delete(object_of(own.pop()))
    with pytest.raises(MissingObjectError):
        copy(source, target, [leaf.name])
    assert target.names() == []
    copy(source, target, [base.name])
    assert content_of(target, base.name) == content_of(source, base.name)


def test_another_point_of_that_name_is_never_replaced(chain):
    source, target = repository_of("plain"), repository_of("plain")
    back_up(source, chain, name="same")
    back_up(target, chain.upto(0), name="same")
    with pytest.raises(PointRefusedError, match="another one of that name"):
        copy(source, target)
