"""`vhdx history`."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from analyzer.examine.log_history import Change, History, Session, Step, history_of
from cli import output
from cli.options.common import FILE_PATH, json_option, quiet_library
from cli.text import plural, safe
from vhdx.image import open_image


@click.command("history")
@click.argument("file", type=FILE_PATH)
@json_option
def command(file: Path, as_json: bool) -> int:
    """Show log sessions, the previous header and unmapped blocks.

    The log's sessions, oldest first, with what each wrote: block table entries, metadata, sector bitmaps, region
    tables. The identity in the previous header. Blocks that read as zeros and whose entries still point to old data. A
    closed log is never wiped: it shows earlier writes until it is overwritten.

    \b
    Examples:
      vhdx history disk.vhdx
      vhdx history leaf.avhdx --json | jq '.sessions[].log_guid'
    """
    quiet_library()
    with closing(open_image(file)) as image:
        history = history_of(image)
        if as_json:
            output.emit("history", output.plain(history), image.findings)
        else:
            output.warn(image.findings)
            output.emit_lines(_lines(history))
    return 0


def _lines(history: History) -> Iterator[str]:
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
        yield from _change(change)
    if session.unlisted:
        yield f"  and {plural(session.unlisted, 'more write')}"


def _change(change: Change) -> Iterator[str]:
    what = "zeros" if change.zeroed else "bytes"
    name = safe(change.structure.replace("_", " "))
    yield f"  {change.sequence_number}: {name}, {change.length} {what} at byte {change.offset}"
    for step in change.entries:
        yield f"    {_step(step)}"


def _step(step: Step) -> str:
    name = f"block {step.block}" if step.block is not None else f"bitmap of chunk {step.chunk}"
    was = step.before or "not known"
    place = f" at byte {step.file_offset}" if step.file_offset else ""
    return f"{name}: {was} -> {step.after}{place}"
