"""The licences in ARCHITECTURE.md are those that the packages state, and no dependency is left out."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tests.support.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_DEVELOPERS = {"dev", "peers"}
ROW = re.compile(r"^\| ([\w.-]+(?:, [\w.-]+)*)(?: \(`\w+`\))? \| ([^|]+) \|", re.MULTILINE)
FAMILIES = ("AGPL", "LGPL", "GPL", "MIT", "BSD", "Apache", "PSF", "ISC")


def listed():
    """The licence that the page gives for each package."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    return {name: licence for names, licence in ROW.findall(page) for name in names.split(", ") if name != "package"}


def needed():
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(one for name in extras.keys() - FOR_DEVELOPERS for one in extras[name])]
    return {re.split(r"[<>=\[ ]", one)[0] for one in wanted} - {"vhdx"}


def test_every_dependency_of_users_is_listed_with_a_licence():
    assert set(listed()) == needed()


@pytest.mark.parametrize("name", sorted(listed()))
def test_the_licence_is_the_one_that_the_package_states(name):
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    classifiers = [one for one in stated.get_all("Classifier", []) if one.startswith("License")]
    text = " ".join([stated.get("License-Expression") or stated.get("License") or "", *classifiers])
    family = next(family for family in FAMILIES if family in text)
    assert family in listed()[name]
