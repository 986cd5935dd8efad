"""`vhdx carve`."""

from contextlib import closing
from pathlib import Path

import click

from analyzer.examine.carve import Carving, Piece, carve, extract
from cli import output
from cli.options.common import FILE_PATH, force_option, json_option, quiet_library
from cli.text import plural, safe, size
from vhdx.image import open_image
from vhdx.sink import Existing


@click.command("carve")
@click.argument("file", type=FILE_PATH)
@click.option("--extract", "folder", type=FILE_PATH, metavar="DIR", help="Extract each piece to a file in DIR.")
@force_option("a file in DIR")
@json_option
def command(file: Path, folder: Path | None, existing: Existing, as_json: bool) -> int:
    """List or extract what belongs to no block or structure and still holds data.

    Unallocated space; old data of blocks that now read as zeros; slack behind the disk's end in the last block. Each
    with what it looks like, and its entropy in bits per byte that is not zero. Pieces are named after their offset in
    the file and their kind: `0000000000700000-unowned.bin`.

    \b
    Examples:
      vhdx carve disk.vhdx
      vhdx carve disk.vhdx --extract pieces/
    """
    quiet_library()
    with closing(open_image(file)) as image:
        carving = carve(image)
        if folder is not None:
            carving = extract(image, carving, folder, existing)
        image.require_unchanged()
        if as_json:
            output.emit("carve", output.plain(carving), image.findings)
        else:
            output.warn(image.findings)
            _print(carving)
    return 0


def _print(carving: Carving) -> None:
    for piece in carving.pieces:
        click.echo(_line(piece))
    more = f"; {plural(carving.unlisted, 'more piece')} not looked at" if carving.unlisted else ""
    click.echo(f"{plural(len(carving.pieces), 'piece')}{more}")


def _line(piece: Piece) -> str:
    block = f" of block {piece.block}" if piece.block is not None else ""
    target = f" -> {safe(piece.file)}" if piece.file else ""
    what = f"{piece.looks}, entropy {piece.entropy}"
    return f"{piece.kind.value}{block}: {size(piece.length)} at byte {piece.offset}: {what}{target}"
