"""What is served, and what became of what was written: for people, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analyzer.serve.commands import ServedAs, ready_commands
from analyzer.serve.export import Export
from cli import output
from cli.text import plural, safe

Served = tuple[Export, ServedAs]


def announce(served: Sequence[Served]) -> None:
    """Say where the exports are, and how the first of them is used."""
    payload = {"exports": [_plain(export, disk) for export, disk in served]}
    output.answer("serve", payload, _lines(served), emitted=output.emit_lines)


def _plain(export: Export, disk: ServedAs) -> Mapping[str, Any]:
    commands = [{"purpose": one.purpose, "text": one.text} for one in ready_commands(disk)]
    about = {"name": export.name, "uri": str(disk.address), "path": export.title, "size": export.disk.size}
    return about | {"sector_size": disk.sector_size, "writable": export.scratch is not None, "commands": commands}


def _lines(served: Sequence[Served]) -> Iterator[str]:
    access = f"{safe(served[0][0].title)} writable, sources untouched" if served[0][0].scratch else "read-only"
    yield f"serving {plural(len(served), 'state')}, {access}, until Ctrl-C:"
    yield from (f"  {safe(disk.address)}  {safe(export.description)}" for export, disk in served)
    yield ""
    for ready in ready_commands(served[0][1]):
        yield f"# {ready.purpose}"
        yield ready.text
