"""What `vhdx recover` says: the account for people, and in JSON on stdout and in OUT.json."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from analyzer.recover.affected_files import TouchedFiles, whole_volume
from analyzer.recover.disk.provenance import Row, Totals
from analyzer.recover.inputs.layers import Level, Past
from analyzer.recover.job import Outcome, Plan
from analyzer.recover.rebuild.workspace import Rebuilt
from cli import output
from cli.output import members
from cli.render.recover_files import touched_lines
from cli.text import exact_size, safe

# What fits a screen beside the totals; the account has all of them.
_FIRST_ALIKE = 3
_NUMBER = re.compile(r"\d+")


def details_of(plan: Plan, files: TouchedFiles, account: Path | None) -> Iterator[str]:
    """What the summary leaves to `-v` and to the account: each level with all that was rebuilt, witnesses, files."""
    for number, level in reversed(list(enumerate(plan.levels))):
        name = safe(level.path) if level.path else "(nothing)"
        yield f"{number:>3}  {level.presence.value:<10}  {name}: {safe(level.evidence)}"
        lost = (f"lost: {safe(text)}" for text in level.lost)
        below = (*past_lines(level.past), *rebuilt_lines(level.rebuilt, account), *lost)
        yield from (f"{'':17}{line}" for line in below)
    yield from _content_lines(plan)
    if volume := whole_volume(plan.filled):
        yield str(volume)
    yield from touched_lines(files, account)


def _content_lines(plan: Plan) -> Iterator[str]:
    """What contradicts its place, and who said so."""
    account = plan.content.account
    for one in account.contradictions:
        yield f"content: {safe(plan.disk.images[one.layer].path.name)}: {one}"
        yield f"content: in doubt by {account.measured(one.witnesses)}"


def past_lines(past: Past | None) -> Iterator[str]:
    """Which state of a file was asked for."""
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
        "totals": counts | members(totals, "likely", "guessed", "left_out"),
        "complete": totals.complete,
        "content": _content(plan),
        "volume": output.plain(volume) if volume else None,
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
