"""What stands beside a recovered image: its map and its account, which get their names together with it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from analyzer.recovery_map.mapfile import account_of, is_own_mapfile, map_of
from vhdx.sink import Existing, Sink

_PIECE = 1 << 20


def existing_papers(target: Path, existing: Existing) -> Existing:
    """What becomes of a map and an account that are there: without their image they are what an ended run left."""
    left_over = not target.exists() and is_own_mapfile(map_of(target))
    return Existing.REPLACE if left_over else existing


def write_papers(
    target: Path, existing: Existing, map_lines: Iterable[str], account: Iterable[str], opened: ExitStack
) -> list[Sink]:
    """Map and account, written and whole, that wait for their names; the end of `opened` discards what has none.

    The map is written first: its lines may count what the account tells. Raises OutputError, InputOutputError.
    """
    how = existing_papers(target, existing)
    return [
        _written(path, pieces, how, opened)
        for path, pieces in ((map_of(target), map_lines), (account_of(target), account))
    ]


def _written(path: Path, pieces: Iterable[str], existing: Existing, opened: ExitStack) -> Sink:
    sink = opened.enter_context(Sink(path, existing=existing))
    for block in _blocks(pieces):
        sink.write_at(sink.size, block)
    sink.seal()
    return sink


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """The text in blocks: one write for each line of a long map would take minutes."""
    block = bytearray()
    for piece in pieces:
        block += piece.encode("utf-8", "backslashreplace")
        if len(block) >= _PIECE:
            yield bytes(block)
            block.clear()
    yield bytes(block)
