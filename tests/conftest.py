"""What all tests share: Hypothesis profiles, the corpus, catalogue recipes, and peers that must not be skipped."""

import gc
import logging
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from analyzer.guest.filesystems import reader_process
from fixtures import write_files
from tests.support.catalogue import fixture_of
from tests.support.command_line import built, chain, damaged, vhdx_command
from tests.support.corpus_files import CORPUS, Corpus
from tests.support.peer_tools import PEERS_REQUIRED, missing_peer
from tests.support.readers import Readers
from tests.support.small_volume import small_volume

__all__ = ["built", "chain", "damaged", "small_volume", "vhdx_command"]

settings.register_profile(
    "dev", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, max_examples=100)
os.environ["VHDX_CONFIG"] = ""  # whoever runs the tests may have settings of their own
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected and imported stays: walking through it for garbage took a seventh of the collection's time."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, worker_folder):
    """The stored images, unpacked when they are asked for."""
    if not CORPUS.is_dir():
        pytest.skip(f"there is no corpus at {CORPUS}; VHDX_CORPUS says where it is")
    return Corpus(worker_folder / "corpus")


@pytest.fixture(scope="session")
def worker_folder(tmp_path_factory):
    """A folder of this session that all xdist workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _readers():
    """Processes that read file systems start by a fork, where that is sure to work, and not as new interpreters."""
    if sys.platform != "linux":
        yield
        return
    readers = Readers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_process, "_start", readers.start)
        yield
    readers.end()


@pytest.fixture
def recipe(tmp_path):
    """Builds a recipe of the catalogue in a fresh folder: gives the fixture and the path of its leaf."""

    def build(name):
        fixture = fixture_of(name)
        write_files(fixture, tmp_path)
        return fixture, tmp_path / fixture.leaf

    return build


@pytest.fixture
def quiet(monkeypatch):
    """Damaged images warn by the thousand; here nobody listens."""
    monkeypatch.setattr(logging.getLogger("vhdx"), "disabled", True)


@pytest.fixture
def require_peer():
    """Skips when a peer is missing, or fails when VHDX_REQUIRE_PEERS=1."""

    def require(name):
        if missing_peer(name):
            pytest.skip(f"{name} is not installed")

    return require


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A skipped comparison with a peer is a failure where the peers have to be there."""
    report = yield
    if PEERS_REQUIRED and report.skipped and item.get_closest_marker("peers"):
        report.outcome = "failed"
        report.longrepr = f"VHDX_REQUIRE_PEERS is set and this was skipped: {report.longrepr}"
    return report
