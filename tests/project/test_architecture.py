"""ARCHITECTURE.md and CONTRIBUTING.md name what there is, and all that there is."""

import re

import pytest

from tests.support.files import ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PICTURE = PAGE.partition("## The picture")[2].partition("## Seven sentences")[0]
ROOMS = PAGE.partition("## The rooms of analyzer/")[2].partition("## Vocabulary")[0]
PLACEHOLDER = re.compile(r"NAME|NNN")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
TEST = re.compile(r"`(test_\w+\.py)`")
WITHOUT_MODULES = {"backup/assets"}  # a program by itself, which is copied into repositories
ROOTS = ("", "analyzer", "analyzer/guest", "analyzer/backup", "analyzer/convert", "vhdx")


def test_every_room_of_analyzer_has_a_sentence():
    folders = {path.parent.relative_to(ROOT / "analyzer") for path in (ROOT / "analyzer").rglob("*.py")}
    rooms = {folder.as_posix() for folder in folders if len(folder.parts) in {1, 2}}
    assert not [room for room in rooms if f"`{room}/" not in ROOMS and room not in WITHOUT_MODULES]


def test_every_module_of_the_library_is_in_the_picture():
    names = {path.stem for path in (ROOT / "vhdx").glob("*.py")} - {"__init__"}
    assert not [name for name in names if not re.search(rf"\b{name}\b", PICTURE)]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_that_is_named_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = [
        path for path in PATH.findall(text) if not PLACEHOLDER.search(path) and not path.startswith(("cd/", "ms/"))
    ]
    assert not [path for path in named if not any((ROOT / root / path).exists() for root in ROOTS)]


def test_every_test_that_is_named_exists():
    names = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(TEST.findall(PAGE)) <= names
