"""What a repair is made of: fixes with their patches, the workspace in which they are found, and the plan."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from vhdx.contents import Structures
from vhdx.findings import Finding
from vhdx.patched import PIECE, OverlaySource, Patch
from vhdx.ranges import Range
from vhdx.source import ByteSource, read_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One finding put right. `evidence` is why that is believed; the patches are made durable together."""

    code: str
    title: str
    evidence: str
    patches: tuple[Patch, ...]

    @property
    def length(self) -> int:
        """Bytes that it writes."""
        return sum(patch.length for patch in self.patches)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What is to be done to one file, in this order. Sizes are bytes."""

    path: Path
    file_size: int
    result_size: int
    fixes: tuple[Fix, ...]
    unfixable: tuple[Finding, ...]
    """What will still be wrong afterwards."""
    opens: bool
    """Whether the file can be opened afterwards."""
    witnesses: tuple[Range, ...]
    """Ranges whose content distinguishes the file from others and from its own later states: its structures."""
    verify: "Callable[[RepairPlan, Path], None]"
    """Opens what was written by the plan, and raises a VhdxError when it is not right."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to write."""
        return not self.fixes


def nonzero_pieces(source: ByteSource, part: Range) -> Iterator[tuple[int, bytes]]:
    """The pieces of a range of a file, each with its place, that are not all zeros."""
    for at in range(part.start, part.end, PIECE):
        data = read_at(source, at, min(PIECE, part.end - at))
        if data.count(0) < len(data):
            yield at, data


@dataclass
class Workspace:
    """A source that is never changed, the fixes found so far, and the file as it is with them."""

    source: ByteSource
    fixes: list[Fix] = field(default_factory=list)
    unfixable: list[Finding] = field(default_factory=list)
    """What a fix found that it cannot put right."""
    view: ByteSource = field(init=False)
    original: Structures = field(init=False)
    """The structures of the file as it is."""
    _structures: Structures = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the file as it is."""
        self.view = self.source
        self.original = self._structures = Structures(self.source)

    @classmethod
    def of(cls, structures: Structures) -> Self:
        """A workspace for a file whose structures may have been read already."""
        work = cls(structures.file)
        work.original = work._structures = structures
        return work

    @property
    def structures(self) -> Structures:
        """The structures of the file with what was changed so far, read once as long as nothing more is changed."""
        if self._structures.file is not self.view:
            self._structures = Structures(self.view)
        return self._structures

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file with what was changed so far; raises as `read_at` does."""
        return read_at(self.view, offset, length)

    def patch(self, *changes: tuple[int, bytes]) -> None:
        """Lay (offset, content) changes over the file."""
        patches = [Patch(offset, len(data), data) for offset, data in changes if data]
        if patches:
            self.view = OverlaySource(self.view, patches)

    def add(self, fix: Fix, size: int = 0) -> None:
        """Take a fix up, which makes the file at least `size` bytes long."""
        self.fixes.append(fix)
        self.view = OverlaySource(self.view, fix.patches, size)

    def fix(self, code: str, title: str, evidence: str, *changes: tuple[int, bytes]) -> None:
        """Take up a fix of a few (offset, content) changes, of which just the bytes that differ are written."""
        patches = (Patch.between(offset, self.read(offset, len(after)), after) for offset, after in changes)
        written = tuple(patch for patch in patches if patch.length)
        self.add(Fix(code=code, title=title, evidence=evidence, patches=written))
