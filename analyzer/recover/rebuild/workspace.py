"""The workspace of a rebuilding: what was rebuilt on which evidence, what is lost, and what is not certain."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from analyzer.recover.rebuild.model import Certainty, Rebuilt
from analyzer.repair.workspace import Fix, Workspace
from vhdx.ranges import Range
from vhdx.structures.constants import MAX_DISK_SIZE

# What the codes of fixes are about.
_STRUCTURES = {"HDR": "headers", "REG": "region tables"}


@dataclass
class RebuildWorkspace(Workspace):
    """A source that is never changed, and the file as it is with the structures rebuilt so far."""

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

    def add(self, fix: Fix, size: int = 0) -> None:
        """Take up what a repair fixes: nothing else explains the damage, so that it is certain."""
        super().add(fix, size)
        self.note(_STRUCTURES[fix.code[:3]], fix.title, Certainty.CERTAIN, fix.evidence)

    def note(self, structure: str, how: str, certainty: Certainty, *evidence: str) -> None:
        """Write down what was rebuilt, and why that is believed."""
        self.rebuilt.append(Rebuilt(structure, how, evidence, certainty))

    def doubt_all(self) -> None:
        """Nothing of the disk is certain."""
        self.doubted.append(Range(0, MAX_DISK_SIZE))

    def doubts(self, at: int) -> bool:
        """Whether what the disk has at byte `at` is merely likely."""
        return any(one.start <= at < one.end for one in self.doubted)

    def doubt_blocks(self, block_size: int, blocks: Iterable[int]) -> None:
        """These blocks of the disk are as the file has them now likely, not certainly."""
        self.doubted += [Range(block * block_size, block_size) for block in blocks]

    def guess_blocks(self, block_size: int, blocks: Iterable[int]) -> None:
        """These blocks of the disk are as the caller chose; nothing tells whether that is right."""
        self.guessed += [Range(block * block_size, block_size) for block in blocks]
