"""Findings as documents for programs: the JSON of `vhdx check --json`, SARIF 2.1.0 [OASIS], and JUnit XML.

Code hosts show SARIF beside the files: rules from the catalogue, a result for each finding. Build servers show JUnit as
tests: a suite for each subject, a case for each group of findings.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from analyzer.check.result import (
    Checked,
    all_findings,
    at_least,
    common_folder,
    counts,
    fingerprint,
    relative,
    worst_first,
)
from analyzer.examine.explain import GROUPS
from analyzer.remedies import next_step
from analyzer.report.findings.text import sentence
from analyzer.text import path_text, safe
from vhdx.catalogue import Rule, rules, windows_codes
from vhdx.findings import Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# Where the rules are from: they are those of the format.
_INFORMATION = "https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx"
ROOT = "SRCROOT"
SOUND = "no findings"
# What XML 1.0 [2.2] has no place for, not even as a reference.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LEVELS = {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.ERROR: "error"}
Json = dict[str, Any]


def check_document(checked: Sequence[Checked], *, known: int = 0) -> Json:
    """The members of the document. `known` is how many findings a baseline left out."""
    folder = common_folder(checked)
    found = counts(all_findings(checked))
    return {
        "subjects": [
            {
                "path": path_text(subject.path),
                "files": [path_text(path) for path in subject.files],
                "findings": [_finding(finding, subject.path, folder) for finding in subject.findings],
            }
            for subject in checked
        ],
        "counts": {severity.name.lower(): count for severity, count in found.items()},
        "known": known,
    }


def _finding(finding: Finding, subject: Path, folder: Path) -> Json:
    rule = rules().get(finding.code)
    path = finding.path or subject
    return {
        "code": finding.code,
        "severity": finding.severity.name.lower(),
        "title": rule.title if rule else finding.code,
        "message": safe(finding.message),
        "path": path_text(path),
        "relative_path": safe(relative(path, folder)),
        "offset": finding.offset,
        "length": finding.length,
        "disk_start": finding.disk_start,
        "disk_length": finding.disk_length,
        "expected": safe(finding.expected) or None,
        "found": safe(finding.found) or None,
        "section": section_of(finding) or None,
        "windows": (rule.windows if rule else "") or None,
        "next_step": safe(next_step(finding)),
        "fingerprint": fingerprint(finding, subject),
    }


def sarif_log(checked: Sequence[Checked], *, root: Path, version: str) -> Json:
    """The log as JSON has it. Files below `root` get URIs relative to it, as code hosts want them."""
    found = [(subject.path, finding) for subject in checked for finding in subject.findings]
    codes = {finding.code for _, finding in found}
    used = [rule for code, rule in rules().items() if code in codes]
    places = {rule.code: number for number, rule in enumerate(used)}
    folder = root.absolute()
    paths = dict.fromkeys(path for subject in checked for path in (subject.path, *subject.files))
    locations = {location["uri"]: location for location in (uri_of(path, folder) for path in paths)}
    driver = {
        "name": "vhdx",
        "version": version,
        "informationUri": _INFORMATION,
        "rules": [_rule(rule) for rule in used],
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder in which the check was run."}}},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": location} for location in locations.values()],
        "results": list(_results(found, places, folder)),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def uri_of(path: Path, root: Path) -> Json:
    """An artifactLocation: relative to `root`, percent-encoded; absolute where the file is elsewhere."""
    whole = Path(os.path.normpath(path.absolute()))
    if whole.is_relative_to(root):
        return {"uri": _quoted(whole.relative_to(root).as_posix()), "uriBaseId": ROOT}
    return {"uri": "file://" + _quoted("/" + whole.as_posix().lstrip("/"))}


def _quoted(path: str) -> str:
    # A name that is no text is quoted byte by byte. A colon in the first part would look like a scheme: it is quoted.
    return quote(os.fsencode(path), safe="/")


def _rule(rule: Rule) -> Json:
    properties: Json = {"tags": ["vhdx", rule.code[:3]], "precision": "very-high"}
    properties["problem.severity"] = "recommendation" if rule.severity is Severity.NOTE else _LEVELS[rule.severity]
    if windows := windows_of(rule):
        properties["windows"] = windows
    if rule.section:
        properties["section"] = f"[MS-VHDX] {rule.section}"
    markdown = f"{rule.meaning}\n\n**How it comes about:** {rule.cause}\n\n**What to do:** {rule.remedy}"
    return {
        "id": rule.code,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": f"{rule.meaning} {rule.cause} {rule.remedy}", "markdown": markdown},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": properties,
    }


def windows_of(rule: Rule | None) -> str:
    """The code that Windows gives for a rule, with its name where that is known; "" where it gives none."""
    code = rule.windows if rule else ""
    known = windows_codes().get(code)
    return f"{code} {known.name}" if known else code


def section_of(finding: Finding) -> str:
    """The section of [MS-VHDX] that a finding is about; "" for none."""
    rule = rules().get(finding.code)
    return finding.section or (rule.section if rule else "")


def _results(found: Iterable[tuple[Path, Finding]], places: Mapping[str, int], root: Path) -> Iterable[Json]:
    seen: Counter[str] = Counter()
    for subject, finding in found:
        name = fingerprint(finding, subject)
        seen[name] += 1
        result: Json = {
            "ruleId": finding.code,
            "level": _LEVELS[finding.severity],
            "message": {"text": f"{safe(finding.message)}; {safe(next_step(finding))}"},
            "locations": [{"physicalLocation": _place(finding, subject, root)}],
            # Code hosts know an alert again by the first of these; the number tells several of one place apart.
            "partialFingerprints": {"primaryLocationLineHash": f"{name}:{seen[name]}", "vhdx/v1": name},
            "properties": properties_of(finding, subject),
        }
        yield result | ({"ruleIndex": places[finding.code]} if finding.code in places else {})


def _place(finding: Finding, subject: Path, root: Path) -> Json:
    # A disk has no lines; but code hosts show nothing without one, and what SARIF says of bytes and of lines in one
    # region is independent [3.30.4].
    bytes_of = {"byteOffset": finding.offset, "byteLength": finding.length if finding.offset is not None else None}
    region = {"startLine": 1} | {name: value for name, value in bytes_of.items() if value is not None}
    return {"artifactLocation": uri_of(finding.path or subject, root), "region": region}


def properties_of(finding: Finding, subject: Path) -> Json:
    """What SARIF has no words for: the range of the disk, expected and found, the section, the Windows code."""
    facts = {
        "subject": safe(subject),
        "diskStart": finding.disk_start,
        "diskLength": finding.disk_length,
        "expected": safe(finding.expected) or None,
        "found": safe(finding.found) or None,
        "section": section_of(finding) or None,
        "windows": windows_of(rules().get(finding.code)) or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def junit_xml(checked: Sequence[Checked], *, fail_on: Severity | None) -> str:
    """The document. Findings of `fail_on` or worse are failures, the others are in the output of a test that passes.

    A subject without findings has one case, which passes. With `fail_on` None nothing fails.
    """
    root = ET.Element("testsuites", name="vhdx check")
    root.extend(suites := [_suite(subject, fail_on) for subject in checked])
    for total in ("tests", "failures"):
        root.set(total, str(sum(int(suite.attrib[total]) for suite in suites)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(subject: Checked, fail_on: Severity | None) -> ET.Element:
    name = _xml_text(subject.path)
    # By the group of their code, groups in the catalogue's order, the worst of each first.
    rank = {group: number for number, group in enumerate(GROUPS)}
    by_group = sorted(worst_first(subject.findings), key=lambda finding: rank.get(finding.code[:3], len(rank)))
    groups = groupby(by_group, key=lambda finding: finding.code[:3])
    cases = [_case(name, group, list(findings), fail_on) for group, findings in groups]
    # A suite without cases says nothing; that a subject was looked at and nothing was found should be seen.
    cases = cases or [ET.Element("testcase", classname=name, name=SOUND)]
    failures = sum(case.find("failure") is not None for case in cases)
    facts = {"name": name, "tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": "0"}
    suite = ET.Element("testsuite", facts)
    suite.extend(cases)
    return suite


def _case(subject: str, group: str, findings: Sequence[Finding], fail_on: Severity | None) -> ET.Element:
    title = f"{group} {GROUPS.get(group, '')}".strip()
    case = ET.Element("testcase", classname=subject, name=title)
    failing = at_least(findings, fail_on) if fail_on is not None else ()
    if failing:
        kind = failing[0].severity.name.lower()
        failure = ET.SubElement(case, "failure", type=kind, message=_xml_text(failing[0].message))
        failure.text = _lines(failing)
    others = [finding for finding in findings if finding not in failing]
    if others:
        ET.SubElement(case, "system-out").text = _lines(others)
    return case


def _lines(findings: Iterable[Finding]) -> str:
    return "\n".join(_xml_text(sentence(finding)) for finding in findings)


def _xml_text(value: object) -> str:
    """Text that XML can hold, each character that it cannot, or that would hide, shown as an escape."""
    return _NO_XML.sub("", safe(value))
