"""Every figure is a ratio to something measured in the same run; `make bench` asserts it, bench-check only runs it."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from benchmarks.chain import FULL, SMALL, make_chain
from benchmarks.pairs import Figure, Pairs, table
from tests.support.peer_tools import PEERS_REQUIRED, missing_peer

RESULTS = Path(__file__).with_name("results.json")
_FIGURES = pytest.StashKey[list[Figure]]()


def pytest_configure(config):
    config.stash[_FIGURES] = []


def pytest_terminal_summary(terminalreporter, config):
    figures = config.stash[_FIGURES]
    if figures and _measuring(config):
        RESULTS.write_text(json.dumps([figure.as_dict() for figure in figures], indent=2) + "\n")
        terminalreporter.section("figures")
        terminalreporter.write_line(table(figures))


def _measuring(config):
    return not config.getoption("benchmark_disable") or config.getoption("benchmark_enable")


@pytest.fixture(scope="session")
def measuring(pytestconfig):
    """False when the files run as tests: on small input, once, without a word about time."""
    return _measuring(pytestconfig)


@pytest.fixture(scope="session")
def disk_folder(tmp_path_factory):
    """A folder on a disk; VHDX_BENCH_DIR names one where the input is kept for the next run."""
    kept = os.environ.get("VHDX_BENCH_DIR")
    return Path(kept) if kept else tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="session")
def memory_folder(measuring):
    """A folder in memory, with room for an output."""
    shared = Path("/dev/shm")  # noqa: S108 - made unique below
    needed = (FULL if measuring else SMALL).size
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < needed:
        pytest.skip(f"{shared} has no room for {needed} bytes")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def chain(disk_folder, measuring):
    return make_chain(FULL if measuring else SMALL, disk_folder)


@pytest.fixture
def pairs(benchmark, measuring, pytestconfig):
    """Compares two functions in turn and holds the median of the ratios against a bar."""
    return Pairs(benchmark, pytestconfig.stash[_FIGURES], measuring)


@pytest.fixture
def require_peer():
    """Skips when a peer is missing, or fails when VHDX_REQUIRE_PEERS=1."""

    def require(name):
        if missing_peer(name):
            (pytest.fail if PEERS_REQUIRED else pytest.skip)(f"{name} is not installed")

    return require
