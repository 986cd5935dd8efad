"""A live log, replayed for good: its pages into their places, then the log closed in both headers."""

from collections.abc import Iterator

from analyzer.repair.headers import update_headers
from analyzer.repair.workspace import Fix, Workspace
from analyzer.text import plural
from vhdx.identities import Identities
from vhdx.patched import PIECE, SHOWN, Patch, visible
from vhdx.ranges import Range, Ranges
from vhdx.replay import Log, logged_patches
from vhdx.source import extents_of, read_at


def fix_log(work: Workspace, identities: Identities) -> None:
    """Apply the active entries, make the file as long as they want it, and close the log; nothing when it is closed."""
    held = work.structures
    if held.header is None or not held.header.log_is_live:
        return
    log, size = held.log.get(), held.replay.get().size
    if not held.headers.is_sound or not held.log.is_sound:
        return
    # What a damaged entry would have changed is not in the result: that stays said, although the log is closed.
    work.unfixable += [finding for finding in held.log.findings if finding.code == "LOG-05"]
    first, last = (log.session[at].sequence_number for at in (log.active[0], log.active[-1]))
    numbers = f"entry {first} is" if first == last else f"the entries {first} to {last} are"
    grown = size - work.view.size
    title = f"{plural(len(log.active), 'log entry', 'is', 'are')} applied" + (
        f", the file grows by {grown} bytes" if grown else ""
    )
    evidence = f"{numbers} an unbroken sequence of the live session, all with matching checksums"
    patches = tuple(_patches(work, log))
    work.add(Fix(code="LOG-01", title=title, evidence=evidence, patches=patches), size)
    update_headers(work, "LOG-01", "its log is closed", identities)


def _patches(work: Workspace, log: Log) -> Iterator[Patch]:
    """What replay changes, in the order of the file; what is zeros already is left out."""
    run: list[Patch] = []
    for start, end, patch in visible(tuple(logged_patches(log))):
        if patch.after is None:
            yield from _zeroed(work, Range.between(start, min(end, work.view.size)))
            continue
        if run and (run[-1].end != start or start - run[0].offset >= PIECE):
            yield _joined(run, work)
            run = []
        run.append(patch.cut(start, end))
    if run:
        yield _joined(run, work)


def _joined(run: list[Patch], work: Workspace) -> Patch:
    offset, after = run[0].offset, b"".join(patch.after or b"" for patch in run)
    there = min(len(after), SHOWN, work.view.size - offset)
    return Patch.of(offset, work.read(offset, there) if there > 0 else b"", after)


def _zeroed(work: Workspace, zeroed: Range) -> Iterator[Patch]:
    # Holes of the host's file system need no look.
    for part in Ranges.of(extents_of(work.source)).within(zeroed):
        for at in range(part.start, part.end, PIECE):
            data = read_at(work.source, at, min(PIECE, part.end - at))
            if data.count(0) < len(data):
                yield Patch(at, len(data), None, data[:SHOWN])
