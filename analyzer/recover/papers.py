"""What stands beside a recovered image: its map and its account, which get their names together with it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from analyzer.recover.mapfile import is_own_mapfile
from vhdx.sink import Existing, Sink, part_of

_PIECE = 1 << 20


def map_of(target: Path) -> Path:
    """Where the mapfile of an output is."""
    return target.with_name(target.name + ".map")


def account_of(target: Path) -> Path:
    """Where the account of an output is."""
    return target.with_name(target.name + ".json")


def existing_papers(target: Path, existing: Existing) -> Existing:
    """What becomes of a map and an account that are there: without their image they are what an ended run left."""
    left_over = not target.exists() and is_own_mapfile(map_of(target))
    return Existing.REPLACE if left_over else existing


def forget_papers(target: Path) -> None:
    """Remove map and account of an image that did not get its name."""
    if not target.exists():
        for path in (map_of(target), account_of(target)):
            path.unlink(missing_ok=True)
            part_of(path).unlink(missing_ok=True)


class Papers:
    """A map and an account that are written and wait for their names; a `with` statement discards what has none."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        """Those in `sinks`, all written."""
        self._sinks = sinks

    @classmethod
    def written(cls, target: Path, existing: Existing, map_lines: Iterable[str], account: Iterable[str]) -> Self:
        """Write both, the map first; raises OutputError, InputOutputError, and then leaves neither."""
        how, sinks = existing_papers(target, existing), []
        with ExitStack() as opened:
            for path, pieces in ((map_of(target), map_lines), (account_of(target), account)):
                sinks.append(opened.enter_context(Sink(path, existing=how)))
                for block in _blocks(pieces):
                    sinks[-1].write_at(sinks[-1].size, block)
            opened.pop_all()
        return cls(tuple(sinks))

    def commit(self) -> None:
        """Give them their names."""
        for sink in self._sinks:
            sink.commit()

    def __enter__(self) -> Self:
        """The papers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard what was not committed."""
        for sink in self._sinks:
            sink.discard()


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """The text in blocks: one write for each line of a long map would take minutes."""
    block = bytearray()
    for piece in pieces:
        block += piece.encode("utf-8", "backslashreplace")
        if len(block) >= _PIECE:
            yield bytes(block)
            block.clear()
    yield bytes(block)
