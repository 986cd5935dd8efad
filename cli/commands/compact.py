"""`vhdx compact`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from analyzer.address.image import file_name_of, request_of
from analyzer.check.files import Depth, files_in
from analyzer.compact.free import FreeSpace, VolumeSpace, free_space_of, without
from analyzer.compact.holes import make_holes, require_holes
from analyzer.compact.model import CompactPlan
from analyzer.compact.plan import plan_compaction
from analyzer.compact.run import run_compaction
from analyzer.merge.family import children_beside
from cli import output
from cli.errors import complain
from cli.options.address import DiskOptions, disk_options, opened, warn_of_state
from cli.options.chain import ChainOptions, changing, open_leaf
from cli.options.common import FILE_PATH, choice, expand_patterns, grouped, json_option, option, refuse_stdout
from cli.options.output import CloneOptions, output_options, write_disk
from cli.progress import progress
from cli.text import plural, safe, say, size
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.errors import OutputError, VhdxError


class FreeBlocks(Enum):
    """What becomes of what file systems call free."""

    STAY = "stay"
    GO = "go"


class Holes(Enum):
    """Whether the host has room back for zeros within what is left of a file."""

    NONE = "none"
    MADE = "made"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compacting:
    """What goes, and from which files."""

    target: Path | None = option("Write the smaller disk to OUT.", "-o", "--output", metavar="OUT")
    free: FreeBlocks = choice(
        FreeBlocks.GO,
        "Let go, too, of what NTFS, ext, FAT and exFAT volumes that were closed cleanly call free.",
        "--free-space",
    )
    in_place: bool = option("Make the files themselves smaller: VHDX files, and those of folders.")
    depth: Depth = choice(Depth.TREE, "With --in-place: search subfolders too.", "-r", "--recursive")
    min_saving: str = option(
        "With --in-place: leave files of which less than so much of their size would be saved.",
        default="0%",
        show_default=True,
        metavar="PERCENT",
    )

    holes: Holes = choice(
        Holes.MADE,
        "With --in-place: make holes in the host's file where it is zeros, but not on file systems of Windows.",
        "--host-sparse",
    )

    @property
    def least(self) -> float:
        """The part of a file's size that makes changing it worth while; raises UsageError."""
        try:
            found = float(self.min_saving.removesuffix("%")) / 100
        except ValueError:
            found = -1
        if not 0 <= found <= 1:
            raise click.UsageError(f"--min-saving is a percentage from 0% to 100%, not {safe(self.min_saving)}.")
        return found


@click.command("compact")
@click.argument("paths", nargs=-1, required=True, type=FILE_PATH, callback=expand_patterns, metavar="DISK [OUT]")
@grouped("asked", _Compacting)
@output_options(block_size="the base's", kind=CloneOptions)
@disk_options
@json_option
def command(paths: Sequence[Path], asked: _Compacting, image: CloneOptions, where: DiskOptions) -> int:
    """Make a disk's file smaller: blocks of zeros, and blocks that read as the parent's, take no room.

    With --free-space blocks go, too, in which volumes have nothing: of a volume that was not closed cleanly, is
    encrypted or unknown, all stays. OUT is a new file; DISK is only read: LEAF, a VHD(X) read with its parents; LEAF@N,
    the state of its layer N (0 is the base); a raw image; a block device; REPO::POINT, a restore point; or nbd://, an
    export.

    With --in-place PATH... are VHDX files, or folders of them: what is farthest back moves into the gaps, through the
    file's log, and the end is cut. The disk reads the same at every moment; an interruption loses nothing, and the same
    command goes on. A file that is in use, fixed, or damaged is left as it is, and said, and so is one that others were
    made upon when its free space would go. Nothing is changed with --dry-run: it says what would be saved.

    \b
    Examples:
      vhdx compact disk.vhdx small.vhdx
      vhdx compact ext4.vhdx small.vhdx --free-space
      vhdx compact --in-place disk.vhdx --dry-run
      vhdx compact --in-place --free-space --min-saving 20% /srv/profiles
    """
    if asked.in_place:
        return _in_place(paths, asked, image, where)
    if asked.depth is not Depth.FOLDER or asked.least or asked.holes is Holes.MADE:
        raise click.UsageError("--recursive, --min-saving and --host-sparse are for --in-place.")
    disk, out = _one_and_out(paths, asked.target)
    return _to_new_file(disk, out, asked, image, where)


def _one_and_out(paths: Sequence[Path], target: Path | None) -> tuple[str, Path]:
    named = [*paths, *([target] if target else [])]
    try:
        disk, out = named
    except ValueError as error:
        text = "name one DISK and OUT; with --in-place files and folders are changed themselves."
        raise click.UsageError(text) from error
    refuse_stdout(out)
    return str(disk), out


def _to_new_file(text: str, out: Path, asked: _Compacting, image: CloneOptions, where: DiskOptions) -> int:
    with opened(text, where) as state:
        target, form, options = image.for_target(out, file_name_of(state), image.asked_format())
        errors, free = warn_of_state(state.disk), _free_of(state.disk, asked)
        for line in _volume_lines(free.volumes):
            say(line)
        disk = without(state.disk, free.ranges)
        write_disk("compact", disk, request_of(state, target, form, options), image, errors=errors)
    return int(bool(errors))


