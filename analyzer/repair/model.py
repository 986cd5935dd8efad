"""What a repair is made of: patches, the mendings that they belong to, and the plan. Nothing here touches a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vhdx.findings import Finding

SHOWN = 32
"""How many bytes of a patch a plan shows."""
PIECE = 1 << 20
"""The most that is read or written at once."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`length` bytes at `offset` of the file become `after`, or zeros where that is None."""

    offset: int
    length: int
    after: bytes | None
    before: bytes = b""
    """The front of what stands there when the patch is to be applied: SHOWN bytes, for people."""

    @classmethod
    def between(cls, offset: int, before: bytes, after: bytes) -> "Patch":
        """The patch from the first byte that differs to the last one; `before` and `after` have one length, and do."""
        first, last = 0, len(after)
        while first < last and before[first] == after[first]:
            first += 1
        while first < last and before[last - 1] == after[last - 1]:
            last -= 1
        return cls.of(offset + first, before[first:last], after[first:last])

    @classmethod
    def of(cls, offset: int, before: bytes, after: bytes) -> "Patch":
        """The patch that makes `after` of `before`, both of one length."""
        return cls(offset, len(after), after, before[:SHOWN])

    @property
    def end(self) -> int:
        """The first byte after the patch."""
        return self.offset + self.length

    @property
    def front(self) -> bytes:
        """The front of what will stand there: SHOWN bytes, for people."""
        return self.content(self.offset, min(self.end, self.offset + SHOWN))

    def content(self, start: int, end: int) -> bytes:
        """What will stand from byte `start` to byte `end` of the file, both within the patch."""
        if self.after is None:
            return bytes(end - start)
        return self.after[start - self.offset : end - self.offset]

    def cut(self, start: int, end: int) -> "Patch":
        """The part of the patch from byte `start` to byte `end` of the file."""
        return Patch(start, end - start, None if self.after is None else self.content(start, end))

    def pieces(self) -> Iterator["Patch"]:
        """The patch in parts of PIECE bytes at most."""
        for start in range(self.offset, self.end, PIECE):
            yield self.cut(start, min(start + PIECE, self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
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
    mendings: tuple[Mending, ...]
    unmended: tuple[Finding, ...]
    """What will still be wrong afterwards."""
    opens: bool
    """Whether the file can be opened afterwards."""
    witnesses: tuple[tuple[int, int], ...]
    """Ranges (start, end) whose content tells the file from others and from its own later states: its structures."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to write."""
        return not self.mendings
