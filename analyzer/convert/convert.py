"""A whole chain to one standalone image: raw, VHDX, or a format of `analyzer.convert.formats`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from analyzer.convert.cells import CELL, cells_with_data, count_cells_with_data, require_known
from analyzer.convert.copying import Journal, Order, cells_of_extents, copy_cells, verify_cells
from analyzer.convert.formats import raw_zst as zst
from analyzer.convert.formats.case_data import Digests, Evidence
from analyzer.convert.formats.e01 import layout as e01
from analyzer.convert.formats.e01.segment_files import SegmentedSink, check_segments
from analyzer.convert.formats.e01.writer import E01Writer
from analyzer.convert.formats.format import Compression, Layout, Wanted, require_compression
from analyzer.convert.formats.pipeline import copy_packed
from analyzer.convert.formats.qcow2 import writer as qcow2
from analyzer.convert.formats.vhd import writer as vhd
from analyzer.convert.formats.vmdk import writer as vmdk
from analyzer.convert.raw_image import RawDisk, RawTarget, StreamTarget
from analyzer.progress import Progress, no_progress
from analyzer.recovery_map.paths import account_of, is_own_mapfile, map_of
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


class Flat(RunSource, Protocol):
    """What can be written as one image, once it is known what the image is to be."""

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


class Layered(Flat, Protocol):
    """What can be made one image like itself: a chain, or a disk that stands for one and has no gap to read."""

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


class OutputFormat(StrEnum):
    """What an output is to be, spelled as `--format` takes it and as JSON gives it."""

    RAW = "raw"
    VHDX = "vhdx"
    VHDX_FIXED = "vhdx-fixed"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHD_FIXED = "vhd-fixed"
    VHD_AZURE = "vhd-azure"
    VMDK = "vmdk"
    RAW_ZST = "raw.zst"
    E01 = "e01"


DISK_TYPES = {OutputFormat.VHDX: DiskType.DYNAMIC, OutputFormat.VHDX_FIXED: DiskType.FIXED}
VHDX_FORMATS = frozenset(DISK_TYPES)
_PLANNERS: Mapping[OutputFormat, Callable[[Wanted], Layout]] = {
    OutputFormat.QCOW2: qcow2.plan,
    OutputFormat.VHD: vhd.plan_dynamic,
    OutputFormat.VHD_FIXED: vhd.plan_fixed,
    OutputFormat.VHD_AZURE: vhd.plan_azure,
    OutputFormat.VMDK: vmdk.plan,
    OutputFormat.RAW_ZST: zst.plan,
    OutputFormat.E01: e01.plan,
}
"""What plans an image of another program's format; raw and VHDX are planned here."""
RAW_EXTENSIONS = (".raw", ".img", ".bin", ".dd")
EXTENSIONS: Mapping[str, OutputFormat] = dict.fromkeys(RAW_EXTENSIONS, OutputFormat.RAW) | {
    ".vhdx": OutputFormat.VHDX,
    ".qcow2": OutputFormat.QCOW2,
    ".vhd": OutputFormat.VHD,
    ".vmdk": OutputFormat.VMDK,
    ".zst": OutputFormat.RAW_ZST,
    ".e01": OutputFormat.E01,
}


def format_of(target: Path) -> OutputFormat:
    """The format that a file name asks for; raises OutputError when it asks for none."""
    try:
        return EXTENSIONS[target.suffix.lower()]
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
    compression: Compression = Compression.FORMAT
    evidence: Evidence = field(default_factory=Evidence)
    digests: Digests = Digests.TAKEN
    segment_size: int | None = None


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
    """The VHDX to be; None for any other format."""
    layers: int
    """How many are made one."""
    image: Layout | None = None
    """The image to be, of another program's format; None for raw and VHDX."""
    options: Options

    @property
    def work(self) -> int:
        """Bytes to copy, to read back, and zeros to take digests of, for progress: what it comes to at most."""
        digested = self.size if isinstance(self.image, e01.E01Layout) and self.image.digests is Digests.TAKEN else 0
        return digested + self.data_bytes * (2 if self.options.verify is Verify.READ_BACK else 1)


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
    digests: Mapping[str, str] = field(default_factory=dict)
    """MD5 and SHA-1 of the whole disk, in hex, where the output holds them."""


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
    sources = [layer.path for layer in chain.layers]
    check_target(target, sources, options.existing)
    disk_type = DISK_TYPES.get(output)
    new_disk = new_disk_like(chain, disk_type, options) if disk_type else None
    plan = plan_output(chain, target, output, new_disk, options)
    check_further(plan, sources)
    return plan


def check_further(plan: Plan, sources: Sequence[Path]) -> None:
    """Look at the other files that the output may come to have, as `check_target` does; raises OutputError."""
    if isinstance(plan.image, e01.E01Layout):
        check_segments(plan.target, plan.image.most_segments, sources, plan.options.existing)


def plan_output(disk: Flat, target: Path, output: OutputFormat, new_disk: NewDisk | None, options: Options) -> Plan:
    """The plan for a target that was looked at; `new_disk` is None for what is no VHDX. See `check_further`.

    Raises NoSpaceError, LostDataError, and OutputError for a format that cannot hold the disk.
    """
    data = count_cells_with_data(require_known(disk, disk.windows(0, disk.size))) * CELL
    image = _image(disk, target, output, data, options)
    needed = image.needed_bytes if image else _needed(data, new_disk)
    check_space(target, needed)
    return Plan(
        target=target,
        format=output,
        size=disk.size,
        data_bytes=data,
        needed_bytes=needed,
        new_disk=new_disk,
        layers=len(disk.sources),
        image=image,
        options=options,
    )


