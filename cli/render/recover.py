"""What `vhdx recover` says: the account for people, and in JSON on stdout and in OUT.json."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import click

from analyzer.recover.affected_files import Survey, WholeVolume, whole_volume
from analyzer.recover.disk.provenance import Row, Totals
from analyzer.recover.inputs.layers import Level, Past
from analyzer.recover.job import Outcome, Plan
from analyzer.recover.rebuild import Rebuilt
from analyzer.recovery_map.mapfile import Status
from cli import output
from cli.render.affected_files import plain_touched, touched_lines
from cli.render.rebuilt import rebuilt_lines
from cli.text import exact_size, safe, size

_WORDS = {
    Status.KNOWN: "known",
    Status.STALE: "stale (an older state, or one in doubt)",
    Status.LOST: "lost",
}


def lines_of(plan: Plan, totals: Totals, survey: Survey, outcome: Outcome | None = None) -> Iterator[str]:
    """The account for people: the levels from the leaf down, the totals, the files, and what was written."""
    account = outcome.account if outcome else None
    for number, level in reversed(list(enumerate(plan.levels))):
        name = safe(level.path) if level.path else "(nothing)"
        yield f"{number:>3}  {level.presence.value:<10}  {name}: {safe(level.evidence)}"
        yield from (f"{'':17}{line}" for line in _past_lines(level.past))
        yield from (f"{'':17}{line}" for line in rebuilt_lines(level.rebuilt, account))
        for text in level.lost:
            yield f"{'':17}lost: {safe(text)}"
    yield from _counted(plan, totals)
    if volume := whole_volume(plan.filled):
        yield f"{volume} {safe(outcome.target)}" if outcome and not volume.is_whole_in_front else str(volume)
    yield from touched_lines(survey.files, account)
    if outcome:
        how = "verified" if outcome.verified else "not read back"
        yield f"{safe(outcome.target)}: {outcome.format.value}, file of {size(outcome.file_size)}, {how}"
        yield f"{safe(outcome.map)}: which range is what, for ddrescuelog; {safe(outcome.account)}: why"


def _counted(plan: Plan, totals: Totals) -> Iterator[str]:
    yield f"disk of {size(plan.disk.size)}:"
    for status, count in totals.bytes_of.items():
        yield f"  {exact_size(count):<40}  {_WORDS[status]}"
    if totals.likely:
        yield f"  {exact_size(totals.likely)} of what is stale rests on what was rebuilt: likely right, not certain"
    if totals.guessed:
        yield f"  {exact_size(totals.guessed)} of what is stale is a guess, as --lost-bitmaps asked: it may be wrong"


def _past_lines(past: Past | None) -> Iterator[str]:
    if past and past.number is not None:
        yield f"as of log entry {past.number}, session {past.session}: tables of then, data as it is now"
        if not past.goes_on:
            yield "the log does not hold all that was written since"
    if past and past.brought_back is not None:
        yield f"blocks that were let go have their old data: {exact_size(past.brought_back)}"


def document_of(plan: Plan, totals: Totals, survey: Survey) -> Iterator[str]:
    """The account as OUT.json has it, in pieces."""
    return _pieces(plan, totals, survey, None)


def emit_account(plan: Plan, totals: Totals, survey: Survey, outcome: Outcome | None) -> None:
    """Print the account in JSON."""
    pieces = _pieces(plan, totals, survey, outcome)
    while batch := list(islice(pieces, 4096)):
        click.echo("".join(batch), nl=False)


def _pieces(plan: Plan, totals: Totals, survey: Survey, outcome: Outcome | None) -> Iterator[str]:
    """One object whose last member, the list of all runs, has a line for each."""
    payload = {
        "path": plan.levels[-1].path or plan.disk.images[-1].path,
        "size": plan.disk.size,
        "sector_size": plan.disk.sector_size,
        "fill": plan.wishes.fill,
        "layers": [_layer(number, level) for number, level in enumerate(plan.levels)],
        "totals": {status.value: count for status, count in totals.bytes_of.items()}
        | {"likely": totals.likely, "guessed": totals.guessed},
        "complete": totals.complete,
        "volume": _volume(whole_volume(plan.filled)),
        "output": _written(outcome),
        "files": plain_touched(survey.files),
        "columns": list(Row._fields),
    }
    yield f'{output.document("recover", payload, plan.findings)[:-2]},\n  "runs": ['
    yield from _listed(json.dumps(_plain(row)) for row in plan.rows())
    yield "\n  ]\n}\n"


def _listed(items: Iterable[str]) -> Iterator[str]:
    separator = "\n    "
    for item in items:
        yield separator + item
        separator = ",\n    "


def _layer(number: int, level: Level) -> dict[str, Any]:
    return {
        "layer": number,
        "presence": level.presence,
        "path": level.path,
        "data_write_guid": level.identity,
        "virtual_size": level.image.size if level.image else None,
        "evidence": level.evidence,
        "rebuilt": [_rebuilt(part) for part in level.rebuilt],
        "beyond_rebuilding": list(level.lost),
        "past": _past(level.past),
    }


def _past(past: Past | None) -> dict[str, Any] | None:
    if past is None:
        return None
    return {
        "log_entry": past.number,
        "log_guid": past.session,
        "reaches_the_present": past.goes_on,
        "anchored_bytes": past.brought_back,
    }


def _volume(volume: WholeVolume | None) -> dict[str, Any] | None:
    if volume is None:
        return None
    return {"kind": "ext", "blocks": volume.blocks, "block_size": volume.block_size, "superblock": volume.superblock}


def _rebuilt(part: Rebuilt) -> dict[str, Any]:
    return {
        "structure": part.structure,
        "how": part.how,
        "certainty": part.certainty,
        "evidence": list(part.evidence),
    }


def _written(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "target": outcome.target,
        "map": outcome.map,
        "account": outcome.account,
        "format": outcome.format,
        "file_size": outcome.file_size,
        "verified": outcome.verified,
    }


def _plain(row: Row) -> list[Any]:
    status, kind, basis = row.status.value, row.kind.name.lower(), row.basis.value
    return [row.start, row.length, status, kind, row.layer, row.file_offset, basis, row.cause]
