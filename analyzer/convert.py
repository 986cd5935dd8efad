"""A whole chain to one standalone image: raw, dynamic or fixed VHDX."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Protocol

from analyzer.cells import CELL, cells_with_data, count_cells_with_data, require_known
from analyzer.copying import Journal, Order, cells_of_extents, copy_cells, verify_cells
from analyzer.progress import Progress, no_progress
from analyzer.raw import RawDisk, RawTarget, StreamTarget
from vhdx.chain import Chain
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.identities import Identities, random_identities
from vhdx.image import Image, open_image
from vhdx.reader import RunSource
from vhdx.sink import Existing, Sink, check_space, check_target
from vhdx.source import FileSource
from vhdx.structures.constants import MAX_BLOCK_SIZE, MIN_BLOCK_SIZE
from vhdx.structures.disk import DiskType
from vhdx.writer import NewDisk, VhdxWriter


class Layered(RunSource, Protocol):
    """What can be made one image: a chain, or a disk that stands for one and has no gap to read."""

    @property
    def layers(self) -> Sequence[Image]:
        """The files that are there, base first."""
        ...

    @property
    def base(self) -> Image:
        """The lowest of them: a new file takes its block size."""
        ...

    @property
    def leaf(self) -> Image:
        """The uppermost of them: a new file takes its disk id and physical sector."""
        ...

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What opening found that is no error."""
        ...

    def require_unchanged(self) -> None:
        """Raise SourceChangedError when what was read cannot be one state."""
        ...


class OutputFormat(Enum):
    """What an output is to be."""

    RAW = "raw"
    VHDX = "vhdx"
    VHDX_FIXED = "vhdx-fixed"


RAW_EXTENSIONS = (".raw", ".img", ".bin", ".dd")
_EXTENSIONS = dict.fromkeys(RAW_EXTENSIONS, OutputFormat.RAW) | {".vhdx": OutputFormat.VHDX}


def format_of(target: Path) -> OutputFormat:
    """The format that a file name asks for; raises OutputError when it asks for none."""
    try:
        return _EXTENSIONS[target.suffix.lower()]
    except KeyError:
        choices = ", ".join(choice.value for choice in OutputFormat)
        raise OutputError(target, "its name does not tell a format", f"add --format ({choices})") from None


