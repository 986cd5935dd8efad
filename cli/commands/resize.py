"""`vhdx resize`."""

from dataclasses import dataclass, replace
from pathlib import Path

import click

from analyzer.address.image import file_name_of, request_of
from analyzer.resize.plan import Gpt, ResizePlan, plan_resize
from analyzer.resize.run import needed_bytes, require_resizable, resized, run_resize
from cli import output
from cli.options.address import DiskOptions, disk_options, opened, warn_of_state
from cli.options.chain import ChainOptions, changing, open_leaf, warn_of_findings
from cli.options.common import Parsed, choice, grouped, json_option, option, parse_bytes, refuse_stdout
from cli.options.output import CloneOptions, output_options, write_disk
from cli.text import exact_size, safe, say, size

_LEAST = "min"


def _bytes_or_least(text: str) -> int:
    return 0 if text == _LEAST else parse_bytes(text)


_SIZE = Parsed("size", int, _bytes_or_least)
"""Bytes of a disk; 0 for the least ones that keep every partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resizing:
    """Where the disk of another size is, and what is done about its partition table."""

    in_place: bool = option("Change the file itself, a VHDX without checkpoints.")
    gpt: Gpt = choice(Gpt.MOVE, "Put the backup of a GPT, which belongs to a disk's end, there.", "--fix-gpt")


@click.command("resize")
@click.argument("disk")
@click.argument("new_size", type=_SIZE, metavar="SIZE")
@click.argument("out", required=False, type=click.Path(path_type=Path), metavar="[OUT]")
@grouped("asked", _Resizing)
@output_options(block_size="the base's", kind=CloneOptions)
@disk_options
@json_option
def command(
    disk: str, new_size: int, out: Path | None, asked: _Resizing, image: CloneOptions, where: DiskOptions
) -> int:
    """Make a disk larger or smaller: into OUT, or with --in-place the file itself.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image; a block
    device; REPO::POINT, a restore point; or nbd://, an export of an NBD server. SIZE is that of the disk, such as 127G,
    or `min`: where its last partition ends. No partition and no volume is cut, and none is made larger: the guest does
    that.

    With --fix-gpt the backup of a GPT moves to the new end, and the header says what may be used; else the guest's own
    tools do that (`sgdisk -e`, Disk Management). In place a checkpoint is refused, and a file with checkpoints upon it:
    Windows attaches no chain of different sizes.

    \b
    Examples:
      vhdx resize disk.vhdx 200G larger.vhdx --fix-gpt
      vhdx resize disk.vhdx min smaller.vhdx --fix-gpt
      vhdx resize disk.vhdx 200G --in-place --fix-gpt
      vhdx resize disk.vhdx min --dry-run
    """
    if asked.in_place or (out is None and image.dry_run):
        if out is not None or not image.asks_nothing:
            raise click.UsageError("--in-place writes no new file: leave out OUT, and the options of one.")
        return _in_place(Path(disk), new_size or None, asked, where, is_dry=image.dry_run)
    if out is None:
        raise click.UsageError("name OUT, or change the file itself with --in-place.")
    refuse_stdout(out)
    return _to_new_file(disk, new_size or None, out, asked, image, where)


def _in_place(path: Path, new_size: int | None, asked: _Resizing, where: ChainOptions, *, is_dry: bool) -> int:
    with open_leaf(path, where) as chain:
        errors = warn_of_findings(chain)
        require_resizable(chain.leaf)
        plan = plan_resize(chain, new_size, asked.gpt)
        file_size, needed = chain.leaf.file.size, needed_bytes(chain.leaf, plan)
    _say_of_gpt(plan)
    done = None
    if not is_dry:
        with changing(path, needed):
            done = run_resize(path, plan)
    sizes = output.members(plan, "size_before", "size", "least") | {"file_size": file_size, "written_size": done}
    answer = {"output": None, "resized": {"path": path, **sizes}, "errors": errors}
    output.answer("resize", answer, [_line(path, plan, done)])
    return int(bool(errors))


def _line(path: Path, plan: ResizePlan, done: int | None) -> str:
    change = f"disk of {exact_size(plan.size_before)}"
    if done is None:
        return f"{safe(path)}: {change} would be {exact_size(plan.size)}; {exact_size(plan.least)} at the least"
    return f"{safe(path)}: {change} is now {exact_size(plan.size)}, file of {size(done)}"


def _say_of_gpt(plan: ResizePlan) -> None:
    if plan.gpt_is_left:
        say("note: the backup of the GPT is not at the disk's new end; --fix-gpt puts it there, or the guest does")


def _to_new_file(
    text: str, new_size: int | None, out: Path, asked: _Resizing, image: CloneOptions, where: DiskOptions
) -> int:
    with opened(text, where) as state:
        target, form, options = image.for_target(out, file_name_of(state), image.asked_format())
        errors = warn_of_state(state.disk)
        plan = plan_resize(state.disk, new_size, asked.gpt)
        _say_of_gpt(plan)
        request = request_of(state, target, form, options)
        request = replace(request, like=replace(request.like, size=plan.size))
        write_disk("resize", resized(state.disk, plan), request, image, errors=errors)
    return int(bool(errors))
