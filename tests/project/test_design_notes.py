"""Each decision has its context, what was rejected, a figure, and a test that exists."""

import re

import pytest

from tests.support.files import ROOT

FOLDER = ROOT / "docs" / "design"
NOTES = sorted(FOLDER.glob("[0-9][0-9][0-9]-*.md"))
PARTS = ["Context", "Decision", "Rejected", "Figure", "Held by"]
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


@pytest.mark.parametrize("note", NOTES, ids=[note.stem for note in NOTES])
def test_a_note_has_all_its_parts_and_a_date(note):
    text = note.read_text(encoding="utf-8")
    assert re.match(rf"# {note.name[:3]} .+\n\nDate: \d{{4}}-\d\d-\d\d\n", text)
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert sections[1::2] == PARTS
    assert all(section.strip() for section in sections[2::2])


@pytest.mark.parametrize("note", NOTES, ids=[note.stem for note in NOTES])
def test_the_tests_that_hold_a_decision_exist(note):
    named = NAMED.findall(note.read_text(encoding="utf-8").partition("## Held by")[2])
    assert named
    for file, function in named:
        sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob(file)]
        assert any(f"def {function}(" in source for source in sources), f"{file} has no {function}"


def test_notes_are_numbered_without_gaps_and_all_are_in_the_index():
    assert [int(note.name[:3]) for note in NOTES] == list(range(1, len(NOTES) + 1))
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"({note.name})" in index for note in NOTES)
