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
    """Undo what `repair` or `set-parent` changed in place: restore the file bit for bit.

    Works after a crash in the middle of the change, and can be repeated. Another file, or one that was written to
    since, is refused. The undo file is kept.

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
