"""Layers of a disk, one file each, read as the one disk that they make up, whatever the format of the files."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Generic, Self, TypeVar

from vhdx.allocation import MOST_RUNS
from vhdx.disk import Disk, FileDisk
from vhdx.errors import LostDataError, NeedsParentError, NoSuchLayerError, VhdxError
from vhdx.runs import Kind, Run, RunTable, overlay
from vhdx.source import ByteSource


class LayerFile(FileDisk):
    """A file that can be a layer. By itself it reads what it holds; what it leaves to a parent, a chain reads."""

    @property
    @abstractmethod
    def has_parent(self) -> bool:
        """This is a differencing file."""

    @abstractmethod
    def layer_windows(
        self, layer: int, view: int, start: int, end: int, *, limit: int = MOST_RUNS
    ) -> Iterator[RunTable]:
        """Windows of the file as layer `layer`, from `start` to `end`; past byte `view` of the disk it shows zeros.

        A parent that ends before its child does so, and so does one that a shorter layer above it cuts off. `limit`
        is of runs in a window.
        """

    @abstractmethod
    def why_lost(self, start: int) -> str:
        """The reason why byte `start` of the disk cannot be known from this file, a clause for a sentence's end."""

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. All runs are of layer 0; HOLE is the parent's where there is one, else zeros."""
        return self.layer_windows(0, self.size, start, self.size if end is None else min(end, self.size))

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        if run.kind is Kind.LOST:
            return LostDataError(self.path, run.start, run.length, self.why_lost(run.start))
        if run.kind is Kind.HOLE and self.has_parent:
            return NeedsParentError(self.path, run.start)
        return None


File = TypeVar("File", bound=LayerFile)


@dataclass(frozen=True, eq=False, repr=False)
class LayeredDisk(Disk, Generic[File]):
    """Files from base (layer 0) to leaf, whose links were verified. A single base is a chain of one."""

    layers: tuple[File, ...]

    @property
    def leaf(self) -> File:
        """The newest layer, which the disk's size and identity are taken from."""
        return self.layers[-1]

    @property
    def base(self) -> File:
        """Layer 0."""
        return self.layers[0]

    @property
    def path(self) -> Path:
        """The leaf's path."""
        return self.leaf.path

    @property
    def size(self) -> int:
        """Bytes of the virtual disk: the leaf's."""
        return self.leaf.size

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector, the same in all layers."""
        return self.leaf.sector_size

    @cached_property
    def sources(self) -> Sequence[ByteSource]:
        """The file of each layer, base first."""
        return tuple(layer.source for layer in self.layers)

    @cached_property
    def views(self) -> tuple[int, ...]:
        """Where the view of each layer ends: at the smallest size among it and the layers above it."""
        # Past the end of a smaller layer the layers above it saw zeros; what a deeper one has there must not come
        # back when the disk grew again. test_a_short_layer_in_the_middle_hides_what_is_deeper.
        sizes = [layer.size for layer in reversed(self.layers)]
        return tuple(reversed(list(accumulate(sizes, min))))

    def upto(self, layer: int) -> Self:
        """The state of one layer: the chain that ends there. Raises NoSuchLayerError."""
        if not 0 <= layer < len(self.layers):
            raise NoSuchLayerError(self.path, str(layer), len(self.layers))
        return replace(self, layers=self.layers[: layer + 1])

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """See Disk. A HOLE that is left at the base reads as zeros."""
        return self.windows_above(0, start, end)

    def windows_above(self, lowest: int, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """Windows of the layers from `lowest` up alone: a HOLE is what they leave to the layer below."""
        upto = self.size if end is None else min(end, self.size)
        # A window of every layer is in memory at one time: together they are bounded as one scan is.
        limit = max(1, MOST_RUNS // len(self.layers))
        streams = [
            layer.layer_windows(number, self.views[number], start, upto, limit=limit)
            for number, layer in enumerate(self.layers)
            if number >= lowest
        ]
        return (overlay(*reversed(parts)) for parts in in_step(streams))

    def error_for(self, run: Run) -> VhdxError | None:
        """See Disk."""
        return self.layers[run.layer].error_for(run) if run.kind is Kind.LOST else None

    def require_unchanged(self) -> None:
        """See Disk."""
        for layer in self.layers:
            layer.require_unchanged()

    def close(self) -> None:
        """Close all files."""
        for layer in self.layers:
            layer.close()


def in_step(streams: Sequence[Iterator[RunTable]]) -> Iterator[list[RunTable]]:
    """Windows of several streams, cut so that those given together cover the same range; it ends with the first."""
    pending = [next(stream, None) for stream in streams]
    while True:
        tables = [table for table in pending if table is not None]
        if len(tables) < len(pending):
            return
        start, end = int(tables[0].start[0]), min(table.end for table in tables)
        yield [table.clip(start, end) for table in tables]
        for index, (table, stream) in enumerate(zip(tables, streams, strict=True)):
            pending[index] = next(stream, None) if table.end == end else table.clip(end, table.end)
