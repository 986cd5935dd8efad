"""`vhdx check`."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import click

from analyzer.check import Content, check_chain, check_file
from analyzer.check.baseline import new_findings, read_baseline
from analyzer.check.cache import FileCache
from analyzer.check.inputs import Depth, files_in
from analyzer.check.result import Checked, all_findings, at_least
from cli.options.common import FILE_PATH, ChainOptions, force_option, link_options, quiet_library
from cli.options.grouping import OneOf, choice, grouped
from cli.options.output import write_text
from cli.render.check import Form, rendered
from cli.text import line_width
from vhdx.catalogue import rules
from vhdx.errors import UnknownCodeError
from vhdx.findings import Severity
from vhdx.sink import Existing

_SEVERITIES = [severity.name.lower() for severity in sorted(Severity, reverse=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """What is looked at."""

    chain: bool
    depth: Depth
    content: Content


_looks_options = grouped(
    "looks",
    _Looks,
    (
        click.option("--chain", is_flag=True, help="Check each file's parents and the links to them too."),
        choice("-r", "--recursive", "depth", on=Depth.TREE, off=Depth.FOLDER, help="Search subfolders too."),
        choice("--content", on=Content.LOOK, off=Content.SKIP,
               help="Check partition tables and file systems inside the disk."),
    ),
)  # fmt: skip


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=FILE_PATH, metavar="PATH...")
@_looks_options
@click.option("--format", "form", type=OneOf(Form), default=Form.TEXT.value, show_default=True,
              help="Format of the result.")  # fmt: skip
@click.option("--json", "form", flag_value=Form.JSON.value, type=OneOf(Form), help="Same as --format json.")
@click.option("-o", "--output", "target", type=FILE_PATH, metavar="FILE", help="Write the result to FILE, not stdout.")
@force_option("FILE")
@click.option("--fail-on", type=click.Choice(_SEVERITIES), default="error", show_default=True,
              help="Lowest severity that gives exit code 1.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out findings with this code. Repeat for more.")
@click.option("--baseline", type=FILE_PATH, metavar="FILE", help="Leave out findings of this earlier JSON result.")
@link_options
def command(
    *,
    paths: Sequence[Path],
    form: Form,
    target: Path | None,
    existing: Existing,
    fail_on: str,
    ignore: Sequence[str],
    baseline: Path | None,
    looks: _Looks,
    where: ChainOptions,
) -> int:
    """Check files against every rule of the format, and list all errors, warnings and notes.

    Checks every copy of every structure, every table entry and bitmap in use, the whole log; with --chain the parents
    and the links, with --content partition tables and file systems. Nothing is changed, and no damage ends a check:
    what cannot be read is a finding too. `vhdx explain CODE` explains a code.

    \b
    Examples:
      vhdx check disk.vhdx
      vhdx check --chain --content leaf.avhdx
      vhdx check -r images/ --format sarif -o vhdx.sarif --fail-on warning
      vhdx check -r images/ --json > known.json; vhdx check -r images/ --baseline known.json
    """
    quiet_library()
    width, worst, ignored = line_width() if target is None else None, Severity[fail_on.upper()], _codes(ignore)
    with FileCache(where.maps) as cache:
        checked = [
            _without(subject, ignored) for subject in _check_all(files_in(paths, looks.depth), looks, where, cache)
        ]
        total = len(all_findings(checked))
        if baseline is not None:
            checked = list(new_findings(checked, read_baseline(baseline)))
        known = total - len(all_findings(checked))
        text = rendered(form, checked, cache.structures, fail_on=worst, width=width, known=known).rstrip("\n")
    if target is None:
        click.echo(text)
    else:
        write_text(target, f"{text}\n", [file for subject in checked for file in subject.files], existing)
    return int(bool(at_least(all_findings(checked), worst)))


def _check_all(files: Iterable[Path], looks: _Looks, where: ChainOptions, cache: FileCache) -> list[Checked]:
    search = where.as_search()

    def check(path: Path) -> Checked:
        if looks.chain:
            return check_chain(path, search=search, content=looks.content, cache=cache)
        return check_file(path, content=looks.content, cache=cache)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(check, files))


def _codes(given: Sequence[str]) -> frozenset[str]:
    codes = frozenset(code.upper() for code in given)
    for code in codes - set(rules()):
        raise UnknownCodeError(code, tuple(rules()), ())
    return codes


def _without(subject: Checked, codes: frozenset[str]) -> Checked:
    return replace(subject, findings=tuple(finding for finding in subject.findings if finding.code not in codes))
