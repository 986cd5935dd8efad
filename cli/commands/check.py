"""`vhdx check`."""

import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from analyzer.check import Checked, Content, Shelf, check_chain, check_file
from analyzer.check.baseline import new_findings, read_baseline
from analyzer.check.inputs import Depth, files_in
from analyzer.check.result import all_findings, at_least
from cli.options.common import FILE_PATH, link_options, maps_of, quiet_library, search_of
from cli.options.output import write_text
from cli.render.check import Form, rendered
from vhdx.catalogue import rules
from vhdx.errors import UnknownCodeError
from vhdx.findings import Severity

_SEVERITIES = [severity.name.lower() for severity in sorted(Severity, reverse=True)]


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=FILE_PATH, metavar="PATH...")
@click.option("--chain", is_flag=True, help="Check each file's parents and the links to them, too.")
@click.option("-r", "--recursive", is_flag=True, help="Look into the subfolders of folders.")
@click.option("--content", is_flag=True, help="Look at what stands on the disk: partition tables, file systems.")
@click.option("--format", "form", type=click.Choice([form.value for form in Form]), default="text",
              show_default=True, help="How to answer.")  # fmt: skip
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("-o", "--output", "target", type=FILE_PATH, metavar="FILE", help="Write the answer there, not to stdout.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--fail-on", type=click.Choice(_SEVERITIES), default="error", show_default=True,
              help="Exit code 1 from this severity on.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave a finding code out; repeat for more.")
@click.option("--baseline", type=FILE_PATH, metavar="FILE", help="Leave out what this earlier JSON answer has.")
@link_options
def command(paths: Sequence[Path], form: str, target: Path | None, fail_on: str, **options: Any) -> int:
    """Check files against every rule of the format, and list all that is wrong or worth knowing.

    Every copy of every structure, every table entry and bitmap in use, the whole log; with --chain the parents and
    the links, with --content the file systems' own copies. Nothing is changed, and no damage ends a check: what
    cannot be read is a finding, too. `vhdx explain CODE` says what a code means.

    \b
    Examples:
      vhdx check disk.vhdx
      vhdx check --chain --content leaf.avhdx
      vhdx check -r images/ --format sarif -o vhdx.sarif --fail-on warning
      vhdx check -r images/ --json > known.json; vhdx check -r images/ --baseline known.json
    """
    quiet_library()
    checked = [_without(subject, _codes(options["ignore"])) for subject in _check_all(paths, options)]
    known = 0
    if options["baseline"] is not None:
        total = len(all_findings(checked))
        checked = list(new_findings(checked, read_baseline(options["baseline"])))
        known = total - len(all_findings(checked))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() and target is None else None
    text = rendered(Form(form), checked, fail_on=Severity[fail_on.upper()], width=width, known=known).rstrip("\n")
    if target is None:
        click.echo(text)
    else:
        write_text(target, f"{text}\n", [file for subject in checked for file in subject.files], force=options["force"])
    return int(bool(at_least(all_findings(checked), Severity[fail_on.upper()])))


def _check_all(paths: Sequence[Path], options: dict[str, Any]) -> list[Checked]:
    depth = Depth.TREE if options["recursive"] else Depth.FOLDER
    content = Content.LOOK if options["content"] else Content.SKIP
    search, maps = search_of(options), maps_of(options)

    def check(path: Path) -> Checked:
        if options["chain"]:
            return check_chain(path, search=search, content=content, shelf=shelf)
        return check_file(path, content=content, maps=maps)

    with Shelf(maps) as shelf, ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(check, files_in(paths, depth)))


def _codes(given: Sequence[str]) -> frozenset[str]:
    codes = frozenset(code.upper() for code in given)
    for code in codes - set(rules()):
        raise UnknownCodeError(code, tuple(rules()), ())
    return codes


def _without(subject: Checked, codes: frozenset[str]) -> Checked:
    return replace(subject, findings=tuple(finding for finding in subject.findings if finding.code not in codes))