class Verify(Enum):
    """Whether an output is read back before it gets its name."""

    READ_BACK = "read-back"
    TRUST = "trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices for an output. `block_size` in bytes, None to keep the base's; `identities` give new GUIDs."""

    block_size: int | None = None
    identities: Identities = random_identities
    existing: Existing = Existing.REFUSE
    verify: Verify = Verify.READ_BACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be written; all sizes are bytes. Nothing was touched to make it."""

    target: Path
    format: OutputFormat
    size: int
    data_bytes: int
    """What is copied at most: whole cells; those that turn out to be zeros are left out."""
    needed_bytes: int
    """What the target's file system must have free."""
    new_disk: NewDisk | None
    options: Options

    @property
    def work(self) -> int:
        """Bytes to copy and to read back, for progress."""
        return self.data_bytes * (2 if self.options.verify is Verify.READ_BACK else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was written; all sizes are bytes."""

    target: Path
    format: OutputFormat
    size: int
    data_bytes: int
    """Cells that are not zero."""
    file_size: int
    verified: bool
    layers: int
    """How many were made one."""
    parent: Path | None
    """What a differencing output is laid upon; None for one that stands alone."""
    findings: tuple[Finding, ...]


def new_disk_like(chain: Layered, disk_type: DiskType, options: Options) -> NewDisk:
    """A new disk with the chain's size, sectors and virtual disk id, and with GUIDs of its own."""
    block_size = options.block_size or chain.base.parameters.block_size
    return NewDisk(
        type=disk_type,
        size=chain.size,
        block_size=block_size,
        logical_sector_size=chain.sector_size,
        physical_sector_size=chain.leaf.parameters.physical_sector_size,
        disk_id=chain.leaf.parameters.disk_id,
        file_write_guid=options.identities("file_write_guid"),
        data_write_guid=options.identities("data_write_guid"),
    )


def check_block_size(target: Path, block_size: int | None) -> None:
    """Refuse a block size that the format does not have; raises OutputError."""
    if block_size is None:
        return
    if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
        raise OutputError(target, f"no VHDX has blocks of {block_size} bytes", "choose 1M, 2M, 4M ... 256M")


def plan_conversion(chain: Layered, target: Path, output: OutputFormat, options: Options) -> Plan:
    """Look at everything that could refuse the output; raises OutputError, NoSpaceError, LostDataError."""
    check_block_size(target, options.block_size)
    check_target(target, [layer.path for layer in chain.layers], options.existing)
    data = count_cells_with_data(require_known(chain, chain.windows(0, chain.size))) * CELL
    types = {OutputFormat.VHDX: DiskType.DYNAMIC, OutputFormat.VHDX_FIXED: DiskType.FIXED}
    disk_type = types.get(output)
    new_disk = new_disk_like(chain, disk_type, options) if disk_type else None
    needed = data + (new_disk.first_block if new_disk else 0)
    if new_disk and disk_type is DiskType.FIXED:
        needed = new_disk.first_block + new_disk.geometry.block_count * new_disk.block_size
    check_space(target, needed)
    return Plan(
        target=target,
        format=output,
        size=chain.size,
        data_bytes=data,
        needed_bytes=needed,
        new_disk=new_disk,
        options=options,
    )


def nothing_more() -> None:
    """What most outputs need before they get their names."""


def run_conversion(
    plan: Plan,
    chain: Layered,
    progress: Progress = no_progress,
    *,
    before_naming: Callable[[], None] = nothing_more,
) -> Outcome:
    """Write, flush, read back, rename; raises what reading and writing raise, and VerificationError.

    `before_naming` is called when the output is right and has not got its name yet.
    """
    cells = cells_with_data(chain.windows(0, chain.size))
    with Sink(plan.target, existing=plan.options.existing) as sink:
        if plan.new_disk is None:
            journal = copy_cells(chain, cells, RawTarget(sink, plan.size), progress, order=Order.ANY)
        else:
            writer = VhdxWriter(sink, plan.new_disk)
            journal = copy_cells(chain, cells, writer, progress)
            writer.finish()
        sink.flush()
        if plan.options.verify is Verify.READ_BACK:
            _verify(plan, journal, chain, sink.path, progress)
        chain.require_unchanged()
        before_naming()
        sink.commit()
        return _outcome(plan, chain, journal, sink.size)


def _outcome(plan: Plan, chain: Layered, journal: Journal, file_size: int) -> Outcome:
    return Outcome(
        target=plan.target,
        format=plan.format,
        size=plan.size,
        data_bytes=len(journal.cells) * CELL,
        file_size=file_size,
        verified=plan.options.verify is Verify.READ_BACK,
        layers=len(chain.layers),
        parent=None,
        findings=chain.findings,
    )


def _verify(plan: Plan, journal: Journal, chain: Layered, path: Path, progress: Progress) -> None:
    if plan.new_disk is None:
        with closing(RawDisk(path)) as raw:
            verify_cells(journal, chain, raw, cells_of_extents(raw.extents()), path, progress)
        return
    with open_image(path) as image:
        verify_cells(journal, chain, image, _held(plan.new_disk, image), path, progress)


def _held(new_disk: NewDisk, image: Image) -> Iterator[int]:
    """The cells in which a new file has anything of its own."""
    if new_disk.type is DiskType.FIXED and isinstance(image.file, FileSource):
        # Every block is there and most may be holes of the host's file system, which need no look.
        first, blocks = new_disk.first_block, image.file.extents()
        return cells_of_extents((max(0, start - first), min(end - first, image.size)) for start, end in blocks)
    return cells_with_data(image.windows())


def stream_raw(chain: Chain, stream: BinaryIO, progress: Progress = no_progress) -> None:
    """Write the flat disk to a pipe, every byte of it; raises what reading and writing raise."""
    for _ in require_known(chain, chain.windows()):
        pass
    target = StreamTarget(stream, chain.size)
    copy_cells(chain, cells_with_data(chain.windows()), target, progress)
    target.finish()
    chain.require_unchanged()
