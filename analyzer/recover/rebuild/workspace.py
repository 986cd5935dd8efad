"""The file on the bench: what was rebuilt so far laid over it, so that the next step looks at the result."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from analyzer.recover.rebuild.model import Certainty, Range, Rebuilt
from analyzer.repair.draft import Draft
from vhdx.patched import OverlaySource, Patch
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import MAX_DISK_SIZE


@dataclass
class Bench:
    """A source that is never changed, and the file as it is with the structures rebuilt so far."""

    source: ByteSource
    rebuilt: list[Rebuilt] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    suspects: dict[int, bytes] = field(default_factory=dict)
    """Pages of the file, by byte, of which the log has another state that may be the right one."""
    parent_is_open: bool = False
    """Nothing tells whether the disk has a parent: what the table leaves out is then not known."""
    log_is_open: bool = False
    """Nothing tells whether a log that is lost had more to say."""
    log_was_live: bool = False
    """A log was live, or may have been, and its last entries may be lost without a trace."""
    in_pieces: bool = False
    """Nothing tells the size of a block, and the disk is put together from pieces of 1 MiB."""
    doubted: list[Range] = field(default_factory=list)
    """Ranges of the disk that rest on something that is merely likely; they may overlap and pass the disk's end."""
    guessed: list[Range] = field(default_factory=list)
    """Ranges of the disk that are as the caller chose; otherwise as `doubted`."""
    view: ByteSource = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the file as it is."""
        self.view = self.source

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file with what was rebuilt; raises as `read_at` does."""
        return read_at(self.view, offset, length)

    def lay(self, *changes: tuple[int, bytes]) -> None:
        """Lay (offset, content) changes, which do not overlap, over the file."""
        self.view = OverlaySource(self.view, [Patch(offset, len(data), data) for offset, data in changes if data])

    def note(self, structure: str, how: str, certainty: Certainty, *evidence: str) -> None:
        """Write down what was rebuilt, and why that is believed."""
        self.rebuilt.append(Rebuilt(structure, how, evidence, certainty))

    def doubt_all(self) -> None:
        """Nothing of the disk is certain."""
        self.doubted.append((0, MAX_DISK_SIZE))

    def doubts(self, at: int) -> bool:
        """Whether what the disk has at byte `at` is merely likely."""
        return any(start <= at < end for start, end in self.doubted)

    def doubt_blocks(self, block_size: int, blocks: Iterable[int]) -> None:
        """These blocks of the disk are as the file has them now likely, not certainly."""
        self.doubted += [(block * block_size, (block + 1) * block_size) for block in blocks]

    def guess_blocks(self, block_size: int, blocks: Iterable[int]) -> None:
        """These blocks of the disk are as the caller chose; nothing tells whether that is right."""
        self.guessed += [(block * block_size, (block + 1) * block_size) for block in blocks]

    def take(self, structure: str, draft: Draft) -> None:
        """Take over what a repair of the view has mended."""
        for mending in draft.mendings:
            self.note(structure, mending.title, Certainty.CERTAIN, mending.evidence)
        self.view = draft.view
