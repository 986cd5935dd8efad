"""Files that differ between two states, as `vhdx changes --files` prints them."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import click

from analyzer.address.state import State
from analyzer.diff.files.compare import Data, FileChange, What
from analyzer.diff.files.find import Finder
from analyzer.diff.find import ChangesPlan, find_changes
from analyzer.guest.filesystems.record import FileRecord
from analyzer.progress import Progress
from analyzer.recovery_map.disk import MappedDisk
from cli import output
from cli.options.states import comparison_facts, findings_of, state_to_plain
from cli.render.files import iso, plain_file, say_troubles, volumes_of
from cli.text import facts, plural, safe, say, size
from vhdx.disk import Disk
from vhdx.ranges import Ranges, union

_COLUMNS = ("what", "volume", "path", "old_path", "kind", "old_size", "new_size", "old_modified", "new_modified",
            "data", "changed_bytes", "fields", "streams")  # fmt: skip


def finder_of(plan: ChangesPlan, old: Disk, new: Disk, progress: Progress) -> Finder:
    """What finds the files that differ; raises MissingReaderError, and what comparing the disks raises."""
    volumes = volumes_of(old), volumes_of(new)
    changed = union(Ranges.of_columns(table.start, table.length) for table in find_changes(plan, old, new, progress))
    return Finder(*volumes, changed=changed)


def show_files(shape: str | None, plan: ChangesPlan, states: tuple[State, State], finder: Finder) -> int:
    """Print the files that differ, as `json`, `csv` or text; returns the exit code."""
    disks = states[0].disk, states[1].disk
    doubts = tuple(state.doubt for state in states if state.doubt)
    match shape:
        case "json":
            _print_json(plan, disks, finder, doubts)
        case "csv":
            output.emit_lines(map(_csv_line, _rows(finder.changes())))
        case _:
            click.echo(facts(comparison_facts(plan, *disks)))
            output.emit_lines(map(_line, finder.changes()))
            found = [f"{count} {what.value}" for what, count in finder.counts.items() if count]
            click.echo(f"  files       {', '.join(found) or 'none differs'}")
    unread = _unread(finder, disks)
    for text in unread:  # the doubts were said when the states were opened
        say(f"warning: {safe(text)}")
    troubled = say_troubles([*finder.old, *finder.new])
    return int(bool(troubled or unread or doubts) or not finder.is_same)


def _unread(finder: Finder, states: tuple[Disk, Disk]) -> tuple[str, ...]:
    """What could not be compared, or is compared and not known: the stale parts of an image that was recovered."""
    stale = tuple(
        f"{disk.path} holds {size(disk.stale.size)} in doubt, by {disk.map}: files there may have "
        "changed more, less or otherwise"
        for disk in states
        if isinstance(disk, MappedDisk) and disk.stale.size
    )
    return (*finder.unread, *stale)


def _print_json(plan: ChangesPlan, states: tuple[Disk, Disk], finder: Finder, doubts: tuple[str, ...]) -> None:
    payload = {
        "old": state_to_plain(states[0]) | {"volumes": [volume.record for volume in finder.old]},
        "new": state_to_plain(states[1]) | {"volumes": [volume.record for volume in finder.new]},
        "method": plan.method,
        "shared": plan.shared,
    }

    def after() -> dict[str, Any]:
        troubles = [trouble for volume in (*finder.old, *finder.new) for trouble in volume.troubles]
        counts = {what.value: count for what, count in finder.counts.items()}
        return {"counts": counts, "unread": (*_unread(finder, states), *doubts), "troubles": troubles}

    rows = map(_plain, finder.changes())
    output.emit_pieces(output.streamed("changes", payload, findings_of(*states), "files", rows, after))


def _plain(change: FileChange) -> dict[str, Any]:
    old, new = (plain_file(each) if each else None for each in (change.old, change.new))
    members = output.plain({"what": change.what, "path": change.record.path, "fields": change.fields})
    plain: dict[str, Any] = members | output.plain(change.difference) | {"old": old, "new": new}
    return plain


def _rows(changes: Iterable[FileChange]) -> Iterator[tuple[Any, ...]]:
    yield _COLUMNS
    for change in changes:
        record, found = change.record, change.difference
        old_path = output.plain_text(change.old.path) if change.old else ""
        sizes, times = zip(_size_and_time(change.old), _size_and_time(change.new), strict=True)
        data, streams = found.data.value if found.data else "", ":".join(map(output.plain_text, found.streams))
        name = change.what.value, record.volume, output.plain_text(record.path), old_path, record.kind.value
        yield *name, *sizes, *times, data, found.changed_bytes, " ".join(change.fields), streams


def _csv_line(row: tuple[Any, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(row)  # with its own end of line it knows that one in a field must be quoted
    return buffer.getvalue().removesuffix("\r\n")


def _size_and_time(record: FileRecord | None) -> tuple[int | str, str]:
    if record is None:
        return "", ""
    modified = record.times.modified
    return "" if record.is_name_alone else record.size, "" if modified is None else iso(modified)


def _line(change: FileChange) -> str:
    path, old = f"{change.record.volume}:{safe(change.record.path)}", change.old
    before = f" (was {safe(old.path)})" if old and change.new and old.path != change.new.path else ""
    return f"{change.what.value:<9} {path}{before}{_details(change)}"


def _details(change: FileChange) -> str:
    words, found = list[str](), change.difference
    is_known = not any(record and record.is_name_alone for record in (change.old, change.new))
    if change.old and change.new and change.old.size != change.new.size and is_known:
        words.append(f"{size(change.old.size)} to {size(change.new.size)}")
    elif change.what in {What.CREATED, What.DELETED}:
        words.append(size(change.record.size))
    if found.changed_bytes:
        words.append(f"{size(found.changed_bytes)} differ in {plural(found.range_count, 'range')}")
    if found.data is Data.UNKNOWN:
        words.append("more of it cannot be compared" if found.changed_bytes else "what it holds cannot be compared")
    elif change.what is What.UNKNOWN:
        words.append(f"not found in the {'old' if change.old is None else 'new'} state, of which folders are lost")
    if found.streams:
        words.append(f"not the same: {', '.join(f'stream {safe(name)}' for name in found.streams)}")
    if change.what is What.METADATA:
        words.append(", ".join(change.fields))
    return f": {'; '.join(words)}" if words else ""
