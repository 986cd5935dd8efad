"""`vhdx hash` and `vhdx map`: the flat disk as one number, and where each range of it comes from."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from analyzer.examine.hash import sha256_of
from analyzer.judgement.chain import judged
from cli import output
from cli.options.chain import ChainOptions, chain_options, open_leaf, warn_of_errors
from cli.options.common import FILE_PATH, json_option
from cli.progress import progress
from cli.text import exact_size, fitted, line_width, safe
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.image import open_image
from vhdx.runs import Kind, Run


@click.command("hash")
@click.argument("leaf", type=FILE_PATH)
@click.option("--layer", type=int, metavar="N", help="Hash the state of layer N (0 is the base) instead of the leaf's.")
@chain_options
@json_option
def command(leaf: Path, layer: int | None, as_json: bool, where: ChainOptions) -> int:
    """Print the SHA-256 of the flat disk, as `sha256sum` prints it for a raw image.

    \b
    Examples:
      vhdx hash leaf.avhdx
      vhdx hash leaf.avhdx --layer 0        the base, before the first checkpoint
      vhdx convert leaf.avhdx - | sha256sum   the same, by a pipe
    """
    with open_leaf(leaf, where) as chain:
        disk = chain if layer is None else chain.upto(layer)
        output.warn(disk.findings)
        errors = warn_of_errors(disk)
        with progress("hashing", disk.size) as update:
            digest = sha256_of(disk, update)
        number = len(disk.layers) - 1
        payload = {"path": leaf, "layer": number, "layer_path": disk.path, "size": disk.size, "sha256": digest}
        if as_json:
            output.emit("hash", payload | {"errors": errors}, disk.findings)
        else:
            click.echo(f"{digest}  {safe(disk.path)}")  # one line, as sha256sum has it: `sha256sum --check` reads it
    return int(bool(errors))


_NAMES = {kind: kind.name.lower() for kind in Kind}
_HEAD = f"# {'start':>14} {'length':>16}  kind  layer   file offset"
_WIDTH = len(_HEAD)


@click.command("map")
@click.argument("leaf", type=FILE_PATH)
@click.option("--own", is_flag=True, help="Map the leaf alone: its own data, and the holes it leaves to its parent.")
@chain_options
@json_option
def map_command(leaf: Path, own: bool, as_json: bool, where: ChainOptions) -> int:
    """Show where each range of the disk comes from.

    One line for each run: its first byte and length on the disk, its kind, its layer, and for data its offset in that
    layer's file. Kinds: data; zero (zeros that hide the parent); trim (unmapped or undefined, reads as zeros); hole
    (nothing here: the parent's, or zeros at the base); lost (unknown). Exit code 1 when anything is lost.

    \b
    Examples:
      vhdx map leaf.avhdx
      vhdx map leaf.avhdx --own
      vhdx map leaf.avhdx --json | jq '.runs[] | select(.[2] == "lost")'
    """
    with closing(_own(leaf, where) if own else open_leaf(leaf, where)) as disk:
        output.warn(disk.findings)
        totals = dict.fromkeys(Kind, 0)
        runs = _runs(disk, totals)
        if as_json:
            _print_json(disk, runs)
        else:
            _print_text(disk, runs, totals)
        return 1 if totals[Kind.LOST] else 0


def _own(leaf: Path, where: ChainOptions) -> Disk:
    """The leaf alone, its table judged."""
    image = open_image(leaf, opened=where.as_search().opened)  # alone: a missing parent does not matter here
    try:
        return judged(Chain((image,), ()), where.trust).leaf
    except BaseException:
        image.close()
        raise


def _runs(disk: Disk, totals: dict[Kind, int]) -> Iterator[Run]:
    """The runs of all windows, those that meet at a seam joined."""
    pending: Run | None = None
    for table in disk.windows():
        for run in table:
            totals[run.kind] += run.length
            if pending and _goes_on(pending, run):  # windows cut runs at their seams, which mean nothing
                pending = pending._replace(length=pending.length + run.length)
            else:
                if pending:
                    yield pending
                pending = run
    if pending:
        yield pending


def _goes_on(run: Run, after: Run) -> bool:
    same = run.kind == after.kind and run.layer == after.layer
    return same and (run.kind is not Kind.DATA or run.file_offset + run.length == after.file_offset)


def _layers(disk: Disk) -> list[Path]:
    return [layer.path for layer in disk.layers] if isinstance(disk, Chain) else [disk.path]


def _print_json(disk: Disk, runs: Iterator[Run]) -> None:
    payload = {"path": disk.path, "size": disk.size, "layers": _layers(disk), "columns": Run._fields}
    rows = ([run.start, run.length, _NAMES[run.kind], run.layer, _place(run)] for run in runs)
    output.emit_pieces(output.streamed("map", payload, disk.findings, "runs", rows))


def _place(run: Run) -> int | None:
    return run.file_offset if run.kind is Kind.DATA else None


def _line(run: Run) -> str:
    place = "-" if run.kind is not Kind.DATA else run.file_offset
    return f"{run.start:>16} {run.length:>16}  {_NAMES[run.kind]:<5} {run.layer:>5} {place:>13}"


def _narrow_line(run: Run) -> str:
    place = "-" if run.kind is not Kind.DATA else run.file_offset
    return f"{run.start} {run.length} {_NAMES[run.kind]} {run.layer} {place}"


def _print_text(disk: Disk, runs: Iterator[Run], totals: dict[Kind, int]) -> None:
    width = line_width()
    output.emit_lines(fitted(_lines(disk, runs, totals, is_narrow=width is not None and width < _WIDTH), width))


def _lines(disk: Disk, runs: Iterator[Run], totals: dict[Kind, int], *, is_narrow: bool) -> Iterator[str]:
    """All lines; on a terminal that has no room for the table the same numbers, one space between them."""
    yield from (f"# layer {number}: {safe(path)}" for number, path in enumerate(_layers(disk)))
    yield "# start length kind layer file-offset" if is_narrow else _HEAD
    yield from map(_narrow_line if is_narrow else _line, runs)
    shares = [f"{kind.name.lower()} {exact_size(count)}" for kind, count in totals.items() if count]
    yield f"# {', '.join(shares)}"
