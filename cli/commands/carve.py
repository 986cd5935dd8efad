"""`vhdx carve`: what a file, or the disk of a host, holds beside what is in use."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.address.parse import FLAT, parse_address
from analyzer.examine.carve import Carving, Piece, carve, extract
from cli import output
from cli.options.common import FILE_PATH, force_option, grouped, json_option, option
from cli.progress import progress
from cli.render.host_disk import hosted_line, hosted_to_plain, written_line
from cli.text import plural, safe, size
from vhdx.image import open_image
from vhdx.sink import Existing

if TYPE_CHECKING:
    from analyzer.host_disk.search import HostDisk
    from analyzer.host_disk.write import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where pieces are written, if they are."""

    folder: Path | None = option("Extract each piece to a file in DIR.", "--extract", "-o", "--output", metavar="DIR")
    existing: Existing = force_option("a file in DIR")


@click.command("carve")
@click.argument("file", type=FILE_PATH)
@grouped("target", _Target)
@json_option
def command(file: Path, target: _Target) -> int:
    """List or extract what belongs to no block or structure, or the VHDX files in the disk of a host.

    Of a VHDX: unallocated space; old data of blocks that now read as zeros; slack behind the disk's end in the last
    block. Each with what it looks like, and its entropy in bits per byte that is not zero. Pieces are named after their
    offset in the file and their kind: `0000000000700000-unowned.bin`.

    Of a raw image, or a block device: every VHDX file in it, by the place where it begins, whatever its name is. Files
    that a folder has come out whole. Deleted ones come out by the record that is left of them, or, without one, by
    their own structure as far as they are in one piece; beside each is a map, by which every command knows that all of
    it is in doubt, and what of it is lost. Exit code 1 when nothing is found, or a file cannot be taken out.

    \b
    Examples:
      vhdx carve disk.vhdx
      vhdx carve disk.vhdx --extract pieces/
      vhdx carve host.raw --extract found/
      vhdx carve /dev/sdb
    """
    if parse_address(str(file)).kind in FLAT:
        return _carve_host(file, target)
    with closing(open_image(file)) as image:
        carving = carve(image)
        if target.folder is not None:
            carving = extract(image, carving, target.folder, target.existing)
        image.require_unchanged()
        output.answer("carve", output.plain(carving), _carve_lines(carving), findings=image.findings)
        if not output.is_json():
            output.warn(image.findings)
    return 0


def _carve_host(path: Path, target: _Target) -> int:
    from analyzer.convert.disks import RawDisk
    from analyzer.host_disk.search import search
    from analyzer.host_disk.write import write_files

    with RawDisk(path) as disk:
        with progress("looking for files", disk.size) as tick:
            found = search(disk, tick)
        written: Sequence[Written] = ()
        if target.folder is not None:
            written = [*write_files(disk, found.files, target.folder, target.existing)]
        disk.require_unchanged()
        output.answer("carve", _host_to_plain(path, found, written), _host_lines(path, found, written))
    failed = [one for one in written if one.target is None]
    return int(bool(failed) or not found.files)


def _host_to_plain(path: Path, found: "HostDisk", written: "Sequence[Written]") -> dict[str, Any]:
    targets = {one.file.start: one for one in written}
    files = [hosted_to_plain(file, targets.get(file.start)) for file in found.files]
    return {"path": path, "pieces": [], "unlisted": 0, "files": files, "notes": found.notes}


def _host_lines(path: Path, found: "HostDisk", written: "Sequence[Written]") -> Iterator[str]:
    yield from map(written_line, written) if written else map(hosted_line, found.files)
    yield from (f"note: {safe(note)}" for note in found.notes)
    yield f"{plural(len(found.files), 'VHDX file')} in {safe(path)}"


def _carve_lines(carving: Carving) -> Iterator[str]:
    yield from map(_line, carving.pieces)
    more = f"; {plural(carving.unlisted, 'more piece')} not looked at" if carving.unlisted else ""
    yield f"{plural(len(carving.pieces), 'piece')}{more}"


def _line(piece: Piece) -> str:
    block = f" of block {piece.block}" if piece.block is not None else ""
    target = f" -> {safe(piece.file)}" if piece.file else ""
    what = f"{piece.looks}, entropy {piece.entropy}"
    return f"{piece.kind.value}{block}: {size(piece.length)} at byte {piece.offset}: {what}{target}"
