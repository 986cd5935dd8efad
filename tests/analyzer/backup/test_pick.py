"""What a restore point may be called by: its name, the beginning of it, or the newest."""

import pytest

pytest.importorskip("zstandard")

from analyzer.backup.errors import NoSuchPointError
from analyzer.backup.pick import AmbiguousPointError, pick_point
from analyzer.backup.plan import Which
from tests.analyzer.backup.helpers import back_up, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of


@pytest.fixture
def chain():
    fixture = fixture_of("chain-3")
    return chain_of([fixture.files[path] for path in fixture.chain[::-1]])


@pytest.fixture
def repository(chain):
    """Points with names that begin alike."""
    repository = new_repository()
    for name in ("web-1", "web-12", "Büro"):
        back_up(repository, chain, name=name)
    return repository


def test_a_whole_name_wins_over_those_that_begin_so(repository):
    assert pick_point(repository, "web-1") == "web-1"
    assert pick_point(repository, "web-12") == "web-12"


def test_the_beginning_of_one_name_is_enough_and_of_two_it_is_not(repository):
    assert pick_point(repository, "Bu\u0308") == "Büro"
    with pytest.raises(AmbiguousPointError, match=r"2 restore points \(web-1, web-12\)"):
        pick_point(repository, "web")
    for text in ("", "x", "../web-1"):
        with pytest.raises(NoSuchPointError):
            pick_point(repository, text)


def test_latest_is_the_newest_layer_of_the_newest_run(chain):
    repository = new_repository()
    with pytest.raises(NoSuchPointError):
        pick_point(repository, "latest")
    made = back_up(repository, chain, which=Which.CHECKPOINTS)
    assert pick_point(repository, "latest") == made[-1].name
    assert pick_point(repository, f"latest:{made[0].chain[0].name}") == made[0].name
    with pytest.raises(NoSuchPointError):
        pick_point(repository, "latest:other")


def test_the_latest_of_a_file_that_two_hosts_have_is_ambiguous(chain):
    repository = new_repository()
    for host in ("one", "two"):
        back_up(repository, chain, host=host)
    file = chain.path.name
    with pytest.raises(AmbiguousPointError, match="2 restore points"):
        pick_point(repository, f"latest:{file}")
