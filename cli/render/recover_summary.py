"""The summary of `vhdx recover`, a screen that the owner of a disk understands; `-v` and OUT.json have the rest."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from analyzer.guest.filesystems.record import Role
from analyzer.linkage.mismatch import Verdict
from analyzer.recover.affected_files import TouchedFiles, UserFiles, cut_volumes, free_losses, whole_volume
from analyzer.recover.disk.provenance import Totals
from analyzer.recover.inputs.layers import Basis, Level, Placed, Presence
from analyzer.recover.job import Outcome, Plan
from analyzer.recover.rebuild.workspace import Certainty, Rebuilt
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.mapfile import Status, is_of_carved
from analyzer.remedies import shell_command
from analyzer.witnesses.model import Cause
from cli.render.recover import past_lines
from cli.render.recover_files import file_line, journal_lines, why_not_listed
from cli.text import plural, safe, size
from vhdx.ranges import Range, Ranges
from vhdx.source import unread_of

# Of each list so many fit a screen together.
_MOST_LAYERS, _MOST_REASONS, _MOST_FILES, _MOST_PARTS = 5, 6, 4, 3
_OUT = "disk.raw"
_BEFORE = {
    Cause.ENCRYPTED: "from before it was encrypted or overwritten",
    Cause.ZEROED: "from before zeros were written into it",
    Cause.MISPLACED: "from before its blocks were exchanged",
    Cause.HOLES: "from before its host lost parts of it",
    Cause.MIXED: "of one time",
}


def summary_of(plan: Plan, totals: Totals, files: TouchedFiles, outcome: Outcome | None = None) -> Iterator[str]:
    """What is back, in bytes and files; what is in doubt and what is lost, and why; what could bring back more."""
    where, free = safe(outcome.account) if outcome else "--json", free_losses(plan)
    yield f"{safe(plan.disk.images[-1].path)}: disk of {size(plan.disk.size)}"
    yield from _totals(plan, totals, files, free.size)
    yield from _section("from", _layers(plan.levels), _MOST_LAYERS, where)
    yield from _section("why", _reasons(plan, totals, files, free), _MOST_REASONS, where)
    worst = [file for file in files.touched if file.role is Role.USER and not file.likely]
    yield from _section("files", map(file_line, worst), _MOST_FILES, where)
    yield from _section("more could come from", dict.fromkeys(_more(plan)), _MOST_REASONS, where)
    yield from _section("next", _next(plan, files, outcome), _MOST_REASONS, where)
    if outcome:
        how = "verified" if outcome.verified else "not read back"
        yield f"{safe(outcome.target)}: {outcome.format.value}, file of {size(outcome.file_size)}, {how}"
        yield f"{safe(outcome.map)}: which range is what, for ddrescuelog; {safe(outcome.account)}: why"


def _section(title: str, lines: Iterable[str], most: int, where: str) -> Iterator[str]:
    """A title and the first lines below it; nothing where there are none."""
    all_lines = list(lines)
    if all_lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in islice(all_lines, most))
        if (more := len(all_lines) - most) > 0:
            yield f"  ... and {more} more: {where} lists them"


def _totals(plan: Plan, totals: Totals, files: TouchedFiles, free: int) -> Iterator[str]:
    """Bytes and files of each kind; kinds of which there is nothing are left out, but for known and lost."""
    users, known = files.users, totals.bytes_of[Status.KNOWN]
    likely, lost = totals.likely, totals.bytes_of[Status.LOST] - totals.left_out
    doubtful = totals.bytes_of[Status.STALE] - likely
    yield _row("known", size(known), users and users.known)
    if likely:
        yield _row("likely", f"{size(likely)}, by what was rebuilt", users and users.likely)
    if doubtful:
        yield _row("in doubt", size(doubtful), users and users.doubtful)
    if totals.left_out:
        yield _row("not asked", f"{size(totals.left_out)}, left out as --only asked", None)
    # That nothing is lost is said where all is known and content speaks for it; else it is only not known.
    is_cut = any(True for _ in cut_volumes(plan.filled))
    is_sure = lost or (totals.complete and plan.content.account.is_checked and not is_cut)
    unmissed = f", {'all' if free == lost else size(free)} of it free space" if free else ""
    yield _row("lost", f"{size(lost)}{unmissed}" if is_sure else "nothing that is known of", users and users.lost)


def _row(name: str, bytes_: str, files: int | UserFiles | None) -> str:
    counted = f"{plural(files, 'file')}" if isinstance(files, int) else ""
    return f"  {name:<9} {bytes_:<40} {counted}".rstrip()


def _layers(levels: tuple[Level, ...]) -> Iterator[str]:
    """The levels from the leaf down; those that are as they should be are counted alone, where there are many."""
    numbered = list(reversed(list(enumerate(levels))))
    told = [one for one in numbered if len(levels) <= _MOST_LAYERS or not _is_plain(one[1])]
    for number, level in told:
        name = safe(level.path) if level.path else f"({level.presence.value})"
        yield f"{number}  {name}{_state_of(level)}"
    if plain := len(numbered) - len(told):
        yield f"{plural(plain, 'more file')}, whole"


def _is_plain(level: Level) -> bool:
    return level.presence is Presence.PRESENT and not (level.rebuilt or level.lost or level.past)


def _state_of(level: Level) -> str:
    if level.presence is Presence.UNREADABLE:
        return ": cannot be read"
    moved = [f": {safe(part.how)}" for part in level.rebuilt if part.structure == "file"]
    structures = ", ".join(dict.fromkeys(part.structure for part in level.rebuilt if part.structure != "file"))
    return "".join([*moved, f": rebuilt: {structures}" if structures else ""])


def _reasons(plan: Plan, totals: Totals, files: TouchedFiles, free: Ranges) -> Iterator[str]:
    """Why not everything is known."""
    if totals.guessed:
        yield f"{size(totals.guessed)} of it is a guess, as --lost-bitmaps asked: it may be wrong"
    for level in reversed(plan.levels):
        yield from _reasons_of(level)
    yield from _first_loss(plan, free)
    if plan.filled.faults:
        yield f"{size(plan.filled.faults.size)} could not be read from the medium"
    yield from cut_volumes(plan.filled)
    account = plan.content.account
    for one in account.contradictions:
        yield f"content: {safe(plan.disk.images[one.layer].path.name)}: {one}"
    if not account.is_checked:
        yield "content: not checked: no file system was found whose structures or files tell what must be where"
    yield from why_not_listed(files)


def _reasons_of(level: Level) -> Iterator[str]:
    name = safe(level.path.name) if level.path else ""
    if level.image is None:
        # The first clauses: facts of the evidence follow, which OUT.json has.
        yield safe("; ".join(level.evidence.split("; ")[: 2 if level.presence is Presence.UNREADABLE else 1]))
    if level.placed is Placed.BY_TIME:
        yield f"{name}: {safe(level.evidence)}"
    yield from (f"{name}: {line}" for line in (*past_lines(level.past), *_parts(level.rebuilt)))
    yield from (f"{name}: lost: {safe(text)}" for text in level.lost)
    if any(doubt.reason is Basis.RECOVERED and doubt.ranges for doubt in level.doubts):
        is_carved = level.path is not None and is_of_carved(map_of(level.path))
        how = "was taken out of the disk of a host, where it was deleted" if is_carved else "was recovered before"
        yield f"{name}: it {how}: what was lost or in doubt then is so now"


def _first_loss(plan: Plan, free: Ranges) -> Iterator[str]:
    """Why the first range is lost that a file held, and that is more than free space of a volume."""
    damaged = (row for row in plan.rows() if row.basis is Basis.DAMAGED and row.status is Status.LOST)
    for row in damaged:
        missed = next(iter(free.gaps(Range(row.start, row.length))), None)
        if missed and row.cause is not None and (image := plan.levels[row.cause].image):
            at = f"{size(missed.length)} at byte {missed.start}"
            yield f"{safe(image.path.name)}: lost: {at}: {safe(image.why_lost(missed.start))}"
            return
    if free:
        yield f"{size(free.size)} of free space are lost: no file lies there, by the maps of the volumes"


def _parts(parts: Iterable[Rebuilt]) -> Iterator[str]:
    """What was rebuilt and is likely, a line for each structure."""
    kinds = defaultdict[tuple[str, Certainty], list[Rebuilt]](list)
    for part in parts:
        if part.certainty is not Certainty.CERTAIN:
            kinds[part.structure, part.certainty].append(part)
    for (structure, certainty), alike in islice(kinds.items(), _MOST_PARTS):
        more = f" ({len(alike) - 1} more like it)" if len(alike) > 1 else ""
        yield f"rebuilt, {certainty.value}: {structure}: {safe(alike[0].how)}{more}"


def _more(plan: Plan) -> Iterator[str]:
    """What could bring back more than this run did."""
    for below, level in zip((None, *plan.levels), plan.levels, strict=False):
        yield from _more_of(plan, level, below)
    if plan.filled.left_out:
        yield "this command without --only and with --resume: it reads the rest"
    if plan.filled.faults:
        yield "the medium: this command again with --resume tries what failed"
    if any(doubt.reason is Basis.CHOSEN and doubt.ranges for level in plan.levels for doubt in level.doubts):
        yield "another choice of --lost-bitmaps"
    for one in plan.content.account.contradictions:
        yield f"a copy of {safe(plan.disk.images[one.layer].path.name)} {_BEFORE[one.cause]}"


def _more_of(plan: Plan, level: Level, below: Level | None) -> Iterator[str]:
    is_damaged = level.lost or any(part.certainty is not Certainty.CERTAIN for part in level.rebuilt)
    if level.presence is Presence.MISSING:
        yield f"the missing file{_named_by(plan, level)}: name it as well"
    elif level.presence is Presence.DOUBT and below is not None and below.path:
        yield f"a copy of {safe(below.path.name)} from before it was changed"
    elif level.path and (is_damaged or level.presence is Presence.UNREADABLE):
        yield f"another copy of {safe(level.path.name)}, an older backup as well"
    if level.image and (unread := unread_of(level.image.file)):
        yield f"a further run of ddrescue with {safe(unread.map)}, then this command with --resume"


def _named_by(plan: Plan, gap: Level) -> str:
    """What the level above calls a missing parent."""
    above = plan.levels[plan.levels.index(gap) + 1] if gap in plan.levels[:-1] else None
    locator = above.image.locator if above and above.image else None
    return f" ({safe(locator.paths[0][1])})" if locator and locator.paths else ""


def _next(plan: Plan, files: TouchedFiles, outcome: Outcome | None) -> Iterator[str]:
    """The commands that come now, and what to know before the image is used otherwise."""
    for child, gap, parent in zip(plan.levels[2:], plan.levels[1:], plan.levels, strict=False):
        if gap.verdict is Verdict.MERGE_INTERRUPTED and child.path and parent.path:
            words = ["merge", str(child.path), "merged.vhdx", "--parent", str(parent.path), "--on-mismatch", "accept"]
            yield f"{shell_command(['vhdx', *words])}    completes the merge that was interrupted"
    if outcome is None:
        again = [str(path) for path in plan.request.inputs]
        yield f"{shell_command(['vhdx', 'recover', *again, '-o', _OUT])}    writes it"
    else:
        yield from _with_files(files, outcome, plan.request.only or ("/",))
        if any(level.presence is Presence.MISSING for level in plan.levels):
            folder = plan.disk.images[0].path.parent
            yield f"{shell_command(['vhdx', 'scan', str(folder)])}    looks for the missing file; name any other folder"
    if volume := whole_volume(plan.filled):
        yield f"{volume} {safe(outcome.target)}" if outcome and volume.needs_backup else str(volume)
    yield from journal_lines(files)


def _with_files(files: TouchedFiles, outcome: Outcome, paths: tuple[str, ...]) -> Iterator[str]:
    readable = [volume.number for volume in files.volumes if not volume.reason]
    if readable:
        which = ["--volume", str(readable[0])] if len(readable) > 1 else []
        shown = paths if len(paths) <= _MOST_FILES else ("/",)
        command = shell_command(["vhdx", "extract", str(outcome.target), *shown, *which, "-o", "files"])
        partial = "; --partial writes those with losses, too" if files.lost else ""
        yield f"{command}    takes the files out{partial}"
    elif not files.volumes:
        yield f"{shell_command(['vhdx', 'files', str(outcome.target)])}    lists what is in it"
