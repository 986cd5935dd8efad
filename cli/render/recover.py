"""What `vhdx recover` says: the account for people, and in JSON on stdout and in OUT.json."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from analyzer.guest.filesystems.metadata_places import JOURNAL
from analyzer.guest.filesystems.record import Role
from analyzer.recover.affected_files import TouchedFile, TouchedFiles, whole_volume
from analyzer.recover.disk.provenance import Row, Totals
from analyzer.recover.inputs.layers import Level, Past
from analyzer.recover.job import Outcome, Plan
from analyzer.recover.rebuild.workspace import Rebuilt
from analyzer.recovery_map.mapfile import Status
from cli import output
from cli.output import members
from cli.text import exact_size, plural, safe, size

# What fits a screen beside the totals; the account has all of them.
_FIRST_FILES = 10
_FIRST_ALIKE = 3
_NUMBER = re.compile(r"\d+")
_WORDS = {Status.KNOWN: "known", Status.STALE: "stale (an older state, or one in doubt)", Status.LOST: "lost"}


def lines_of(plan: Plan, totals: Totals, files: TouchedFiles, outcome: Outcome | None = None) -> Iterator[str]:
    """The account for people: the levels from the leaf down, the totals, the files, and what was written."""
    account = outcome.account if outcome else None
    for number, level in reversed(list(enumerate(plan.levels))):
        name = safe(level.path) if level.path else "(nothing)"
        yield f"{number:>3}  {level.presence.value:<10}  {name}: {safe(level.evidence)}"
        lost = (f"lost: {safe(text)}" for text in level.lost)
        below = (*_past_lines(level.past), *rebuilt_lines(level.rebuilt, account), *lost)
        yield from (f"{'':17}{line}" for line in below)
    yield f"disk of {size(plan.disk.size)}:"
    # That nothing is lost is said where all is known and content speaks for it; else it is only not known.
    is_sure = totals.complete and plan.content.account.is_checked
    for status, count in totals.bytes_of.items():
        words = exact_size(count) if count or is_sure or status is not Status.LOST else "nothing that is known of"
        yield f"  {words:<40}  {_WORDS[status]}"
    if totals.likely:
        yield f"  {exact_size(totals.likely)} of what is stale rests on what was rebuilt: likely right, not certain"
    if totals.guessed:
        yield f"  {exact_size(totals.guessed)} of what is stale is a guess, as --lost-bitmaps asked: it may be wrong"
    yield from _content_lines(plan)
    if volume := whole_volume(plan.filled):
        yield f"{volume} {safe(outcome.target)}" if outcome and volume.needs_backup else str(volume)
    yield from touched_lines(files, account)
    if outcome:
        how = "verified" if outcome.verified else "not read back"
        yield f"{safe(outcome.target)}: {outcome.format.value}, file of {size(outcome.file_size)}, {how}"
        yield f"{safe(outcome.map)}: which range is what, for ddrescuelog; {safe(outcome.account)}: why"


def _content_lines(plan: Plan) -> Iterator[str]:
    """What contradicts its place, and who said so."""
    account = plan.content.account
    if not account.is_checked:
        yield "content: not checked: no file system was found whose structures or files tell what must be where"
    for one in account.contradictions:
        yield f"content: {safe(plan.disk.images[one.layer].path.name)}: {one}"
        yield f"content: in doubt by {account.measured(one.witnesses)}"


def _past_lines(past: Past | None) -> Iterator[str]:
    if past and past.number is not None:
        yield f"as of log entry {past.number}, session {past.session}: tables of then, data as it is now"
        if not past.goes_on:
            yield "the log does not hold all that was written since"
    if past and past.brought_back is not None:
        yield f"unmapped blocks with their old data: {exact_size(past.brought_back)}"


def rebuilt_lines(parts: Iterable[Rebuilt], account: Path | None) -> Iterator[str]:
    """The parts, a line each; where they differ in numbers alone, a few of them and where all of them are."""
    kinds = defaultdict[tuple[str, str], list[Rebuilt]](list)
    for part in parts:
        kinds[f"rebuilt, {part.certainty.value}: {part.structure}", _NUMBER.sub("0", part.how)].append(part)
    where = safe(account) if account else "--json"
    for (head, _), alike in kinds.items():
        shown = alike if len(alike) <= _FIRST_ALIKE + 1 else alike[:_FIRST_ALIKE]  # one alone is worth its line
        yield from (f"{head}: {safe(part.how)}" for part in shown)
        if more := len(alike) - len(shown):  # a rebuilt table has thousands of parts that say the same
            yield f"{head}: {more} more like these, {len(alike)} in all: {where} lists them"


def touched_lines(files: TouchedFiles, account: Path | None) -> Iterator[str]:
    """How many there are, the first ones, and where all of them are listed; nothing where everything is known."""
    if files.error:
        yield f"files: not looked for: {files.error}"
    yield from _volume_lines(files)
    if not files.volumes:
        return
    if files.untouched is None:
        yield "files: which ones are touched is not known, for none can be listed"
        return
    is_part = bool(files.troubles) or any(volume.reason for volume in files.volumes)
    partly = ", as far as volumes can be listed" if is_part else ""
    yield f"files: {plural(files.lost, 'file')} with something lost, {files.stale} with something stale{partly}"
    yield f"files: of {plural(files.untouched, 'file')} of users all is known"
    yield from map(_file_line, files.touched[:_FIRST_FILES])
    if files.count > _FIRST_FILES:
        where = safe(account) if account else "--json"
        yield f"  ... and {files.count - _FIRST_FILES} more: {where} lists them"
    yield from _journal_lines(files)
    for trouble in files.troubles[:_FIRST_FILES]:
        yield f"files: {safe(trouble)}"
    if len(files.troubles) > _FIRST_FILES:
        yield f"files: {plural(len(files.troubles) - _FIRST_FILES, 'more place')} could not be read"


def _volume_lines(files: TouchedFiles) -> Iterator[str]:
    for volume in files.volumes:
        if volume.reason:
            yield f"files: volume {volume.number} at {volume.start} cannot be listed: {safe(volume.reason)}"
        yield from (f"files: volume {volume.number}: {safe(note)}" for note in volume.notes)


def _journal_lines(files: TouchedFiles) -> Iterator[str]:
    """What a file system whose journal is not whole takes, before it can be checked or mounted."""
    for file in files.touched:
        if file.role is Role.SYSTEM and file.path == f"/{JOURNAL}":
            yield (
                f"files: volume {file.volume}: its journal is {file.status.value} in part; e2fsck may refuse it, or "
                "put zeros from it into the volume: take it away on a copy first (docs/wsl.md, "
                '"Where the journal is lost")'
            )


def _file_line(file: TouchedFile) -> str:
    words = []
    if file.lost_bytes:
        words.append(f"{size(file.lost_bytes)} lost")
    if file.stale_bytes:
        words.append(f"{size(file.stale_bytes)} stale")
    if file.size is None:
        words.append("its record cannot be read: all of it is lost, how much is not known")
    elif file.metadata is not Status.KNOWN:
        words.append(f"its record or tables are {file.metadata.value}")
    return f"  {file.status.value:<5}  {file.volume}:{safe(file.path or '/')} ({', '.join(words)})"


def document_of(plan: Plan, totals: Totals, files: TouchedFiles, outcome: Outcome | None = None) -> Iterator[str]:
    """The account in JSON, in pieces, as OUT.json and stdout have it: the list of all runs has a line for each."""
    volume = whole_volume(plan.filled)
    counts = {status.value: count for status, count in totals.bytes_of.items()}
    payload = {
        "path": plan.levels[-1].path or plan.disk.images[-1].path,
        "size": plan.disk.size,
        "sector_size": plan.disk.sector_size,
        "fill": plan.request.fill,
        "layers": [_layer(number, level) for number, level in enumerate(plan.levels)],
        "totals": counts | members(totals, "likely", "guessed"),
        "complete": totals.complete,
        "content": _content(plan),
        "volume": {"kind": "ext"} | output.plain(volume) if volume else None,
        "output": members(outcome, "target", "map", "account", "format", "file_size", "verified") if outcome else None,
        "files": files,
        "columns": list(Row._fields),
    }
    return output.streamed("recover", payload, plan.findings, "runs", map(_plain, plan.rows()))


def _content(plan: Plan) -> dict[str, Any]:
    account = plan.content.account
    levels = [number for number, level in enumerate(plan.levels) if level.image is not None]
    return {
        "contradictions": [
            members(one, "cause", "files", "witnesses", "pattern")
            | {"layer": levels[one.layer], "bytes": one.ranges.size}
            for one in account.contradictions
        ],
        "witnesses": [
            members(rate, "witness", "known", "wrong") | {"believed": rate.is_believed} for rate in account.rates
        ],
    }


def _layer(number: int, level: Level) -> dict[str, Any]:
    past = None
    if level.past:
        past = members(level.past, log_entry="number", log_guid="session", reaches_the_present="goes_on")
        past |= members(level.past, anchored_bytes="brought_back")
    layer = {"layer": number} | members(level, "presence", "path", data_write_guid="identity")
    layer |= {"virtual_size": level.image.size if level.image else None, "past": past}
    return layer | members(level, "evidence", "rebuilt", beyond_rebuilding="lost")


def _plain(row: Row) -> list[Any]:
    status, kind, basis = row.status.value, row.kind.name.lower(), row.basis.value
    return [row.start, row.length, status, kind, row.layer, row.file_offset, basis, row.cause]
