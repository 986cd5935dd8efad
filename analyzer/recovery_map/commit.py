"""What is written beside an image with losses, and how all get their names: no map is beside an image not its own."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from analyzer.recovery_map.beside import account_of, map_of
from analyzer.recovery_map.mapfile import is_own_mapfile
from vhdx.errors import VhdxError
from vhdx.sink import Existing, Sink
from vhdx.system import files

_LINES_AT_ONCE = 1 << 13


def existing_sidecars(target: Path, existing: Existing) -> Existing:
    """What becomes of a map and an account that are there: without their image they are what an ended run left."""
    left_over = not target.exists() and is_own_mapfile(map_of(target))
    return Existing.REPLACE if left_over else existing


def write_sidecars(
    target: Path, existing: Existing, map_lines: Iterable[str], account: Iterable[str] | None, opened: ExitStack
) -> list[Sink]:
    """Map and account, written and whole, that wait for their names; the end of `opened` discards what has none.

    The map is written first: its lines may count what the account tells. Raises OutputError, InputOutputError.
    """
    how = existing_sidecars(target, existing)
    sidecars = []
    for path, text in ((map_of(target), map_lines), (account_of(target), account)):
        if text is None:
            continue
        sink = opened.enter_context(Sink(path, existing=how))
        _fill(sink, iter(text))
        sink.flush()
        sidecars.append(sink)
    return sidecars


def replace_account(account: Path, pieces: Iterable[str]) -> None:
    """An account that tells more, in the place of the one that is there until then; raises as `write_sidecars` does."""
    with Sink(account, existing=Existing.REPLACE) as sink:
        _fill(sink, iter(pieces))
        sink.commit()


def _fill(sink: Sink, pieces: Iterator[str]) -> None:
    # In batches: one write for each line of a long map would take minutes.
    while batch := "".join(islice(pieces, _LINES_AT_ONCE)):
        sink.write_at(sink.size, batch.encode("utf-8", "backslashreplace"))


def name_with_map(image: Sink, lines: Iterable[str]) -> None:
    """Name an image that nothing but a map goes with, as `name_anew` does; an account of an older image goes."""
    image.flush()
    target, existing = image.target, image.existing
    if is_own_mapfile(map_of(target)):  # what a recovery says of an older image is not said of this one
        account_of(target).unlink(missing_ok=True)
    with ExitStack() as opened:
        name_anew(image, write_sidecars(target, existing, lines, None, opened))


def name_anew(image: Sink, sidecars: Sequence[Sink]) -> None:
    """Name what was written anew, all of it whole already: the older image goes, sidecars come, the image comes last.

    So there is never an image without its map, and wherever a crash ends this, no map is left that an image of another
    run could be read by. An interruption is raised when all is named, for the older image is gone. Raises what
    `Sink.commit` does; the sidecars are taken back then, and the image is left under its temporary name.
    """
    image.keep()
    try:
        _finish(image, sidecars)
    # The older image is gone by now. To stop here would leave nothing under its name, so the naming is finished
    # first.
    except (KeyboardInterrupt, SystemExit):
        _finish(image, sidecars)
        raise


def _finish(image: Sink, sidecars: Sequence[Sink]) -> None:
    if not image.path.exists():  # it has its name, and so have the sidecars
        return
    image.remove_older()
    named: list[Sink] = []
    try:
        # The image last: while it has no name, a map beside that name belongs to nothing, and nothing is read by it.
        for sink in (*sidecars, image):
            if sink.path.exists():
                sink.commit()
            named.append(sink)
    except VhdxError:
        for sink in named:
            files.remove(sink.target)
        raise


def name_resumed(image: Sink, sidecars: Sequence[Sink]) -> None:
    """Name what goes on with an earlier output: the earlier map is true of the new image, too, until the new one comes.

    All that it has as known was taken over. Raises what `Sink.commit` does.
    """
    for sink in (image, *sidecars):
        sink.commit()
