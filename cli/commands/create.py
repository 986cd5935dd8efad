"""`vhdx create`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from analyzer.convert.create import Wish, plan_creation, run_creation
from cli import output
from cli.options.common import FILE_PATH, ByteSize, json_option, quiet_library
from cli.options.output import refuse_stdout
from cli.text import safe, size
from vhdx.chain import open_chain
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing
from vhdx.structures.disk import DiskType

_SECTORS = click.Choice(["512", "4096"])


@click.command("create")
@click.argument("out", type=FILE_PATH)
@click.option("--size", "wanted", type=ByteSize(), help="Of the disk: 64M, 127G, up to 64T; a child has its parent's.")
@click.option("--fixed", is_flag=True, help="A fixed disk: every block has its place from the start.")
@click.option("--parent", type=FILE_PATH, metavar="FILE", help="A differencing disk on FILE, whose chain is whole.")
@click.option("--block-size", type=ByteSize(), help="1M to 256M; 32M where not given, 2M for a differencing disk.")
@click.option("--logical-sector", type=_SECTORS, help="Bytes; 512 or the parent's where not given.")
@click.option("--physical-sector", type=_SECTORS, help="Bytes; 4096 or the parent's where not given.")
@click.option("--seed", metavar="TEXT", help="Draw the GUIDs from TEXT: the same input gives the same bytes.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@json_option
def command(out: Path, as_json: bool, **choices: Any) -> None:
    """Make a new empty disk: dynamic, fixed, or differencing on a parent.

    \b
    Examples:
      vhdx create disk.vhdx --size 127G
      vhdx create disk.vhdx --size 10G --fixed
      vhdx create child.avhdx --parent disk.vhdx
    """
    quiet_library()
    refuse_stdout(out)
    if not choices["parent"] and not choices["wanted"]:
        raise click.UsageError("say how large the disk is to be: --size 64M (a child takes its parent's size).")
    if choices["parent"] and choices["fixed"]:
        raise click.UsageError("--fixed and --parent exclude each other: a differencing file is never fixed.")
    wish = _wish(choices)
    with ExitStack() as opened:
        chain = opened.enter_context(open_chain(choices["parent"])) if choices["parent"] else None
        if chain:
            output.warn(chain.findings)
        disk = plan_creation(out, wish, chain)
        file_size = run_creation(out, disk, wish.existing)
    if as_json:
        output.emit("create", {"output": {"target": out, "type": disk.type, "size": disk.size, "file_size": file_size}})
    else:
        click.echo(f"{safe(out)}: {disk.type.value} VHDX, disk of {size(disk.size)}, file of {size(file_size)}")


def _wish(choices: dict[str, Any]) -> Wish:
    alone = DiskType.FIXED if choices["fixed"] else DiskType.DYNAMIC
    seed = choices["seed"]
    return Wish(
        type=DiskType.DIFFERENCING if choices["parent"] else alone,
        size=choices["wanted"],
        block_size=choices["block_size"],
        logical_sector_size=_bytes(choices["logical_sector"]),
        physical_sector_size=_bytes(choices["physical_sector"]),
        identities=random_identities if seed is None else seeded_identities(seed),
        existing=Existing.REPLACE if choices["force"] else Existing.REFUSE,
    )


def _bytes(choice: str | None) -> int | None:
    return int(choice) if choice else None
