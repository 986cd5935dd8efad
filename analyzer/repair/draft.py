"""A plan that grows: each mending is laid over the file, and the next one looks at the result."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.repair.model import Mending
from vhdx.findings import Finding
from vhdx.patched import OverlaySource, Patch
from vhdx.source import ByteSource, read_at


@dataclass
class Draft:
    """The file, the mendings found so far, and the file as it is with them."""

    source: ByteSource
    mendings: list[Mending] = field(default_factory=list)
    unmended: list[Finding] = field(default_factory=list)
    """What a mending found that it cannot put right."""
    view: ByteSource = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the file as it is."""
        self.view = self.source

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file as it is with the mendings so far; raises as `read_at` does."""
        return read_at(self.view, offset, length)

    def add(self, mending: Mending, size: int = 0) -> None:
        """Take a mending up, which makes the file at least `size` bytes long."""
        self.mendings.append(mending)
        self.view = OverlaySource(self.view, mending.patches, size)

    def mend(self, code: str, title: str, evidence: str, *changes: tuple[int, bytes]) -> None:
        """Take up a mending of a few (offset, content) changes, of which just the bytes that differ are written."""
        self.add(Mending(code=code, title=title, evidence=evidence, patches=self.patches(changes)))

    def patches(self, changes: Sequence[tuple[int, bytes]]) -> tuple[Patch, ...]:
        """The changes as patches upon the file as it is with the mendings so far."""
        patches = (Patch.between(offset, self.read(offset, len(after)), after) for offset, after in changes)
        return tuple(patch for patch in patches if patch.length)
