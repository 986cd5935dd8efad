"""`vhdx dump`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from analyzer.examine.dump import PARTS, Section, dump
from cli import output
from cli.options.common import FILE_PATH, json_option, quiet_library
from cli.text import safe
from vhdx.findings import Finding


@click.command("dump")
@click.argument("file", type=FILE_PATH)
@click.argument("structures", nargs=-1, type=click.Choice(PARTS), metavar="[STRUCTURE]...")
@json_option
def command(file: Path, structures: Sequence[str], as_json: bool) -> int:
    """Show the structures of a file as they are, both copies, damaged ones too.

    Structures: identifier, headers, regions, metadata, locator, log (live and old entries), bat (entries that are not
    0), bitmap (sectors that a differencing file holds itself). Default: all. Exit code 1 when a structure has a flaw, 3
    when one cannot be read.

    \b
    Examples:
      vhdx dump disk.vhdx headers regions
      vhdx dump leaf.avhdx log --json
    """
    quiet_library()
    sections = dump(file, structures or PARTS)
    codes = [_print_section(section) for section in sections] if not as_json else _print_json(file, sections)
    return max(codes, default=0)


def _code(section: Section) -> int:
    return 3 if section.error else 1 if section.findings else 0


def _print_json(file: Path, sections: Iterable[Section]) -> list[int]:
    payload: dict[str, Any] = {"path": file, "structures": {}}
    codes, findings = list[int](), list[Finding]()
    for section in sections:
        payload["structures"][section.name] = {"records": output.plain(list(section.records)), "error": section.error}
        findings += section.findings
        codes.append(_code(section))
    output.emit("dump", payload, findings)
    return codes


def _print_section(section: Section) -> int:
    click.echo(f"{section.name}:")
    for record in section.records:
        click.echo("  - " + "\n    ".join(_lines(record)))
    for finding in section.findings:
        click.echo(f"  ! {finding.severity.name.lower()}: {safe(finding)}")
    if section.error:
        click.echo(f"  ! cannot be read: {safe(section.error)}")
    return _code(section)


def _lines(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{name}:")
            lines += [f"  - {_inline(item)}" for item in value]
        else:
            lines.append(f"{name}: {_scalar(value)}")
    return lines


def _inline(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_scalar(value)}" for name, value in record.items())


def _scalar(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else safe(value)