def _free_of(disk: Disk, asked: _Compacting) -> FreeSpace:
    return free_space_of(disk) if asked.free is FreeBlocks.GO else FreeSpace()


def _volume_lines(volumes: Sequence[VolumeSpace]) -> Iterator[str]:
    for number, one in enumerate(volumes, 1):
        what = f"left as it is: {one.why_kept}" if one.why_kept else f"{size(one.free_bytes)} of it are free"
        yield f"note: volume {number}, {size(one.length)} from byte {one.start}: {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What became of one file."""

    path: Path
    plan: CompactPlan | None = None
    file_size: int | None = None
    """Bytes afterwards; None where the file was left as it is."""
    host_freed: int | None = None
    """Bytes that the host has back by holes; None where none were asked for."""
    skipped: str = ""
    error: VhdxError | None = None


def _in_place(paths: Sequence[Path], asked: _Compacting, image: CloneOptions, where: ChainOptions) -> int:
    if asked.target or not image.asks_nothing:
        raise click.UsageError("--in-place writes no new file: leave out the options of one.")
    least = asked.least
    done = [_compacted(path, asked, least, where, is_dry=image.dry_run) for path in files_in(paths, asked.depth)]
    output.answer("compact", {"files": [_plain(one) for one in done]}, _lines(done, is_dry=image.dry_run))
    return max((one.error.exit_code for one in done if one.error), default=0)


def _compacted(path: Path, asked: _Compacting, least: float, where: ChainOptions, *, is_dry: bool) -> _Done:
    """What became of a file; what keeps it from being changed is said, and ends nothing else."""
    try:
        if asked.holes is Holes.MADE:
            require_holes(path)
        plan = _plan(path, asked, where)
        too_little = not plan.saved or plan.saved < least * plan.file_size
        why = ("too little would be saved" if plan.saved else "nothing to save") if too_little else ""
        if is_dry:
            return _Done(path=path, plan=plan, skipped=why)
        with changing(path, plan.needed_bytes), progress("compacting", plan.work) as update:
            file_size = None if why else run_compaction(plan, progress=update)
            wants_holes = asked.holes is Holes.MADE and (not why or not plan.saved)
            host_freed = make_holes(path) if wants_holes else None
        return _Done(path=path, plan=plan, file_size=file_size, host_freed=host_freed, skipped=why)
    except VhdxError as error:
        complain(error)
        return _Done(path=path, error=error)


def _plan(path: Path, asked: _Compacting, where: ChainOptions) -> CompactPlan:
    with ExitStack() as stack:
        chain = stack.enter_context(open_leaf(path, where))
        free = _free_of(chain, asked)
        _require_alone(chain, free)
        with progress("looking at blocks of", chain.size) as update:
            return plan_compaction(chain, free, update)


def _require_alone(chain: Chain, free: FreeSpace) -> None:
    if len(free.ranges) and (others := children_beside(chain.leaf)):
        reason = f"{others[0].name} was made upon it, and may have files where it has free space"
        raise OutputError(chain.path, reason, "merge that file first, or leave out --free-space")


def _plain(done: _Done) -> dict[str, Any]:
    plan, error = done.plan, done.error
    names = "file_size", "size_after", "saved", "moved_bytes"
    sizes = output.members(plan, *names) if plan else dict.fromkeys(names)
    volumes = [output.members(one, "start", "length", "free_bytes", "why_kept") for one in plan.volumes] if plan else []
    return {
        "path": done.path,
        **sizes,
        "volumes": volumes,
        "written_size": done.file_size,
        "host_freed_bytes": done.host_freed,
        "skipped": done.skipped or None,
        "error": output.error_to_plain(error) if error else None,
    }


def _why(done: _Done) -> str:
    """What kept a file from being changed, without what to do about it, which was said when it was found."""
    return re.split(r"; | \(", str(done.error).removeprefix(f"{done.path}: "))[0]


def _lines(done: Sequence[_Done], *, is_dry: bool) -> Iterator[str]:
    width = max((len(safe(one.path)) for one in done), default=0)
    yield f"{'file':<{width}}  {'now':>10}  {'after':>10}  {'saved':>10}"
    for one in done:
        if one.plan is None:
            yield f"{safe(one.path):<{width}}  left as it is: {safe(_why(one))}"
            continue
        now, after = one.plan.file_size, one.file_size or one.plan.size_after
        note = f"  left as it is: {one.skipped}" if one.skipped else ""
        note = note if one.host_freed is None else f"  the host has {size(one.host_freed)} back by holes"
        yield f"{safe(one.path):<{width}}  {size(now):>10}  {size(after):>10}  {size(max(0, now - after)):>10}{note}"
        yield from (f"  {line.removeprefix('note: ')}" for line in _volume_lines(one.plan.volumes))
    saved = sum(one.plan.saved for one in done if one.plan and not one.skipped)
    yield f"{plural(len(done), 'file')}, {size(saved)} {'would be ' if is_dry else ''}saved"
