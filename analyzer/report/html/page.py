"""A report as one HTML page that loads nothing: style and script are in it, and a policy forbids all else."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

from analyzer.check.result import all_findings, tally
from analyzer.examine.describe import LayerDescription
from analyzer.report.html.disk_map import DiskMap
from analyzer.report.html.escape import Html, element, facts, joined, table, text
from analyzer.report.html.model import Digest, Report
from analyzer.report.html.parts import files_part, findings_part
from analyzer.report.html.pictures import MOST_SHOWN, colours, folded, legend, map_data, picture, sentence, tables
from analyzer.text import exact_size, plural, size
from vhdx.runs import Kind


def page(report: Report) -> str:
    """The page as text; its encoding is UTF-8."""
    style = _asset("style.css") + colours(len(report.layers))
    script = _asset("map.js") if report.map else ""
    parts = _parts(report)
    return Template(_asset("page.html")).substitute(
        policy=text(_policy(style, script)),
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


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere: this very style, this very script, and no other."""
    # Hashes, not 'unsafe-inline': should a name from a file become markup in spite of all, it still runs nothing.
    # test_a_page_loads_nothing_and_its_policy_allows_its_own_style_and_script_alone.
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _head(report: Report) -> Html:
    leaf = report.files[-1].image if report.files and report.files[-1].path == report.leaf else None
    lost = report.map.bytes_of(Kind.LOST) if report.map else 0
    made = f"{report.made:%Y-%m-%d %H:%M:%S %Z} by vhdx {report.version}"
    return joined(
        (
            element("h1", report.leaf.name),
            _failure(report),
            element("p", f"{exact_size(lost)} of the disk cannot be known.", class_="verdict lost") if lost else "",
            facts(
                (
                    ("file", report.leaf),
                    ("disk", exact_size(leaf.virtual_size) if leaf else ""),
                    ("chain", plural(len(report.layers), "file") if report.layers else ""),
                    ("findings", tally(all_findings(report.checked)) or "no findings"),
                    ("made", made),
                )
            ),
        ),
        "\n",
    )


def _failure(report: Report) -> Html:
    parts = [element("p", report.failure, class_="verdict lost")] if report.failure else []
    if report.looked_at:
        looked = element("ul", *(element("li", place) for place in report.looked_at))
        parts += [element("p", "It was looked for here:"), looked]
    return joined(parts)


def _parts(report: Report) -> list[tuple[str, str, Html]]:
    """Identifier, title and content of each part that has something to say."""
    nothing = "None beyond the reason at the top." if report.failure else "No findings."
    parts = [("findings", "Findings", findings_part(report.checked, nothing))]
    if report.map:
        chain = ("chain", "Chain", _chain(report.layers, report.map))
        shown = (Html(_asset("map.html")), legend(report.layers, report.map), tables(report.map))
        drawn = joined((element("p", sentence(report.map)), *shown), "\n")
        where = ("map", "Where each byte of the disk comes from", drawn)
        parts = [chain, where, *parts, ("hashes", "Hashes", _digest(report.digest))]
    return [*parts, ("files", "Files and their structures", files_part(report.files))]


def _section(key: str, title: str, content: Html) -> Html:
    heading = element("h2", title, id=f"{key}-title")
    return element("section", heading, content, id=key, aria_labelledby=f"{key}-title")


def _chain(layers: Sequence[LayerDescription], disk: DiskMap) -> Html:
    names = ["layer", "file", "file size", "disk size", "data write guid", "found by", "damaged blocks"]
    rows = [_layer_row(layer) for layer in reversed(layers)]
    title = "The files of the chain, leaf first"
    listed = table(title, names, rows)
    return joined((picture(layers, disk), folded(title, listed) if len(rows) > MOST_SHOWN else listed), "\n")


def _layer_row(layer: LayerDescription) -> Sequence[object]:
    found = layer.found.value if layer.found else "it is the leaf"
    return (
        *(layer.layer, layer.path, size(layer.file_size), size(layer.virtual_size), layer.data_write_guid),
        *(found if layer.matches else f"{found}, MISMATCH accepted", layer.damaged_blocks),
    )


def _digest(digest: Digest | None) -> Html:
    if digest is None:
        return element("p", "Not taken; `vhdx report --hash` reads the whole disk and takes them.")
    shown = element("code", digest.sha256) if digest.sha256 else digest.reason
    return table("SHA-256", ["of", "digest"], [("the flat disk", shown)])
