"""JSON for programs: one documented, versioned envelope for every command (docs/json.md)."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum, StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import click

from analyzer.text import path_text, version
from cli.loudness import VERBOSE, Collector, is_set
from vhdx.catalogue import rules
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target

SCHEMA = "vhdx/1"
JSON = "--json"
"""Under which a command's context keeps whether JSON is asked for."""


def is_json() -> bool:
    """Whether the command that runs was asked for JSON."""
    return bool(click.get_current_context().meta.get(JSON))


def plain(value: Any) -> Any:
    """A result as JSON has it: dataclasses are objects, enums their names, paths, GUIDs and bytes are text."""
    match value:
        case Finding():
            return finding_to_plain(value)
        case Mapping():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case StrEnum():
            return str(value)  # what a command line takes, which can be handed back to one
        case str():
            return plain_text(value)
        case Enum():
            return value.name.lower()
        case Path():
            return path_text(value)
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
    return value


def members(record: object, *names: str, **renamed: str) -> dict[str, Any]:
    """Members of a record by their names; those that JSON calls otherwise are given as its name and the record's."""
    named = dict(zip(names, names, strict=True)) | renamed
    return {name: getattr(record, attribute) for name, attribute in named.items()}


def plain_text(text: str) -> str:
    """A name as JSON takes it: bytes that are no text are escapes."""
    if text.isascii():
        return text
    lone = [character for character in text if "\ud800" <= character <= "\udfff"]
    errors = "surrogateescape" if all("\udc80" <= character <= "\udcff" for character in lone) else "surrogatepass"
    return text.encode("utf-8", errors).decode("utf-8", "backslashreplace")


def finding_to_plain(finding: Finding) -> dict[str, Any]:
    """A finding as JSON has it: what it does not say is null."""
    members = {field.name: plain(getattr(finding, field.name)) for field in fields(finding)}
    members["windows"] = rules()[finding.code].windows
    return {name: None if value == "" else value for name, value in members.items()}


def envelope(command: str, findings: Iterable[Finding | Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What every answer begins with; `findings` of whatever the answer is about, some of them plain already."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "vhdx", "version": version()},
        "command": command,
        "findings": [plain(finding) for finding in findings],
    }


def document(command: str, payload: Mapping[str, Any], findings: Iterable[Finding | Mapping[str, Any]] = ()) -> str:
    """A whole answer."""
    return json.dumps(envelope(command, findings) | plain(payload), indent=2, ensure_ascii=True)


def emit(command: str, payload: Mapping[str, Any], findings: Iterable[Finding | Mapping[str, Any]] = ()) -> None:
    """Print a whole answer."""
    click.echo(document(command, payload, findings))


class Given(NamedTuple):
    """An answer that is not printed yet."""

    payload: Mapping[str, Any]
    lines: Sequence[str]
    findings: Sequence[Finding]


answers_kept = Collector[Given]("answers that are not printed yet")
"""The answers that are given meanwhile, which are part of a greater one and not printed by themselves."""


def answer(
    command: str,
    payload: Mapping[str, Any],
    lines: Iterable[str],
    *,
    findings: Iterable[Finding] = (),
    emitted: Callable[[Iterable[str]], None] | None = None,
) -> None:
    """Print an answer: whole, as JSON, or its lines for people, which are not made for JSON.

    `emitted` prints the lines; else `emit_sentences` does.
    """
    if (kept := answers_kept.kept) is not None:
        kept.append(Given(payload, [*lines], [*findings]))
    elif is_json():
        emit(command, payload, findings)
    else:
        (emitted or emit_sentences)(lines)


def streamed(
    command: str,
    payload: Mapping[str, Any],
    findings: Iterable[Finding],
    name: str,
    items: Iterable[Any],
    after: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[str]:
    """An answer with a list too long to hold, in pieces; `after` gives what is known when the list has passed.

    The list has one item a line. Items are plain already.
    """
    # the document without its closing brace: the list is a member of it
    yield f'{document(command, payload, findings)[:-2]},\n  "{name}": ['
    separator = "\n    "
    for item in items:
        yield separator + json.dumps(item)
        separator = ",\n    "
    yield "\n  ]"
    for key, value in after().items():
        yield f',\n  "{key}": {json.dumps(plain(value))}'
    yield "\n}\n"


def emit_pieces(pieces: Iterable[str]) -> None:
    """Print the pieces of an answer, many at a time."""
    for batch in _batches(pieces):
        click.echo("".join(batch), nl=False)


def emit_lines(lines: Iterable[str]) -> None:
    """Print lines, many at a time: one by one, a million of them would take longer to print than to find."""
    for batch in _batches(lines):
        click.echo("\n".join(batch))


def emit_sentences(lines: Iterable[str]) -> None:
    """Print lines for people; on a terminal they are broken at spaces."""
    from cli.text import fitted, line_width, painted

    emit_lines(painted(fitted(lines, line_width()), sys.stdout))


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(lines)
    while batch := list(islice(iterator, 4096)):  # so many that writing costs less than making them
        yield batch


def warn(findings: Iterable[Finding]) -> None:
    """Say the warnings among findings on stderr, with --verbose the notes too."""
    from cli.text import safe, say

    for finding in findings:
        if finding.severity is Severity.WARNING or (finding.severity is Severity.NOTE and is_set(VERBOSE)):
            say(f"{finding.severity.name.lower()}: {safe(f'{finding.path}: ' if finding.path else '')}{safe(finding)}")


def error_to_plain(error: VhdxError) -> dict[str, Any]:
    """An error as JSON has it."""
    from analyzer.remedies import describe_error

    return {"type": type(error).__name__, "message": describe_error(error), "exit_code": error.exit_code}


def write_text(target: Path, text: str, sources: Sequence[Path], existing: Existing) -> None:
    """Write a document whole or not at all, never over a source; `-` is stdout.

    Raises OutputError, InputOutputError.
    """
    if target == Path("-"):
        click.echo(text, nl=False)
        return
    check_target(target, sources, existing)
    with Sink(target, existing=existing) as sink:
        sink.write_at(0, text.encode("utf-8", "backslashreplace"))  # a file name that is no text must not end a report
        sink.flush()
        sink.commit()
