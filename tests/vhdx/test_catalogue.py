"""The catalogue: every code that the sources name has its words, and every word its code."""

import re

from tests.support.files import ROOT
from vhdx.catalogue import remedy_of, rules, windows_codes
from vhdx.findings import Finding, Severity

CODE = re.compile(r'"([A-Z]{3}-\d\d)"')


def codes_in_sources():
    files = [path for folder in ("vhdx", "analyzer") for path in (ROOT / folder).rglob("*.py")]
    return {code for path in files for code in CODE.findall(path.read_text())}


def test_every_code_that_a_check_yields_is_in_the_catalogue():
    assert codes_in_sources() <= set(rules())


def test_codes_are_in_order_within_their_groups():
    groups = {}
    for code in rules():
        groups.setdefault(code[:3], []).append(int(code[4:]))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in groups.values())


def test_windows_codes_and_finding_codes_know_one_another():
    assert {rule.windows for rule in rules().values() if rule.windows} <= set(windows_codes())
    assert {code for words in windows_codes().values() for code in words.findings} <= set(rules())


def test_texts_are_sentences():
    for rule in rules().values():
        assert not rule.title.endswith(".")
        for text in (rule.meaning, rule.cause, rule.remedy):
            assert text[0].isupper() or text.startswith(("`", "file_write", "parent_linkage"))
            assert text.endswith((".", "?"))


def test_what_to_do_is_the_findings_own_advice_or_its_rules():
    assert remedy_of(Finding("BAT-04", Severity.ERROR, "x", advice="do this")) == "do this"
    assert remedy_of(Finding("BAT-04", Severity.ERROR, "x")) == rules()["BAT-04"].remedy
