"""Findings with their evidence, and facts and on-disk structures of files, as parts of a page."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from analyzer.check.result import Checked, all_findings, tally, worst_first
from analyzer.examine.describe import ImageDescription
from analyzer.examine.dump import Record, Section
from analyzer.remedies import next_step
from analyzer.report.findings.documents import section_of, windows_of
from analyzer.report.findings.text import places
from analyzer.report.html.escape import Html, element, facts, joined, prose, table
from analyzer.report.html.model import FilePart
from analyzer.text import exact_size, plural, size
from vhdx.catalogue import rules
from vhdx.findings import Finding, Severity

# Records that stand beside one another, field by field, so that two copies can be compared.
_FEW = 2
# A page for people: tables of millions of entries are what `vhdx dump` is for.
_MOST_ENTRIES = 100
_PLACES = {"offset", "file_offset", "log_offset", "key_offset", "value_offset"}
_SIZES = {"length", "log_length", "size", "block_size"}
MOST = 500
"""Findings that a page lists one by one, the worst first."""
_MARKS = {Severity.ERROR: "✕", Severity.WARNING: "!", Severity.NOTE: "•"}


def findings_part(checked: Sequence[Checked], nothing: str) -> Html:
    """All findings, the worst first; `nothing` is said where there are none."""
    found = worst_first(all_findings(checked))
    if not found:
        return element("p", nothing)
    left_out = f"{len(found) - MOST} more are left out; `vhdx check --format json` lists them all."
    more = element("p", left_out) if len(found) > MOST else Html()
    return joined((element("p", tally(found)), *(_finding(each) for each in found[:MOST]), more), "\n")


def _finding(finding: Finding) -> Html:
    name = finding.severity.name.lower()
    rule = rules().get(finding.code)
    badge = element("span", element("span", _MARKS[finding.severity], aria_hidden="true"), " ", name, class_="badge")
    head = element("h3", badge, " ", element("code", finding.code), " ", rule.title if rule else "")
    return element("article", head, element("p", finding.message), _evidence(finding), class_=f"finding {name}")


def _evidence(finding: Finding) -> Html:
    rule = rules().get(finding.code)
    section = section_of(finding)
    return facts(
        (
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
    )


def files_part(files: Sequence[FilePart]) -> Html:
    """Each file, the leaf first, folded up."""
    return joined(map(_file, reversed(files)), "\n")


def _file(part: FilePart) -> Html:
    layer = Html() if part.layer is None else element("span", f"layer {part.layer} ", class_="muted")
    title = element("summary", layer, part.path.name)
    body = [element("p", part.path, class_="path")]
    body.append(_description(part.image) if part.image else element("p", "The file cannot be opened as a whole."))
    body += [_structure(structure) for structure in part.structures]
    if not part.structures:
        body.append(element("p", "Its structures are left out of this page; `vhdx dump FILE` shows them."))
    return element("details", title, *body, class_="structures")


def _description(image: ImageDescription) -> Html:
    blocks = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in image.blocks.items())
    log = f"LIVE, {plural(image.log.replayed_entries, 'entry')} replayed in memory" if image.log.live else "clean"
    return facts(
        (
            ("type", f"{image.type.value} VHDX"),
            ("disk size", exact_size(image.virtual_size)),
            ("file size", exact_size(image.file_size)),
            ("block size", size(image.block_size)),
            ("sectors", f"{image.logical_sector_size} bytes logical, {image.physical_sector_size} physical"),
            ("written by", image.creator or "(does not say)"),
            ("disk id", image.virtual_disk_id),
            ("data write", image.data_write_guid),
            ("file write", image.file_write_guid),
            ("log", log),
            ("blocks", blocks),
            ("damaged blocks", image.damaged_blocks or ""),
        )
    )


def _structure(structure: Section) -> Html:
    tables = list(_tables(structure.name, structure.records))
    if tables and not structure.error:
        return joined(tables, "\n")
    text = element("p", structure.error, class_="lost") if structure.error else element("p", "None.")
    return joined((element("h4", structure.name), text))


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
