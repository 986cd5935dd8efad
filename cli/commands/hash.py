"""`vhdx hash`."""

from pathlib import Path

import click

from analyzer.examine.hash import sha256_of
from cli import output
from cli.options.common import FILE_PATH, ChainOptions, chain_options, json_option, open_leaf, warn_of_errors
from cli.progress import progress
from cli.text import safe


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
        if as_json:
            number = len(disk.layers) - 1
            payload = {"path": leaf, "layer": number, "layer_path": disk.path, "size": disk.size, "sha256": digest}
            output.emit("hash", payload | {"errors": errors}, disk.findings)
        else:
            click.echo(f"{digest}  {safe(disk.path)}")
    return int(bool(errors))
