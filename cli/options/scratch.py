"""What clients of a served disk write: where it is kept, and what becomes of it at the end."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.address.identity import identity_of
from analyzer.address.state import title_of
from analyzer.convert.merge_upper import UpperMergePlan
from analyzer.convert.model import Options, Outcome
from analyzer.recovery_map.disk import without_map
from analyzer.serve.save import plan_save, run_save
from analyzer.serve.scratch import Scratch
from analyzer.serve.scratch_file import SUFFIX, ScratchFile, create_scratch, resume_scratch
from analyzer.serve.scratch_layout import ScratchHeader
from cli.progress import progress
from cli.text import safe, say, size
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.sink import Existing
from vhdx.source import Closing
from vhdx.system.shell import shell_command
from vhdx.targets import check_target


@dataclass(frozen=True, slots=True)
class Keep:
    """Where what is written goes: to `file`, or to one that nobody named; and the checkpoint that it becomes."""

    file: Path | None
    save: Path | None
    is_left: bool
    """`file` is one that an earlier run left."""


class KeptWrites(Closing):
    """A scratch file for the time of a server. What is in it stays until it is known to be elsewhere, or unwanted."""

    def __init__(self, text: str, disk: Disk, keep: Keep, file: ScratchFile) -> None:
        """`text` is how the disk was named."""
        self._text, self._keep, self._file = text, keep, file
        chain = without_map(disk)
        self._chain = chain if isinstance(chain, Chain) else None
        self._is_settled = False

    @property
    def scratch(self) -> Scratch:
        """What takes in writes."""
        return self._file.scratch

    def finish(self) -> None:
        """Make the checkpoint that was asked for, or say what becomes of what was written."""
        self.scratch.flush()
        if self._keep.save is not None and self._chain is not None:
            outcome = self._saved(self._chain, self._keep.save)
            say(f"{safe(outcome.target)} has what was written, {size(outcome.data_bytes)} at most, as a checkpoint on "
                f"{safe(outcome.parent)}")  # fmt: skip
            self._remove()
        elif self._keep.file is None:
            if not self.scratch.is_empty:
                say("what was written is gone with this server; --scratch=FILE keeps it, --save CHILD makes it a file")
            self._remove()

    def close(self) -> None:
        """Close the file; where it stays, say how one goes on with it."""
        if self._is_settled:
            return
        self._file.close()
        words = ["vhdx", "serve", self._text, f"--scratch={self._file.path}", "--resume"]
        say(f"what was written is in {safe(self._file.path)}; `{safe(shell_command(words))}` goes on with it")

    def _saved(self, chain: Chain, target: Path) -> Outcome:
        plan: UpperMergePlan = plan_save(chain, self.scratch, target, Options())
        with progress("saving", plan.work) as update:
            return run_save(plan, chain, self.scratch, update)

    def _remove(self) -> None:
        """Remove a file that nobody named; one that was named is its owner's."""
        if self._keep.file is None:
            self._is_settled = True
            self._file.remove()
            if self._keep.save is None:
                self._file.path.parent.rmdir()
        else:
            self._is_settled = self._keep.save is not None
            self._file.close()


def kept_writes(text: str, disk: Disk, keep: Keep) -> KeptWrites:
    """A scratch file for a disk. Raises UsageError, OutputError, InputOutputError."""
    chain = without_map(disk)
    if keep.save is not None:
        if not isinstance(chain, Chain):
            raise click.UsageError(f"--save makes a checkpoint on a VHDX, and {safe(text)} is none; leave it out.")
        check_target(keep.save, [layer.path for layer in chain.layers], Existing.REFUSE)
    header = ScratchHeader(
        size=disk.size, sector_size=disk.sector_size, identity=identity_of(disk), below=title_of(disk)
    )
    if keep.file is not None:
        file = resume_scratch(keep.file, header) if keep.is_left else create_scratch(keep.file, header)
    else:
        file = create_scratch(_place_for(keep), header)
    say(f"what clients write goes to {safe(file.path)}")
    return KeptWrites(text, disk, keep, file)


def _place_for(keep: Keep) -> Path:
    """Where a file goes that nobody named: beside the checkpoint that it becomes, or to a folder of its own."""
    if keep.save is not None:
        return keep.save.with_name(f"{keep.save.name}{SUFFIX}")
    return Path(tempfile.mkdtemp(prefix="vhdx-"), f"disk{SUFFIX}")
