"""`vhdx create`."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.convert.create import NewDiskOptions, plan_creation, run_creation
from cli import output
from cli.options.common import (
    BYTE_SIZE,
    file_in,
    force_option,
    grouped,
    json_option,
    option,
    output_argument,
    refuse_stdout,
)
from cli.text import safe, size
from vhdx.chain import open_chain
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing
from vhdx.structures.disk import DiskType

_SECTORS = click.Choice(["512", "4096"])  # the two of [MS-VHDX] 2.6.2.4 and 2.6.2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the disk is to be; None where its parent or the library decides."""

    size: int | None = option("Disk size: 64M, 127G, up to 64T. Default: the parent's.", type=BYTE_SIZE)
    fixed: bool = option("Create a fixed disk: every block is allocated from the start.")
    parent: Path | None = option("Create a differencing disk on FILE.", metavar="FILE")
    block_size: int | None = option("Block size, 1M to 256M. Default: 32M; 2M for a differencing disk.", type=BYTE_SIZE)
    logical_sector: str | None = option("Logical sector size. Default: 512, or the parent's.", type=_SECTORS)
    physical_sector: str | None = option("Physical sector size. Default: 4096, or the parent's.", type=_SECTORS)
    seed: str | None = option("Derive the GUIDs from TEXT: the same input gives the same bytes.", metavar="TEXT")
    existing: Existing = force_option("OUT")

    def for_library(self) -> NewDiskOptions:
        """The same for the library; raises UsageError for what excludes another."""
        if not self.parent and not self.size:
            raise click.UsageError("give the disk size, as in --size 64M (a child has its parent's).")
        if self.parent and self.fixed:
            raise click.UsageError("--fixed and --parent exclude each other: a differencing file is never fixed.")
        alone = DiskType.FIXED if self.fixed else DiskType.DYNAMIC
        return NewDiskOptions(
            type=DiskType.DIFFERENCING if self.parent else alone,
            size=self.size,
            block_size=self.block_size,
            logical_sector_size=int(self.logical_sector) if self.logical_sector else None,
            physical_sector_size=int(self.physical_sector) if self.physical_sector else None,
            identities=random_identities if self.seed is None else seeded_identities(self.seed),
            existing=self.existing,
        )


@click.command("create")
@output_argument
@grouped("asked", _Asked)
@json_option
def command(out: Path, asked: _Asked) -> None:
    """Create an empty disk: dynamic, fixed, or differencing on a parent.

    \b
    Examples:
      vhdx create disk.vhdx --size 127G
      vhdx create disk.vhdx --size 10G --fixed
      vhdx create child.avhdx --parent disk.vhdx
    """
    refuse_stdout(out)
    out = file_in(out, Path("disk"), ".avhdx" if asked.parent else ".vhdx")
    options = asked.for_library()
    with ExitStack() as opened:
        chain = opened.enter_context(open_chain(asked.parent)) if asked.parent else None
        if chain:
            output.warn(chain.findings)
        disk = plan_creation(out, options, chain)
        file_size = run_creation(out, disk, options.existing, chain.path if chain else None)
    made = {"target": out, "type": disk.type, "size": disk.size, "file_size": file_size}
    line = f"{safe(out)}: {disk.type.value} VHDX, disk of {size(disk.size)}, file of {size(file_size)}"
    output.answer("create", {"output": made}, [line])
