"""Carrying out a plan: upon a copy, or in place with an undo file first; and the way back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.repair.undo import check_undo, open_undo, write_undo
from analyzer.repair.workspace import Fix, RepairPlan, nonzero_pieces
from vhdx.errors import PartlyWrittenError, VerificationError
from vhdx.in_place import Patcher
from vhdx.patched import Patch, visible
from vhdx.sink import Existing, Sink
from vhdx.source import FileSource, read_at
from vhdx.targets import check_space, check_target


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOutcome:
    """What was written; sizes are bytes. `undo` is None for a copy, `target` is the file itself when it has one."""

    target: Path
    undo: Path | None
    file_size: int
    written_bytes: int


def final_writes(fixes: Sequence[Fix]) -> list[list[Patch]]:
    """For each fix, what is left to write of it once the later ones have taken what they write over.

    So a file that was cut off in the middle holds, byte by byte, either what was or what will be, never a third thing:
    that is what an undo file is checked against.
    """
    patches = [(number, patch) for number, fix in enumerate(fixes) for patch in fix.patches]
    stage_of = {id(patch): number for number, patch in patches}
    stages: list[list[Patch]] = [[] for _ in fixes]
    for start, end, patch in visible([patch for _, patch in patches]):
        stages[stage_of[id(patch)]].append(patch.cut(start, end))
    return stages


def repair_in_place(plan: RepairPlan, source: FileSource, undo: Path) -> RepairOutcome:
    """Write the undo file, then the plan, each fix made durable before the next, then look at the result.

    `source` is the file that the plan was made from, still open. Raises OutputError, SourceChangedError,
    InputOutputError before anything of the file is changed, and PartlyWrittenError once something may be.
    """
    stages = final_writes(plan.fixes)
    writes = [write for stage in stages for write in stage]
    with Patcher(source.path, source.identity) as patcher:
        write_undo(undo, source, writes, plan)
        source.require_unchanged()
        try:
            # Longer first: a block that is to be written there must not fail for want of space after a header changed.
            if plan.result_size > plan.file_size:
                patcher.set_size(plan.result_size)
                patcher.flush()
            for stage in stages:
                for offset, data in _pieces(stage):
                    patcher.write_at(offset, data)
                patcher.flush()  # before the next fix: no header may lead to what a crash kept from the disk
            _require_written(source.path, writes)
            plan.verify(plan, source.path)
        except BaseException as error:
            reason = "interrupted" if isinstance(error, (KeyboardInterrupt, SystemExit)) else str(error)
            raise PartlyWrittenError(source.path, undo, reason) from error
    return RepairOutcome(
        target=source.path, undo=undo, file_size=plan.result_size, written_bytes=sum(write.length for write in writes)
    )


def repair_copy(plan: RepairPlan, source: FileSource, target: Path, existing: Existing) -> RepairOutcome:
    """Write a repaired copy beside its place, look at it, and give it its name; the source is only read.

    Raises OutputError, NoSpaceError, SourceChangedError, InputOutputError, VerificationError, and what `verify` does.
    """
    check_target(target, [source.path], existing)
    writes = [write for stage in final_writes(plan.fixes) for write in stage]
    with Sink(target, existing=existing) as sink:
        # Sharing blocks is a copy at once, and keeps holes; where the file system cannot do it the bytes are copied.
        if not sink.clone(source.descriptor, source.size):
            extents = list(source.extents())
            check_space(sink.target, sum(part.length for part in extents))
            for at, data in (piece for part in extents for piece in nonzero_pieces(source, part)):
                sink.write_at(at, data)
        sink.set_size(plan.result_size)
        for offset, data in _pieces(writes):
            sink.write_at(offset, data)
        sink.flush()
        _require_written(sink.path, writes)
        plan.verify(plan, sink.path)
        source.require_unchanged()
        sink.commit()
    return RepairOutcome(
        target=target, undo=None, file_size=plan.result_size, written_bytes=sum(write.length for write in writes)
    )


def _pieces(writes: Sequence[Patch]) -> Iterator[tuple[int, bytes]]:
    """(offset, content) of what is written, in pieces."""
    for piece in (piece for write in writes for piece in write.pieces()):
        yield piece.offset, piece.content(piece.offset, piece.end)


def _require_written(path: Path, writes: Sequence[Patch]) -> None:
    """Raise VerificationError when the file at `path` does not read as it was written."""
    with FileSource(path) as source:
        for offset, data in _pieces(writes):
            if read_at(source, offset, len(data)) != data:
                raise VerificationError(path, offset, len(data))


def run_undo(path: Path, undo: Path) -> int:
    """Bring a file back to what it was, bit for bit, its size too; returns that size. It can be repeated.

    Raises UndoRefusedError for a file that is not the one or was changed since, PartlyWrittenError.
    """
    with FileSource(path) as file, FileSource(undo) as stored:
        kept = open_undo(stored, path)
        check_undo(kept, file)
        with Patcher(path, file.identity) as patcher:
            file.require_unchanged()
            try:
                for back, _ in kept.records():
                    patcher.write_at(back.offset, back.content(back.offset, back.end))
                patcher.flush()  # before the end goes: until then what was added is there to be undone again
                patcher.set_size(kept.original_size)
                patcher.flush()
            except BaseException as error:
                raise PartlyWrittenError(path, undo, str(error) or "interrupted") from error
        return kept.original_size
