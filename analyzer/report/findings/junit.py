"""JUnit XML, which build servers show as tests: a suite for each subject, a case for each group of findings."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from analyzer.check.result import Checked, at_least, worst_first
from analyzer.examine.explain import GROUPS
from analyzer.report.findings.text import sentence
from analyzer.text import safe
from vhdx.findings import Finding, Severity

SOUND = "no findings"
# What XML 1.0 [2.2] has no place for, not even as a reference.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(checked: Sequence[Checked], *, fail_on: Severity | None) -> str:
    """The document. Findings of `fail_on` or worse are failures, the others are in the output of a test that passes.

    A subject without findings has one case, which passes. With `fail_on` None nothing fails.
    """
    root = ET.Element("testsuites", name="vhdx check")
    suites = [_suite(subject, fail_on) for subject in checked]
    root.extend(suites)
    for total in ("tests", "failures"):
        root.set(total, str(sum(int(suite.attrib[total]) for suite in suites)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(subject: Checked, fail_on: Severity | None) -> ET.Element:
    name = _text(subject.path)
    cases = [_case(name, group, findings, fail_on) for group, findings in _grouped(subject.findings)]
    # A suite without cases says nothing; that a subject was looked at and nothing was found should be seen.
    cases = cases or [ET.Element("testcase", classname=name, name=SOUND)]
    failures = sum(case.find("failure") is not None for case in cases)
    facts = {"name": name, "tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": "0"}
    suite = ET.Element("testsuite", facts)
    suite.extend(cases)
    return suite


def _grouped(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Findings by the group of their code, groups in the catalogue's order, the worst of each first."""
    rank = {group: number for number, group in enumerate(GROUPS)}
    by_group = sorted(worst_first(findings), key=lambda finding: rank.get(finding.code[:3], len(rank)))
    return [(group, list(found)) for group, found in groupby(by_group, key=lambda finding: finding.code[:3])]


def _case(subject: str, group: str, findings: Sequence[Finding], fail_on: Severity | None) -> ET.Element:
    title = f"{group} {GROUPS.get(group, '')}".strip()
    case = ET.Element("testcase", classname=subject, name=title)
    failing = at_least(findings, fail_on) if fail_on is not None else ()
    if failing:
        kind = failing[0].severity.name.lower()
        failure = ET.SubElement(case, "failure", type=kind, message=_text(failing[0].message))
        failure.text = _lines(failing)
    others = [finding for finding in findings if finding not in failing]
    if others:
        ET.SubElement(case, "system-out").text = _lines(others)
    return case


def _lines(findings: Iterable[Finding]) -> str:
    return "\n".join(_text(sentence(finding)) for finding in findings)


def _text(value: object) -> str:
    """Text that XML can hold, each character that it cannot, or that would hide, shown as an escape."""
    return _NO_XML.sub("", safe(value))
