"""The page of MUSTs: what it names is there, and each damage yields the finding that it is named for."""

import re

import pytest

from fixtures.damage import DAMAGES
from tests.support.files import ROOT
from vhdx.catalogue import rules

PAGE = (ROOT / "docs/musts.md").read_text(encoding="utf-8")
EACH_DAMAGE = "tests/analyzer/check/test_damage.py"
CHECKED, PROGRAM = "what must be | section | finding | damage | test", "what it must do | section | here | test"


def rows_of(head):
    """The cells of each row of all tables with this head."""
    tables = re.findall(rf"^\| {re.escape(head)} \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for table in tables for row in table.splitlines()]


def names(cell):
    return [name for name in cell.split(", ") if name]


@pytest.mark.parametrize("row", rows_of(CHECKED), ids=lambda row: row[0])
def test_a_must_has_its_findings_their_damages_and_a_test(row):
    _, sections, codes, damages, test = row
    assert all(re.fullmatch(r"2(\.\d+)+", section) for section in names(sections))
    assert codes
    assert set(names(codes)) <= set(rules())
    yielded = [DAMAGES[damage].codes & set(names(codes)) for damage in names(damages)]
    assert all(yielded)
    assert set().union(*yielded) == set(names(codes))
    # The test of all damages names no code: it takes them from the damages.
    text = (ROOT / test).read_text(encoding="utf-8")
    assert test == EACH_DAMAGE or any(code in text for code in names(codes))


def test_every_reserved_field_that_a_rule_is_about_is_in_the_table():
    reserved = {code for code, rule in rules().items() if rule.title.startswith("Reserved") and code != "FID-06"}
    assert reserved <= {code for row in rows_of(CHECKED) for code in names(row[2])}


def test_what_a_program_must_do_names_tests_that_exist():
    assert [row[3] for row in rows_of(PROGRAM) if row[3] and not (ROOT / row[3]).is_file()] == []
    assert len(rows_of(PROGRAM)) > 10
