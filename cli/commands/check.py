"""`vhdx check`."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import click

from analyzer.address.parse import Kind, is_flat, parse_address
from analyzer.check.check import Content
from analyzer.check.file import unreadable
from analyzer.check.files import Depth, FileCache, files_in
from analyzer.check.many import Subject, check_many
from analyzer.check.result import Checked, all_findings, at_least, new_findings, read_baseline
from analyzer.text import named_path, version
from cli import output
from cli.errors import IO_ERROR
from cli.options.address import expand_disks, opened_flat
from cli.options.chain import LinkOptions, layer_file, link_options
from cli.options.common import OneOf, choice, file_in, force_option, grouped, option
from cli.options.jobs import JobOptions, job_options
from cli.options.passphrase import passphrase_options
from cli.progress import counter
from cli.text import line_width, painted, safe
from vhdx.catalogue import rules
from vhdx.contents import Opener, open_structures
from vhdx.errors import UnknownCodeError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.sink import Existing

_SEVERITIES = [severity.name.lower() for severity in sorted(Severity, reverse=True)]


class Form(Enum):
    """The forms of an answer, by the name that `--format` takes."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    HTML = "html"
    GITHUB = "github"


# About how long a processor takes for a small file, which most are where there are many.
_SECONDS = {Content.SKIP: 0.005, Content.LOOK: 0.02}
_ENDINGS = {Form.TEXT: ".txt", Form.GITHUB: ".txt", Form.JUNIT: ".xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """What is looked at."""

    chain: bool | None = option(
        "Check parents and the links to them too, under each file that has them; or check none. Without either each "
        "finding is listed once.",
        "--chain/--no-chain",
        default=None,
    )
    depth: Depth = choice(Depth.TREE, "Search subfolders too.", "-r", "--recursive")
    content: Content = choice(Content.LOOK, "Check partition tables and file systems inside the disk.", "--content")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """Which findings are given, in which form and where, and which of them fail the check."""

    target: Path | None = option(
        "Write the result to FILE, or into a folder; - is stdout.", "-o", "--output", metavar="FILE"
    )
    existing: Existing = force_option("FILE")
    fail_on: str = option(
        "Lowest severity that gives exit code 1.", type=click.Choice(_SEVERITIES), default="error", show_default=True
    )
    min_severity: str | None = option(
        "Lowest severity that is given. Default: note; of SARIF warning.", type=click.Choice(_SEVERITIES)
    )
    select: tuple[str, ...] = option(
        "Give findings with this code alone, or with codes that begin so: BAT. Repeat for more.", metavar="CODE"
    )
    ignore: tuple[str, ...] = option(
        "Leave out findings with this code, or with codes that begin so. Repeat for more.", metavar="CODE"
    )
    baseline: Path | None = option("Leave out findings of this earlier JSON result.", metavar="FILE")


@click.command("check")
@click.argument("named", nargs=-1, required=True, callback=expand_disks, metavar="PATH...")
@grouped("looks", _Looks)
@click.option("--format", "--output-format", "form", type=OneOf(Form), default=Form.TEXT.value, show_default=True,
              help="Format of the result.")  # fmt: skip
@click.option("--json", "form", flag_value=Form.JSON.value, type=OneOf(Form), help="Same as --format json.")
@grouped("result", _Result)
@link_options
@passphrase_options()
@job_options
def command(
    named: Sequence[str], form: Form, looks: _Looks, result: _Result, where: LinkOptions, how: JobOptions
) -> int:
    """Check files against every rule of the format, and list all errors, warnings and notes.

    Checks every copy of every structure, every table entry and bitmap in use, the whole log; of a differencing file its
    parents too, and the links to them; with --content partition tables and file systems. Nothing is changed, and no
    damage ends a check: what cannot be read is a finding too. `vhdx explain CODE` explains a code.

    PATH is LEAF, a VHD(X); LEAF@N, the file of layer N of its chain (0 is the base); or a folder of them. With
    --content it may be a raw image, a block device, REPO::POINT, a restore point, or nbd://, an export, too.

    \b
    Examples:
      vhdx check disk.vhdx
      vhdx check --content leaf.avhdx
      vhdx check --content /mnt/nas/backups::latest
      vhdx check --no-chain leaf.avhdx          this file alone, wherever its parents are
      vhdx check -r images/ --format sarif -o vhdx.sarif --fail-on warning
      vhdx check images/ --min-severity warning --select BAT
      vhdx check -r images/ --json > known.json; vhdx check -r images/ --baseline known.json
    """
    flat = [text for text in named if is_flat(text) and _has_content(text, looks)]
    paths = [Path(text) for text in named if text not in flat]
    width = line_width() if result.target is None else None
    worst, least = Severity[result.fail_on.upper()], _least(form, result)
    codes = (_codes(result.select) or frozenset(rules())) - _codes(result.ignore)
    with FileCache(where.maps) as cache:  # a base that several leaves share is parsed once
        checked = [
            replace(
                subject, findings=tuple(found for found in at_least(subject.findings, least) if found.code in codes)
            )
            for subject in (*_check_all(paths, looks, where, how, cache), *map(_check_flat, flat))
        ]
        total = len(all_findings(checked))
        if result.baseline is not None:
            checked = list(new_findings(checked, read_baseline(result.baseline)))
        known = total - len(all_findings(checked))
        text = rendered(form, checked, cache.structures, fail_on=worst, width=width, known=known).rstrip("\n")
    if result.target is None:
        click.echo(text)
    else:
        target = file_in(result.target, Path("vhdx"), _ENDINGS.get(form, f".{form.value}"))
        output.write_text(target, f"{text}\n", [file for subject in checked for file in subject.files], result.existing)
    is_missing = not all(os.path.lexists(subject.path) for subject in checked if subject.files)
    return IO_ERROR if is_missing else int(bool(at_least(all_findings(checked), worst)))


def _has_content(text: str, looks: _Looks) -> bool:
    """Whether a disk that has nothing but its content is looked at; raises UsageError for one that is not asked for.

    A raw image is checked as a file then: it may be meant to be a VHDX.
    """
    if looks.content is Content.SKIP and parse_address(text).kind is not Kind.RAW:
        raise click.UsageError(f"{safe(text)} has no structures around its bytes: add --content to check these.")
    return looks.content is Content.LOOK


def _check_flat(text: str) -> Checked:
    # The layouts of file systems: only for who asks for what is inside.
    from analyzer.check.content import check_content

    try:
        with opened_flat(text) as state:
            return Checked(named_path(state.title), tuple(check_content(state.disk)), state.files)
    except VhdxError as error:
        return Checked(named_path(text), (unreadable(error, named_path(text)),), ())


def _least(form: Form, result: _Result) -> Severity:
    """The lowest severity that is given. Code scanning would open an alert for each note, unless it is asked for."""
    if result.min_severity:
        return Severity[result.min_severity.upper()]
    return min(Severity.WARNING, Severity[result.fail_on.upper()]) if form is Form.SARIF else Severity.NOTE


def _codes(named: Iterable[str]) -> frozenset[str]:
    """All codes that begin as one that is named; raises UnknownCodeError where none does."""
    found = {text: [code for code in rules() if code.startswith(text.upper())] for text in named}
    for text, codes in found.items():
        if not codes or not text:
            raise UnknownCodeError(text, tuple(rules()), ())
    return frozenset(code for codes in found.values() for code in codes)


def _check_all(
    paths: Iterable[Path], looks: _Looks, where: LinkOptions, how: JobOptions, cache: FileCache
) -> list[Checked]:
    named = [layer_file(path, where) for path in paths]
    subjects = [
        Subject(path, None if looks.chain is False else link.as_search())
        for file, link in named
        for path in files_in([file], looks.depth)
    ]
    engine = how.engine(len(subjects), len(subjects) * _SECONDS[looks.content])
    with counter("checking", len(subjects)) as tick:
        checked = [*check_many(subjects, engine, content=looks.content, cache=cache, maps=where.maps, tick=tick)]
    return checked if looks.chain else _listed_once(checked)


def _listed_once(checked: Sequence[Checked]) -> list[Checked]:
    """Findings about a parent where it is a subject itself, else with the first of its children."""
    # A folder of checkpoints has one base: what is wrong with it is one thing, whatever is made upon it.
    subjects, seen = {os.path.realpath(subject.path) for subject in checked}, set[Finding]()

    def own(subject: Checked) -> Iterator[Finding]:
        mine = os.path.realpath(subject.path)
        for finding in subject.findings:
            about = os.path.realpath(finding.path or subject.path)
            if about == mine or (about not in subjects and finding not in seen):
                seen.add(finding)
                yield finding

    return [replace(subject, findings=tuple(own(subject))) for subject in checked]


def rendered(
    form: Form,
    checked: Sequence[Checked],
    opened: Opener = open_structures,
    *,
    fail_on: Severity | None,
    width: int | None = None,
    known: int = 0,
) -> str:
    """The whole answer. `width` is that of the terminal, None for a pipe; `known` findings a baseline left out.

    A page shows structures too: `opened` gives them.
    """
    match form:
        case Form.TEXT:
            from analyzer.report.findings.text import text_lines

            return "\n".join(painted(text_lines(checked, width=width, known=known), sys.stdout if width else None))
        case Form.GITHUB:
            from analyzer.report.findings.text import github_lines

            return "\n".join(github_lines(checked, root=Path()))
        case Form.JSON:
            from analyzer.report.findings.documents import check_document

            answer = output.envelope("check", all_findings(checked)) | check_document(checked, known=known)
        case Form.SARIF:
            from analyzer.report.findings.documents import sarif_log

            answer = sarif_log(checked, root=Path(), version=version())
        case Form.JUNIT:
            from analyzer.report.findings.documents import junit_xml

            return junit_xml(checked, fail_on=fail_on)
        case Form.HTML:
            from analyzer.report.html.model import report_of_checks
            from analyzer.report.html.page import page

            return page(report_of_checks(checked, version(), opened))
    return json.dumps(answer, indent=2, ensure_ascii=True)
