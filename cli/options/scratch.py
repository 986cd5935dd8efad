"""What clients of a served disk write: where it is kept, and what becomes of it at the end."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.address.identity import identity_of
from analyzer.address.image import request_of
from analyzer.address.state import State, title_of
from analyzer.convert.convert import plan_output
from analyzer.convert.model import ImageRequest, Options, OutputFormat
from analyzer.recovery_map.disk import without_map
from analyzer.serve.save import plan_save, plan_whole, run_save, run_whole
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
    """Where what is written goes: to `file`, or to one that nobody named; and the file that it becomes at the end."""

    file: Path | None
    save: Path | None
    is_left: bool
    """`file` is one that an earlier run left."""


class KeptWrites(Closing):
    """A scratch file for the time of a server. What is in it stays until it is known to be elsewhere, or unwanted."""

    def __init__(self, text: str, state: State, keep: Keep, file: ScratchFile) -> None:
        """`text` is how the disk was named."""
        self._text, self._state, self._keep, self._file = text, state, keep, file
        self._is_settled = False

    @property
    def scratch(self) -> Scratch:
        """What takes in writes."""
        return self._file.scratch

    def finish(self) -> None:
        """Write the file that was asked for, or say what becomes of what was written."""
        self.scratch.flush()
        if self._keep.save is not None:
            self._save(self._keep.save)
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

    def _save(self, target: Path) -> None:
        chain = _chain_of(self._state.disk)
        if chain is None:
            whole = plan_whole(self._state.disk, self.scratch, _request(self._state, target))
            with progress("saving", whole.work) as update:
                outcome = run_whole(whole, self._state.disk, self.scratch, update)
            what = "is the disk with what was written"
        else:
            plan = plan_save(chain, self.scratch, target, Options())
            with progress("saving", plan.work) as update:
                outcome = run_save(plan, chain, self.scratch, update)
            what = f"has what was written as a checkpoint on {safe(outcome.parent)}"
        say(f"{safe(outcome.target)} {what}, {size(outcome.data_bytes)} at most")

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


def kept_writes(text: str, state: State, keep: Keep) -> KeptWrites:
    """A scratch file for a disk. Raises UsageError, OutputError, InputOutputError, and what planning an output does."""
    disk = state.disk
    if keep.save is not None:
        check_target(keep.save, state.files, Existing.REFUSE)
        if _chain_of(disk) is None:
            _require_whole(text, state, keep.save)
    header = ScratchHeader(
        size=disk.size, sector_size=disk.sector_size, identity=identity_of(disk), below=title_of(disk)
    )
    if keep.file is not None:
        file = resume_scratch(keep.file, header) if keep.is_left else create_scratch(keep.file, header)
    else:
        file = create_scratch(_place_for(keep), header)
    say(f"what clients write goes to {safe(file.path)}")
    return KeptWrites(text, state, keep, file)


def _require_whole(text: str, state: State, target: Path) -> None:
    """See before anybody writes that all of the disk can be written, as it is now."""
    if target.suffix.lower() != ".vhdx":
        what = f"{safe(text)} is no VHDX that a checkpoint could be made on, so that --save writes all of the disk"
        raise click.UsageError(f"{what}; name a file for that which ends with .vhdx.")
    plan_output(state.disk, _request(state, target))


def _request(state: State, target: Path) -> ImageRequest:
    return request_of(state, target, OutputFormat.VHDX, Options())


def _chain_of(disk: Disk) -> Chain | None:
    """The chain that a checkpoint is made on; None where there is none."""
    chain = without_map(disk)
    return chain if isinstance(chain, Chain) else None


def _place_for(keep: Keep) -> Path:
    """Where a file goes that nobody named: beside the file that it becomes, or to a folder of its own."""
    if keep.save is not None:
        return keep.save.with_name(f"{keep.save.name}{SUFFIX}")
    return Path(tempfile.mkdtemp(prefix="vhdx-"), f"disk{SUFFIX}")