def _needed(data_bytes: int, new_disk: NewDisk | None) -> int:
    """What a raw image or a VHDX takes."""
    if new_disk is None:
        return data_bytes
    if new_disk.type is DiskType.FIXED:
        return new_disk.first_block + new_disk.geometry.block_count * new_disk.block_size
    return new_disk.first_block + data_bytes


def _image(disk: Flat, target: Path, output: OutputFormat, data_bytes: int, options: Options) -> Layout | None:
    planner = _PLANNERS.get(output)
    if planner is None:
        require_compression(target, options.compression, (), output.value)
        return None
    return planner(
        Wanted(
            target=target,
            size=disk.size,
            sector_size=disk.sector_size,
            data_bytes=data_bytes,
            compression=options.compression,
            identities=options.identities,
            evidence=options.evidence,
            digests=options.digests,
            segment_size=options.segment_size,
        )
    )


def _commit(sink: Sink, _journal: Journal) -> None:
    """Name the output; what a recovery left beside an older image of this name goes with that image, not with this."""
    if is_own_mapfile(map_of(sink.target)):
        sink.keep()
        sink.remove_older()
        for path in (map_of(sink.target), account_of(sink.target)):
            path.unlink(missing_ok=True)
    sink.commit()


def check_beside(target: Path, existing: Existing) -> None:
    """Refuse to write an image beside the map of another, unless that may be replaced; raises OutputError."""
    if existing is not Existing.REPLACE and is_own_mapfile(map_of(target)):
        reason = f"it is the map of an image called {target.name} that was recovered"
        raise OutputError(map_of(target), reason, "move it away, name another target, or replace both with --force")


def run_conversion(
    plan: Plan,
    disk: Flat,
    progress: Progress = no_progress,
    *,
    name: Callable[[Sink, Journal], None] = _commit,
) -> Outcome:
    """Write, flush, read back, rename; raises what reading and writing raise, and VerificationError.

    `name` is called when the output is right, to give it its name, with the checksums of what was written.
    """
    if name is _commit:
        check_beside(plan.target, plan.options.existing)
    kind = SegmentedSink if isinstance(plan.image, e01.E01Layout) else Sink
    with kind(plan.target, existing=plan.options.existing) as sink:
        journal, digests = _write(plan, disk, sink, progress)
        sink.flush()
        if plan.options.verify is Verify.READ_BACK:
            _verify(plan, journal, disk, sink.path, progress)
        disk.require_unchanged()
        name(sink, journal)
        return replace(_outcome(plan, disk, journal, sink.size), digests=digests)


def _write(plan: Plan, disk: Flat, sink: Sink, progress: Progress) -> tuple[Journal, Mapping[str, str]]:
    cells = cells_with_data(disk.windows(0, disk.size))
    if plan.image:
        packer = plan.image.writer(sink, progress)
        journal = copy_packed(disk, cells, packer, progress)
        return journal, packer.digests if isinstance(packer, E01Writer) else {}
    if plan.new_disk is None:
        return copy_cells(disk, cells, RawTarget(sink, plan.size), progress, order=Order.ANY), {}
    writer = VhdxWriter(sink, plan.new_disk)
    journal = copy_cells(disk, cells, writer, progress)
    writer.finish()
    return journal, {}


def _outcome(plan: Plan, disk: Flat, journal: Journal, file_size: int) -> Outcome:
    return Outcome(
        target=plan.target,
        format=plan.format,
        size=plan.size,
        data_bytes=len(journal.cells) * CELL,
        file_size=file_size,
        verified=plan.options.verify is Verify.READ_BACK,
        layers=plan.layers,
        parent=None,
        findings=disk.findings,
    )


def _verify(plan: Plan, journal: Journal, disk: Flat, path: Path, progress: Progress) -> None:
    if plan.new_disk is None:
        with closing(plan.image.open(path) if plan.image else RawDisk(path)) as written:
            verify_cells(journal, disk, written, cells_of_extents(written.extents()), path, progress)
        return
    with open_image(path) as image:
        verify_cells(journal, disk, image, _held(plan.new_disk, image), path, progress)


def _held(new_disk: NewDisk, image: Image) -> Iterator[int]:
    """The cells in which a new file has anything of its own."""
    if new_disk.type is DiskType.FIXED and isinstance(image.file, FileSource):
        # Every block is there and most may be holes of the host's file system, which need no look.
        first, blocks = new_disk.first_block, image.file.extents()
        return cells_of_extents((max(0, start - first), min(end - first, image.size)) for start, end in blocks)
    return cells_with_data(image.windows())


def stream_raw(disk: Flat, stream: BinaryIO, progress: Progress = no_progress) -> None:
    """Write the flat disk to a pipe, every byte of it; raises what reading and writing raise."""
    for _ in require_known(disk, disk.windows(0, disk.size)):
        pass
    target = StreamTarget(stream, disk.size)
    copy_cells(disk, cells_with_data(disk.windows(0, disk.size)), target, progress)
    target.finish()
    disk.require_unchanged()
