"""`vhdx undo`."""

from pathlib import Path

import click

from analyzer.repair.apply import run_undo
from cli import output
from cli.options.common import FILE_PATH, json_option, quiet_library
from cli.text import safe, size


@click.command("undo")
@click.argument("file", type=FILE_PATH)
@click.argument("undo", type=FILE_PATH)
@json_option
def command(file: Path, undo: Path, as_json: bool) -> None:
    """Bring a file back to what it was before `repair` or `set-parent` changed it in its place: bit for bit.

    It works after a crash in the middle of the change, and can be repeated. A file that is not the one, or that
    somebody wrote to since, is refused. The undo file stays where it is.

    \b
    Examples:
      vhdx undo disk.vhdx disk.vhdx.undo
    """
    quiet_library()
    restored = run_undo(file, undo)
    if as_json:
        output.emit("undo", {"path": file, "undo": undo, "file_size": restored})
    else:
        click.echo(f"{safe(file)}: brought back, file of {size(restored)}")
