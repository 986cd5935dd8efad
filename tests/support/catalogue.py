"""Fixtures of the catalogue, built once for all tests of a process that ask for them: nothing changes a fixture."""

from functools import lru_cache

from fixtures import RECIPES


@lru_cache(
    maxsize=16
)  # a few are asked for by hundreds of tests: "demo" by most of tests/cli, which took 17 ms of each
def fixture_of(name):
    """The fixture of the recipe of this name, its models with it."""
    return RECIPES[name].build()
