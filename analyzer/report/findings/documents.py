"""Findings as JSON documents: that of `vhdx check --json`, and SARIF 2.1.0 [OASIS].

Code hosts show SARIF beside the files: rules from the catalogue, a result for each finding.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analyzer.check.result import Checked, all_findings, common_folder, counts, fingerprint, relative
from analyzer.remedies import next_step
from analyzer.text import safe
from vhdx.catalogue import Rule, rules, windows_codes
from vhdx.findings import Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "SRCROOT"
_LEVELS = {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.ERROR: "error"}
Json = dict[str, Any]


def check_document(checked: Sequence[Checked], *, known: int = 0) -> Json:
    """The members of the document. `known` is how many findings a baseline left out."""
    folder = common_folder(checked)
    found = counts(all_findings(checked))
    return {
        "subjects": [_subject(subject, folder) for subject in checked],
        "counts": {severity.name.lower(): count for severity, count in found.items()},
        "known": known,
    }


def _subject(subject: Checked, folder: Path) -> Json:
    return {
        "path": _path_text(subject.path),
        "files": [_path_text(path) for path in subject.files],
        "findings": [_finding(finding, subject.path, folder) for finding in subject.findings],
    }


def _finding(finding: Finding, subject: Path, folder: Path) -> Json:
    rule = rules().get(finding.code)
    path = finding.path or subject
    return {
        "code": finding.code,
        "severity": finding.severity.name.lower(),
        "title": rule.title if rule else finding.code,
        "message": safe(finding.message),
        "path": _path_text(path),
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


def _path_text(path: Path) -> str:
    """A path as the other documents have it: a name that is no text has its bytes as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def sarif_log(checked: Sequence[Checked], *, root: Path, version: str) -> Json:
    """The log as JSON has it. Files below `root` get URIs relative to it, as code hosts want them."""
    found = [(subject.path, finding) for subject in checked for finding in subject.findings]
    codes = {finding.code for _, finding in found}
    used = [rule for code, rule in rules().items() if code in codes]
    places = {rule.code: number for number, rule in enumerate(used)}
    folder = root.absolute()
    driver = {"name": "vhdx", "version": version, "rules": [_rule(rule) for rule in used]}
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder in which the check was run."}}},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": location} for location in _artifacts(checked, folder)],
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


def _artifacts(checked: Iterable[Checked], root: Path) -> list[Json]:
    files = dict.fromkeys(path for subject in checked for path in (subject.path, *subject.files))
    return list({location["uri"]: location for location in (uri_of(path, root) for path in files)}.values())


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
