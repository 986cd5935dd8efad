"""`vhdx dump` and `history`: what a file holds beside the disk that it shows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from analyzer.examine.dump import PARTS, Section, dump
from analyzer.examine.log_history import History, Session, Step, history_of
from cli import output
from cli.options.common import FILE_PATH, json_option
from cli.text import plural, safe
from vhdx.findings import Finding
from vhdx.image import open_image


@click.command("dump")
@click.argument("file", type=FILE_PATH)
@click.argument("structures", nargs=-1, type=click.Choice(PARTS), metavar="[STRUCTURE]...")
@json_option
def command(file: Path, structures: Sequence[str]) -> int:
    """Show the structures of a file as they are, both copies, damaged ones too.

    Structures: identifier, headers, regions, metadata, locator, log (live and old entries), bat (entries that are not
    0), bitmap (sectors that a differencing file holds itself). Default: all. Exit code 1 when a structure has a flaw, 3
    when one cannot be read.

    \b
    Examples:
      vhdx dump disk.vhdx headers regions
      vhdx dump leaf.avhdx log --json
    """
    code, structures_read, findings = 0, dict[str, Any](), list[Finding]()
    for section in dump(file, structures or PARTS):
        if output.is_json():
            structures_read[section.name] = {"records": output.plain(list(section.records)), "error": section.error}
            findings += section.findings
        else:
            _print(section)
        # known when its records have passed; what cannot be read outweighs a flaw
        code = max(code, 3 if section.error else int(bool(section.findings)))
    if output.is_json():
        output.emit("dump", {"path": file, "structures": structures_read}, findings)
    return code


def _print(section: Section) -> None:
    click.echo(f"{section.name}:")
    for record in section.records:
        click.echo("  - " + "\n    ".join(_lines(record)))
    for finding in section.findings:
        click.echo(f"  ! {finding.severity.name.lower()}: {safe(finding)}")
    if section.error:
        click.echo(f"  ! cannot be read: {safe(section.error)}")


def _lines(record: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{name}:")
            lines += [f"  - {', '.join(f'{key}: {_scalar(part)}' for key, part in item.items())}" for item in value]
        else:
            lines.append(f"{name}: {_scalar(value)}")
    return lines


def _scalar(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else safe(value)


@click.command("history")
@click.argument("file", type=FILE_PATH)
@json_option
def history_command(file: Path) -> None:
    """Show log sessions, the previous header and unmapped blocks.

    The log's sessions, oldest first, with what each wrote: block table entries, metadata, sector bitmaps, region
    tables. The identity in the previous header. Blocks that read as zeros and whose entries still point to old data. A
    closed log is never wiped: it shows earlier writes until it is overwritten.

    \b
    Examples:
      vhdx history disk.vhdx
      vhdx history leaf.avhdx --json | jq '.sessions[].log_guid'
    """
    with closing(open_image(file)) as image:
        history = history_of(image)
        output.answer("history", output.plain(history), _log_lines(history), findings=image.findings)
        if not output.is_json():
            output.warn(image.findings)


def _log_lines(history: History) -> Iterator[str]:
    if not history.sessions:
        yield "the log holds no entries"
    for session in history.sessions:
        yield from _session(session)
    header = history.previous_header
    if header is None:
        yield "previous header: not valid"
    else:
        then = "the disk's identity is the same" if header.same_data else "the disk has another identity since"
        yield f"previous header: number {header.sequence_number}, data_write_guid {header.data_write_guid}; {then}"
    yield f"anchored: {plural(history.anchored_blocks, 'block')} that read as zeros keep old data"
    for anchor in history.anchored:
        yield f"  block {anchor.block} ({anchor.state}): {anchor.length} bytes at byte {anchor.file_offset} of the file"


def _session(session: Session) -> Iterator[str]:
    state = "live" if session.live else "closed"
    first, last = session.first_sequence, session.last_sequence
    numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
    yield f"session {session.log_guid} ({state}): {plural(session.entries, 'log write')}, {numbers}"
    for change in session.changes:
        what, name = "zeros" if change.zeroed else "bytes", safe(change.structure.replace("_", " "))
        yield f"  {change.sequence_number}: {name}, {change.length} {what} at byte {change.offset}"
        yield from map(_step, change.entries)
    if session.unlisted:
        yield f"  and {plural(session.unlisted, 'more write')}"


def _step(step: Step) -> str:
    name = f"block {step.block}" if step.block is not None else f"bitmap of chunk {step.chunk}"
    place = f" at byte {step.file_offset}" if step.file_offset else ""
    return f"    {name}: {step.before or 'not known'} -> {step.after}{place}"
