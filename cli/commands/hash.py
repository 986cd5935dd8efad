"""`vhdx hash` and `vhdx map`: the flat disk as one number, and where each range of it comes from."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from analyzer.address.state import State, layers_of, state_of_layer, title_of
from analyzer.convert.cells import sha256_of
from analyzer.judgement.judge import judged
from analyzer.recovery_map.note import with_maps
from cli import output
from cli.options.address import DiskOptions, disk_options, opened, warn_of_state
from cli.options.chain import ChainOptions, layer_file
from cli.options.common import json_option
from cli.options.each import answer_of, for_each, tell_each
from cli.options.jobs import JobOptions, job_options
from cli.progress import progress
from cli.text import exact_size, fitted, line_width, safe
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.image import open_image
from vhdx.runs import Kind, Run


@click.command("hash")
@click.argument("leaves", nargs=-1, required=True, metavar="DISK...")
@click.option("--layer", type=int, metavar="N", help="Hash the state of layer N (0 is the base) instead of the leaf's.")
@disk_options
@job_options
@json_option
def command(leaves: Sequence[str], layer: int | None, where: DiskOptions, how: JobOptions) -> int:
    """Print the SHA-256 of the flat disk, as `sha256sum` prints it for a raw image.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image; a block
    device; REPO::POINT, a restore point; or nbd://, an export of an NBD server. A disk that cannot be read is reported,
    the others are hashed, and the exit code is that of the first such disk.

    \b
    Examples:
      vhdx hash leaf.avhdx
      vhdx hash leaf.avhdx@0                the base, before the first checkpoint
      vhdx hash /mnt/nas/backups::latest    a restore point, as if it were restored
      vhdx hash *.vhdx > SHA256SUMS
      vhdx convert leaf.avhdx - | sha256sum   the same, by a pipe
    """
    if len(leaves) == 1:
        return _hash(leaves[0], layer, where)
    work = partial(answer_of, partial(_hash, layer=layer, where=where))
    answers = for_each(work, leaves, how.engine_to_read(leaves), "hashing")
    return tell_each("hash", leaves, answers, output.emit_lines)


def _hash(leaf: str, layer: int | None, where: DiskOptions) -> int:
    """Tell the hash of one state; returns the exit code."""
    with opened(leaf, where) as state:
        disk = state.disk if layer is None else state_of_layer(state.disk, layer)
        errors, title = warn_of_state(disk), title_of(disk)
        with progress("hashing", disk.size) as update:
            digest = sha256_of(disk, update)
        plain = {"path": leaf, "layer": max(0, len(layers_of(disk)) - 1), "layer_path": title, "size": disk.size}
        # As sha256sum has it: `sha256sum --check` reads it.
        lines, payload = [f"{digest}  {safe(title)}"], plain | {"sha256": digest, "errors": errors}
        output.answer("hash", payload, lines, findings=disk.findings, emitted=output.emit_lines)
        return int(bool(errors))


_NAMES = {kind: kind.name.lower() for kind in Kind}
_HEAD = f"# {'start':>14} {'length':>16}  kind  layer   file offset"


@click.command("map")
@click.argument("leaf", metavar="DISK")
@click.option("--own", is_flag=True, help="Map the leaf alone: its own data, and the holes it leaves to its parent.")
@disk_options
@json_option
def map_command(leaf: str, own: bool, where: DiskOptions) -> int:
    """Show where each range of the disk comes from.

    DISK is LEAF, LEAF@N, a raw image, a block device, REPO::POINT, or nbd://, as for `vhdx hash`. One line for each
    run: its first byte and length on the disk, its kind, its layer, and for data its offset in that layer's file (of a
    restore point: on the disk). Kinds: data; zero (zeros that hide the parent); trim (unmapped or undefined, reads as
    zeros); hole (nothing here: the parent's, or zeros at the base); lost (unknown). Exit code 1 when anything is lost.

    \b
    Examples:
      vhdx map leaf.avhdx
      vhdx map leaf.avhdx --own
      vhdx map leaf.avhdx --json | jq '.runs[] | select(.[2] == "lost")'
    """
    with _own(leaf, where) if own else opened(leaf, where) as found:
        disk = found.disk
        output.warn(disk.findings)
        totals = dict.fromkeys(Kind, 0)
        runs = _runs(disk, totals)
        if output.is_json():
            payload = {"path": title_of(disk), "size": disk.size, "layers": _layers(disk), "columns": Run._fields}
            output.emit_pieces(output.streamed("map", payload, disk.findings, "runs", map(_cells, runs)))
        else:
            width = line_width()
            output.emit_lines(fitted(_lines(disk, runs, totals, width), width))
        return 1 if totals[Kind.LOST] else 0


def _own(leaf: str, where: ChainOptions) -> State:
    """The leaf alone, its table judged."""
    path, where = layer_file(Path(leaf), where)
    image = open_image(path, opened=where.as_search().opened)  # alone: a missing parent does not matter here
    alone = with_maps(judged(Chain((image,), ()), where.trust)).leaf
    return State(alone, alone)


def _runs(disk: Disk, totals: dict[Kind, int]) -> Iterator[Run]:
    """The runs of all windows, those that meet at a seam joined."""
    pending: Run | None = None
    for table in disk.windows():
        for run in table:
            totals[run.kind] += run.length
            # windows cut runs at their seams, which mean nothing
            alike = pending and (pending.kind, pending.layer) == (run.kind, run.layer)
            if pending and alike and _place(run, -pending.length) == _place(pending):
                pending = pending._replace(length=pending.length + run.length)
            else:
                if pending:
                    yield pending
                pending = run
    if pending:
        yield pending


def _place(run: Run, moved: int = 0) -> int | None:
    return run.file_offset + moved if run.kind is Kind.DATA else None


def _layers(disk: Disk) -> list[str]:
    return [*map(output.plain, layers_of(disk))] or [title_of(disk)]


def _cells(run: Run) -> tuple[int, int, str, int, int | None]:
    return run.start, run.length, _NAMES[run.kind], run.layer, _place(run)


def _line(run: Run) -> str:
    start, length, kind, layer, place = _cells(run)
    return f"{start:>16} {length:>16}  {kind:<5} {layer:>5} {'-' if place is None else place:>13}"


def _lines(disk: Disk, runs: Iterator[Run], totals: dict[Kind, int], width: int | None) -> Iterator[str]:
    """All lines; on a terminal that has no room for the table the same numbers, one space between them."""
    is_narrow = width is not None and width < len(_HEAD)
    yield from (f"# layer {number}: {safe(path)}" for number, path in enumerate(_layers(disk)))
    yield "# start length kind layer file-offset" if is_narrow else _HEAD
    yield from (" ".join(_line(run).split()) for run in runs) if is_narrow else map(_line, runs)
    shares = [f"{kind.name.lower()} {exact_size(count)}" for kind, count in totals.items() if count]
    yield f"# {', '.join(shares)}"
