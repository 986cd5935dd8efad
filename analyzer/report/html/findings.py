"""Findings with their evidence, as parts of a page."""

from collections.abc import Sequence

from analyzer.check.result import Checked, all_findings, counts, worst_first
from analyzer.remedies import next_step
from analyzer.report.findings.sarif import windows_of
from analyzer.report.findings.text import places
from analyzer.report.html.escape import Html, element, facts, joined, prose
from analyzer.text import plural
from vhdx.catalogue import rules
from vhdx.findings import Finding, Severity

MOST = 500
"""Findings that a page tells one by one, the worst first."""
_MARKS = {Severity.ERROR: "✕", Severity.WARNING: "!", Severity.NOTE: "•"}


def findings_part(checked: Sequence[Checked], nothing: str) -> Html:
    """All findings, the worst first; `nothing` is said where there are none."""
    found = worst_first(all_findings(checked))
    if not found:
        return element("p", nothing)
    left_out = f"{len(found) - MOST} more are left out; `vhdx check --format json` lists them all."
    more = element("p", left_out) if len(found) > MOST else Html()
    return joined((element("p", tally(found)), *(_finding(each) for each in found[:MOST]), more), "\n")


def tally(found: Sequence[Finding]) -> str:
    """`2 errors, 1 note`."""
    parts = [plural(count, severity.name.lower()) for severity, count in counts(found).items() if count]
    return ", ".join(parts) or "no findings"


def _finding(finding: Finding) -> Html:
    name = finding.severity.name.lower()
    rule = rules().get(finding.code)
    badge = element("span", element("span", _MARKS[finding.severity], aria_hidden="true"), " ", name, class_="badge")
    head = element("h3", badge, " ", element("code", finding.code), " ", rule.title if rule else "")
    return element("article", head, element("p", finding.message), _evidence(finding), class_=f"finding {name}")


def _evidence(finding: Finding) -> Html:
    rule = rules().get(finding.code)
    section = finding.section or (rule.section if rule else "")
    return facts(
        (
            ("file", finding.path),
            ("place", places(finding)),
            ("expected", finding.expected),
            ("found", finding.found),
            ("meaning", prose(rule.meaning) if rule else ""),
            ("cause", prose(rule.cause) if rule else ""),
            ("next", element("strong", prose(next_step(finding)))),
            ("Windows says", windows_of(rule) if rule and rule.windows else ""),
            ("rule", f"[MS-VHDX] {section}" if section else ""),
        )
    )
