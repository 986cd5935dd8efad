"""`vhdx report`."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click

from analyzer.address.parse import parse_address
from analyzer.check.check import check_chain
from analyzer.check.files import FileCache
from analyzer.check.result import Checked, all_findings, at_least
from analyzer.judgement.judge import OF_JUDGEMENT, Trust
from analyzer.report.html.model import Report, digest_of, report_of_chain, report_of_failure
from analyzer.report.html.page import page
from analyzer.text import version
from cli import output
from cli.errors import complain
from cli.options.chain import ChainOptions, chain_options, layer_file, open_leaf
from cli.options.common import STDOUT, file_in, force_option, grouped, option, output_argument
from cli.options.takes import require_taken
from cli.progress import progress
from cli.text import linked, plural, safe, size
from vhdx.errors import ChainError, CorruptFileError, ShortReadError
from vhdx.findings import Severity
from vhdx.sink import Existing
from vhdx.targets import check_target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What is written, and to where."""

    out: Path
    hashed: bool = option("Add the SHA-256 of the flat disk; this reads all of it.", "--hash")
    existing: Existing = force_option("OUT")


@click.command("report")
@click.argument("disk", metavar="LEAF")
@output_argument
@grouped("asked", _Page)
@chain_options
def command(disk: str, asked: _Page, where: ChainOptions) -> int:
    """Write a report of a chain: one HTML page that needs neither network nor server.

    LEAF@N is the state of layer N (0 is the base). It shows the chain, a zoomable map of the disk, every finding with
    its evidence, and the structures of each file. Exit code 1 when a part of the disk is lost or a finding is an error.
    If the chain cannot be opened, the page shows the reason and what the leaf alone contains, and the exit code is that
    of the reason.

    \b
    Examples:
      vhdx report leaf.avhdx report.html
      vhdx report leaf.avhdx -o report.html --hash --search /mnt/nas
    """
    require_taken(parse_address(disk))
    leaf, where = layer_file(Path(disk), where)
    asked = replace(asked, out=file_in(asked.out, leaf, ".html"))
    if asked.out != STDOUT:
        check_target(asked.out, [leaf], asked.existing)
    with FileCache(where.maps) as cache:
        checked = check_chain(leaf, search=where.as_search(), cache=cache)
        try:
            with open_leaf(leaf, where, cache.structures) as chain:
                output.warn(chain.findings)
                if where.trust is Trust.TABLE:
                    said = tuple(finding for finding in chain.findings if finding.code in OF_JUDGEMENT)
                    checked = replace(checked, findings=checked.findings + said)
                digest = None
                if asked.hashed:
                    with progress("hashing", chain.size) as update:
                        digest = digest_of(chain, update)
                report = report_of_chain(chain, checked, version(), digest)
        except (ChainError, CorruptFileError, ShortReadError) as error:
            report = report_of_failure(checked, version(), error, cache.structures)
            _write(asked, report, checked)
            return complain(error)
    _write(asked, report, checked)
    is_lost = report.map is not None and report.map.lost_count > 0
    return int(is_lost or bool(at_least(all_findings(report.checked), Severity.ERROR)))


def _write(asked: _Page, report: Report, checked: Checked) -> None:
    content = page(report)
    layers = f"{plural(len(report.layers), 'layer')}, " if report.layers else ""
    output.write_text(asked.out, content, checked.files, asked.existing)
    stream = sys.stderr if asked.out == STDOUT else sys.stdout
    line = f"{linked(asked.out, stream)}: report of {safe(report.leaf)}, {layers}{size(len(content.encode()))}"
    click.echo(line, err=asked.out == STDOUT)
