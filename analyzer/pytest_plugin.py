"""A plugin for pytest: chains to test against, and an assertion that a chain or file is sound.

pytest imports this wherever vhdx is installed, so nothing is loaded before a test asks for it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from analyzer.check.result import Checked
    from fixtures import DiskModel, FixtureSet, ImageSpec
    from vhdx.findings import Severity


class Reach(Enum):
    """How far `assert_sound` looks."""

    FILE = "file"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class SyntheticChain:
    """A chain that was written for a test. `models` says what each file reads as, by the file's path."""

    leaf: Path
    files: tuple[Path, ...]
    """Leaf first."""
    models: Mapping[Path, DiskModel]


class ChainFactory(Protocol):
    """What the fixture `vhdx_chain` gives."""

    def __call__(self, what: str | Mapping[str, ImageSpec] = "demo") -> SyntheticChain:
        """Write a recipe of `vhdx fixtures list`, or files by name from specifications, base first."""


@pytest.fixture
def vhdx_chain(tmp_path_factory: pytest.TempPathFactory) -> ChainFactory:
    """Writes chains into fresh folders: `vhdx_chain("chain-3").leaf`; a recipe that is none fails the test."""

    def write(what: str | Mapping[str, ImageSpec] = "demo") -> SyntheticChain:
        __tracebackhide__ = True
        from fixtures import write_files

        built = _built(what)
        folder = tmp_path_factory.mktemp("vhdx")
        write_files(built, folder)
        models = {folder / name: model for name, model in built.models.items()}
        return SyntheticChain(folder / built.leaf, tuple(folder / name for name in built.chain), models)

    return write


def _built(what: str | Mapping[str, ImageSpec]) -> FixtureSet:
    __tracebackhide__ = True
    from difflib import get_close_matches

    from fixtures import RECIPES
    from fixtures.fixture_set import healthy

    if isinstance(what, str) and what not in RECIPES:
        near = " or ".join(map(repr, get_close_matches(what, RECIPES))) or "one of `vhdx fixtures list`"
        pytest.fail(f"vhdx_chain: there is no recipe {what!r}; did you mean {near}?", pytrace=False)
    return RECIPES[what].build() if isinstance(what, str) else healthy(what, "made for a test")


def assert_sound(path: Path, *, chain: Reach = Reach.CHAIN, fail_on: Severity | None = None) -> None:
    """Check a file, or the chain that ends with it; raises AssertionError that lists what is `fail_on` or worse.

    Errors alone fail where `fail_on` is not given. Raises VhdxError for what keeps the check from looking at all.
    """
    __tracebackhide__ = True
    # The engine is loaded here and by name: pytest must not pay for it at its start.
    engine = importlib.import_module("analyzer.check.check")
    checked: Checked = engine.check_chain(path) if chain is Reach.CHAIN else engine.check_file(path)
    require_sound(checked, fail_on=fail_on)


def require_sound(checked: Checked, *, fail_on: Severity | None = None) -> None:
    """Raise AssertionError that lists the findings of a check that are `fail_on` (an error) or worse."""
    __tracebackhide__ = True
    from analyzer.check.result import at_least, worst_first
    from analyzer.report.findings.text import sentence
    from analyzer.text import plural, safe
    from vhdx.findings import Severity

    found = worst_first(at_least(checked.findings, Severity.ERROR if fail_on is None else fail_on))
    if found:
        lines = "\n".join(f"  {sentence(finding)}" for finding in found)
        raise AssertionError(f"{safe(checked.path)} is not sound, {plural(len(found), 'finding')}:\n{lines}")
