"""`vhdx create`."""

from contextlib import ExitStack
from pathlib import Path

import click

from analyzer.convert.create import NewDiskOptions, plan_creation, run_creation
from cli import output
from cli.options.common import FILE_PATH, ByteSize, force_option, json_option, quiet_library
from cli.options.output import refuse_stdout
from cli.text import safe, size
from vhdx.chain import open_chain
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing
from vhdx.structures.disk import DiskType

_SECTORS = click.Choice(["512", "4096"])


@click.command("create")
@click.argument("out", type=FILE_PATH)
@click.option("--size", "disk_size", type=ByteSize(), help="Disk size: 64M, 127G, up to 64T. Default: the parent's.")
@click.option("--fixed", is_flag=True, help="Create a fixed disk: every block is allocated from the start.")
@click.option("--parent", type=FILE_PATH, metavar="FILE", help="Create a differencing disk on FILE.")
@click.option("--block-size", type=ByteSize(), help="Block size, 1M to 256M. Default: 32M; 2M for a differencing disk.")
@click.option("--logical-sector", type=_SECTORS, help="Logical sector size. Default: 512, or the parent's.")
@click.option("--physical-sector", type=_SECTORS, help="Physical sector size. Default: 4096, or the parent's.")
@click.option("--seed", metavar="TEXT", help="Derive the GUIDs from TEXT: the same input gives the same bytes.")
@force_option("OUT")
@json_option
def command(
    *,
    out: Path,
    disk_size: int | None,
    fixed: bool,
    parent: Path | None,
    block_size: int | None,
    logical_sector: str | None,
    physical_sector: str | None,
    seed: str | None,
    existing: Existing,
    as_json: bool,
) -> None:
    """Create an empty disk: dynamic, fixed, or differencing on a parent.

    \b
    Examples:
      vhdx create disk.vhdx --size 127G
      vhdx create disk.vhdx --size 10G --fixed
      vhdx create child.avhdx --parent disk.vhdx
    """
    quiet_library()
    refuse_stdout(out)
    if not parent and not disk_size:
        raise click.UsageError("give the disk size, as in --size 64M (a child has its parent's).")
    if parent and fixed:
        raise click.UsageError("--fixed and --parent exclude each other: a differencing file is never fixed.")
    alone = DiskType.FIXED if fixed else DiskType.DYNAMIC
    options = NewDiskOptions(
        type=DiskType.DIFFERENCING if parent else alone,
        size=disk_size,
        block_size=block_size,
        logical_sector_size=int(logical_sector) if logical_sector else None,
        physical_sector_size=int(physical_sector) if physical_sector else None,
        identities=random_identities if seed is None else seeded_identities(seed),
        existing=existing,
    )
    with ExitStack() as opened:
        chain = opened.enter_context(open_chain(parent)) if parent else None
        if chain:
            output.warn(chain.findings)
        disk = plan_creation(out, options, chain)
        file_size = run_creation(out, disk, options.existing)
    if as_json:
        output.emit("create", {"output": {"target": out, "type": disk.type, "size": disk.size, "file_size": file_size}})
    else:
        click.echo(f"{safe(out)}: {disk.type.value} VHDX, disk of {size(disk.size)}, file of {size(file_size)}")
