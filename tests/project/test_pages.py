"""Pages for busy readers: short cells, short items, links that lead somewhere."""

import re

import pytest

from tests.support.files import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
ITEM = re.compile(r"^ *(?:[*-]|\d+\.) (.*(?:\n(?! *(?:[*-]|\d+\.) )[^\n|#]+)*)", re.MULTILINE)
MOST_WORDS_OF_A_CELL, MOST_WORDS_OF_AN_ITEM, MOST_BYTES_OF_THE_README = 20, 40, 6000


def prose(path):
    """A page without its fenced blocks."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def words(text):
    """The words of a text as a reader sees it: of a link, its text."""
    return LINK.sub(r"\1", text).split()


def cells(text):
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [cell for row in rows for cell in re.split(r"(?<!\\)\|", row)]


def anchors(path):
    """What a link can lead to within a page, as GitHub names it."""
    titles = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_cell_of_a_table_is_a_paragraph(page):
    assert not [cell for cell in cells(prose(page)) if len(words(cell)) > MOST_WORDS_OF_A_CELL]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_item_of_a_list_is_a_wall(page):
    assert not [item for item in ITEM.findall(prose(page)) if len(words(item)) > MOST_WORDS_OF_AN_ITEM]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_to_a_page_and_a_heading(page):
    for _, target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_the_readme_is_read_in_two_minutes():
    assert (ROOT / "README.md").stat().st_size <= MOST_BYTES_OF_THE_README


def test_the_index_of_the_documentation_has_every_page():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for _, target in LINK.findall(index.read_text(encoding="utf-8"))}
    assert {path.resolve() for path in (ROOT / "docs").glob("*.md")} - {index.resolve()} <= linked
