"""A report as one HTML page that loads nothing: style and script are in it, and a policy forbids all else."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template

from analyzer.check.result import Checked, all_findings, tally, worst_first
from analyzer.examine.describe import LayerDescription, facts_of
from analyzer.examine.dump import Record
from analyzer.remedies import next_step
from analyzer.report.findings.documents import section_of, windows_of
from analyzer.report.findings.text import places
from analyzer.report.html.escape import Html, element, facts, joined, prose, table, text
from analyzer.report.html.model import FilePart, Report
from analyzer.report.html.pictures import MOST_SHOWN, colours, folded, legend, map_data, picture, sentence, tables
from analyzer.text import exact_size, plural, size
from vhdx.catalogue import rules
from vhdx.findings import Finding, Severity
from vhdx.runs import Kind

# A page for people: tables of millions of entries are what `vhdx dump` is for.
_MOST_ENTRIES = 100
_PLACES = {"offset", "file_offset", "log_offset", "key_offset", "value_offset"}
_SIZES = {"length", "log_length", "size", "block_size"}
_MOST_URGENT = 3
MOST = 500
"""Findings that a page lists one by one, the worst first."""
# Records that are beside one another, field by field, so that two copies can be compared.
_FEW = 2
_MARKS = {Severity.ERROR: "✕", Severity.WARNING: "!", Severity.NOTE: "•"}


def page(report: Report) -> str:
    """The page as text; its encoding is UTF-8."""
    style = _asset("style.css") + colours(len(report.layers))
    script = _asset("map.js") if report.map else ""
    parts = _parts(report)
    # Nothing from anywhere: this very style, this very script, and no other. Hashes, not 'unsafe-inline': should a
    # name from a file become markup in spite of all, it still runs nothing.
    # test_a_page_loads_nothing_and_its_policy_allows_its_own_style_and_script_alone.
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=text(policy),
        title=text(f"{report.leaf.name} - vhdx report"),
        style=style,
        head=_head(report),
        links=joined((element("a", key.capitalize(), href=f"#{key}") for key, _, _ in parts), "\n"),
        parts=joined((_section(*part) for part in parts), "\n"),
        data=map_data(report.map, report.layers) if report.map else "null",
        script=script,
    )


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _head(report: Report) -> Html:
    leaf = report.files[-1].image if report.files and report.files[-1].path == report.leaf else None
    lost = report.map.bytes_of(Kind.LOST) if report.map else 0
    failure = [element("p", report.failure, class_="verdict lost")] if report.failure else []
    if report.looked_at:
        looked = element("ul", *(element("li", place) for place in report.looked_at))
        failure.append(folded(f"It was looked for here ({plural(len(report.looked_at), 'place')})", looked))
    described = (
        ("folder" if report.leaf.is_dir() else "file", report.leaf),
        ("disk", exact_size(leaf.virtual_size) if leaf else ""),
        ("chain", plural(len(report.layers), "file") if report.layers else ""),
        ("findings", tally(all_findings(report.checked)) or "no findings"),
        ("made", f"{report.made:%Y-%m-%d %H:%M:%S %Z} by vhdx {report.version}"),
    )
    verdict = element("p", f"{exact_size(lost)} of the disk cannot be known.", class_="verdict lost") if lost else ""
    title = element("h1", report.leaf.name)
    return joined((title, _what_to_do(report), joined(failure), verdict, facts(described)), "\n")


def _what_to_do(report: Report) -> Html:
    """The worst of what is wrong, each code once, and what helps: it is on the first screen, also of a phone."""
    found = {finding.code: finding for finding in reversed(worst_first(all_findings(report.checked)))}
    urgent = [finding for finding in worst_first(found.values()) if finding.severity > Severity.NOTE][:_MOST_URGENT]
    items = (
        element("li", element("strong", prose(next_step(one))), " ", element("a", one.code, href="#findings"))
        for one in urgent
    )
    return element("ol", *items, class_="urgent") if urgent else Html()


def _parts(report: Report) -> list[tuple[str, str, Html]]:
    """Identifier, title and content of each part that has something to say."""
    nothing = "None beyond the reason at the top." if report.failure else "No findings."
    parts = [("findings", "Findings", _findings(report.checked, nothing))]
    if report.map:
        title = "The files of the chain, leaf first"
        names = ["layer", "file", "file size", "disk size", "data write guid", "found by", "damaged blocks"]
        listed = table(title, names, map(_layer_row, reversed(report.layers)))
        listed = folded(title, listed) if len(report.layers) > MOST_SHOWN else listed
        chain = joined((picture(report.layers, report.map), listed), "\n")
        shown = (Html(_asset("map.html")), legend(report.layers, report.map), tables(report.map))
        drawn = joined((element("p", sentence(report.map)), *shown), "\n")
        where = ("map", "Where each byte of the disk comes from", drawn)
        digest = element("p", "Not taken; `vhdx report --hash` reads the whole disk and takes them.")
        if report.digest:
            code = element("code", report.digest.sha256) if report.digest.sha256 else report.digest.reason
            digest = table("SHA-256", ["of", "digest"], [("the flat disk", code)])
        parts = [("chain", "Chain", chain), where, *parts, ("hashes", "Hashes", digest)]
    shown_files = joined((_states(report.checked), *map(_file, reversed(report.files))), "\n")
    return [*parts, ("files", "Files and their structures", shown_files)]


def _states(checked: Sequence[Checked]) -> Html:
    """A table of all files that were looked at, with what was found in each."""
    about: dict[Path, list[Finding]] = {path: [] for subject in checked for path in (subject.path, *subject.files)}
    for subject in checked:
        for finding in subject.findings:
            about.setdefault(finding.path or subject.path, []).append(finding)
    rows = sorted(about.items(), key=lambda row: -max((each.severity for each in row[1]), default=-1))[:MOST]
    return table("State of each file", ["file", "state"], ((path, tally(found) or "sound") for path, found in rows))


def _section(key: str, title: str, content: Html) -> Html:
    heading = element("h2", title, id=f"{key}-title")
    return element("section", heading, content, id=key, aria_labelledby=f"{key}-title")


def _layer_row(layer: LayerDescription) -> Sequence[object]:
    found = layer.found.value if layer.found else "it is the leaf"
    return (
        *(layer.layer, layer.path, size(layer.file_size), size(layer.virtual_size), layer.data_write_guid),
        *(found if layer.matches else f"{found}, MISMATCH accepted", layer.damaged_blocks),
    )


def _findings(checked: Sequence[Checked], nothing: str) -> Html:
    """All findings, the worst first; `nothing` is said where there are none."""
    found = worst_first(all_findings(checked))
    if not found:
        return element("p", nothing)
    urgent = [each for each in found[:MOST] if each.severity > Severity.NOTE]
    notes = sorted((each for each in found[:MOST] if each.severity is Severity.NOTE), key=lambda note: note.code)
    alike = (list(group) for _, group in groupby(notes, key=lambda note: note.code))
    left_out = f"{len(found) - MOST} more are left out; `vhdx check --format json` lists them all."
    more = element("p", left_out) if len(found) > MOST else Html()
    return joined((element("p", tally(found)), *map(_finding, urgent), *map(_notes, alike), more), "\n")


def _titled(finding: Finding) -> Html:
    name, rule = finding.severity.name.lower(), rules().get(finding.code)
    badge = element("span", element("span", _MARKS[finding.severity], aria_hidden="true"), " ", name, class_="badge")
    return joined((badge, element("code", finding.code), text(rule.title if rule else "")), " ")


def _notes(alike: Sequence[Finding]) -> Html:
    """Notes of one code as one folded item: what they mean and what to do is the same for all of them."""
    if len(alike) == 1:
        return _finding(alike[0])
    first, rule = alike[0], rules().get(alike[0].code)
    rows = [(each.path or "", places(each), each.message) for each in alike]
    shared = facts((("meaning", prose(rule.meaning) if rule else ""), ("next", prose(next_step(first)))))
    summary = element("summary", _titled(first), f" ({len(alike)} times)")
    return element("details", summary, shared, table("Where", ["file", "place", "what"], rows), class_="finding note")


def _finding(finding: Finding) -> Html:
    name, rule, section = finding.severity.name.lower(), rules().get(finding.code), section_of(finding)
    head = element("h3", _titled(finding))
    evidence = (
        ("file", finding.path),
        ("place", places(finding)),
        ("expected", finding.expected),
        ("found", finding.found),
        ("meaning", prose(rule.meaning) if rule else ""),
        ("cause", prose(rule.cause) if rule else ""),
        ("next", element("strong", prose(next_step(finding)))),
        ("Windows says", windows_of(rule)),
        ("rule", f"[MS-VHDX] {section}" if section else ""),
    )
    return element("article", head, element("p", finding.message), facts(evidence), class_=f"finding {name}")


def _file(part: FilePart) -> Html:
    """A file and its structures, folded up."""
    layer = Html() if part.layer is None else element("span", f"layer {part.layer} ", class_="muted")
    title = element("summary", layer, part.path.name)
    body = [element("p", part.path, class_="path")]
    if part.image:
        body.append(facts((*facts_of(part.image), ("damaged blocks", part.image.damaged_blocks or ""))))
    else:
        body.append(element("p", "The file cannot be opened as a whole."))
    for structure in part.structures:
        found = [] if structure.error else list(_tables(structure.name, structure.records))
        said = element("p", structure.error, class_="lost") if structure.error else element("p", "None.")
        body.append(joined(found or (element("h4", structure.name), said), "\n" if found else ""))
    if not part.structures:
        body.append(element("p", "Its structures are left out of this page; `vhdx dump FILE` shows them."))
    return element("details", title, *body, class_="structures")


def _tables(name: str, records: Iterable[Record]) -> Iterator[Html]:
    """Records of the same fields in one table."""
    for names, group in groupby(records, key=tuple):
        alike = list(group)
        if len(alike) <= _FEW:
            columns = ["field", *(f"record {number + 1}" for number in range(len(alike)))]
            rows = [[_label(field), *(_value(field, record[field]) for record in alike)] for field in names]
        else:
            columns = [_label(field) for field in names]
            rows = [[_value(field, value) for field, value in record.items()] for record in alike]
        yield table(name, columns, rows)


def _label(field: str) -> str:
    return field.replace("_", " ")


def _value(field: str, value: object) -> object:
    match value:
        case bool():
            return "yes" if value else "no"
        case bytes():
            return value.hex()
        case list() | tuple():
            return joined(_tables(_label(field), value[:_MOST_ENTRIES]))
        case int() if field in _SIZES:
            return exact_size(value)
        case int() if field in _PLACES:
            return f"{value} (0x{value:x})"
    return value
