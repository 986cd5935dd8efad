"""A whole chain to one standalone image: raw, VHDX, or a format of `analyzer.convert.formats`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from analyzer.convert.cells import (
    CELL,
    GRAIN,
    cells_with_data,
    count_cells_with_data,
    give_flat,
    require_known,
)
from analyzer.convert.copying import (
    CellChecksums,
    CellsAlone,
    cells_of_extents,
    copy_cells,
    of_either,
    verify_cells,
)
from analyzer.convert.disks import KeptRuns, LayeredSource, RawDisk
from analyzer.convert.formats.format import Format, copy_packed
from analyzer.convert.model import (
    DISK_TYPES,
    ImageRequest,
    Options,
    Outcome,
    OutputFormat,
    Plan,
    Reflink,
    Sparse,
    Verify,
    check_block_size,
    check_disk_size,
    has_holes,
    leaves_holes,
    request_like,
    require_compression,
)
from analyzer.convert.sharing import Shared, copy_sharing, layers_to_share, refusal, shareable, sharing_of
from analyzer.progress import Progress, no_progress
from analyzer.recovery_map.beside import account_of, map_of
from analyzer.recovery_map.mapfile import is_own_mapfile
from vhdx.disk import DiskSource
from vhdx.errors import OutputError
from vhdx.image import open_image
from vhdx.ranges import Range
from vhdx.runs import Kind, RunTable
from vhdx.sink import Existing, Sink
from vhdx.source import FileSource
from vhdx.structures.disk import DiskType
from vhdx.system import files
from vhdx.targets import check_space, check_target
from vhdx.writer import NewDisk, VhdxWriter


def plan_conversion(
    chain: LayeredSource, target: Path, output: OutputFormat, options: Options, others: Sequence[Path] = ()
) -> Plan:
    """Look at everything that could refuse the output; raises OutputError, NoSpaceError, LostDataError.

    Neither layers nor `others` are ever written over.
    """
    request = request_like(chain, target, output, options)
    return plan_output(chain, replace(request, sources=[*request.sources, *others]))


def plan_output(disk: DiskSource, request: ImageRequest) -> Plan:
    """The plan for any disk.

    Raises NoSpaceError, LostDataError, and OutputError for a format that cannot hold the disk.
    """
    target, options, output = request.target, request.options, request.format
    check_block_size(target, options.block_size)
    check_target(target, request.sources, options.existing)
    disk_type, kind = DISK_TYPES.get(output), _format_of(output)
    if disk_type:
        check_disk_size(target, request.like)
    require_compression(target, options.compression, kind.compressions if kind else (), output.value)
    new_disk = replace(request.like, type=disk_type) if disk_type else None
    runs = KeptRuns(disk)
    data = count_cells_with_data(require_known(disk, runs.windows(0, disk.size))) * CELL
    if kind:
        image = kind.plan(request, data)
        kind.check_further(target, image, request.sources, options.existing)
        needed = image.needed_bytes
    else:
        image, needed = None, _needed(data, new_disk)
    if layers := layers_to_share(disk, request):
        needed -= sum(int(shareable(table, layers, GRAIN).length.sum()) for table in runs.windows(0, disk.size))
    if not has_holes(request):
        needed = max(needed, _needed_without_holes(runs, output, new_disk))
    check_space(target, needed)
    return Plan(
        target=target,
        format=output,
        size=disk.size,
        data_bytes=data,
        digested_bytes=kind.digested(image) if kind else 0,
        needed_bytes=needed,
        new_disk=new_disk,
        layers=len(disk.sources),
        image=image,
        options=options,
        runs=runs,
    )


def _format_of(output: OutputFormat) -> Format[Any, Any] | None:
    """How an image is made in which bytes of the disk do not stand as they are; None for a raw image and a VHDX."""
    if output is OutputFormat.RAW or output in DISK_TYPES:
        return None
    from analyzer.convert.formats.table import FORMATS  # all formats, for one that is no raw image and no VHDX

    return FORMATS[output]


def _needed(data_bytes: int, new_disk: NewDisk | None) -> int:
    """What a raw image or a VHDX takes."""
    if new_disk is None:
        return data_bytes
    if new_disk.type is DiskType.FIXED:
        # every block has its room, whatever it holds
        return new_disk.first_block + new_disk.geometry.block_count * new_disk.block_size
    return new_disk.first_block + data_bytes


# The blocks of a VHD, and what it has besides them at most: footers, header, block table and bitmaps.
_VHD_BLOCK, _VHD_REST = 2 << 20, 16 << 20
_FLAT = {OutputFormat.RAW, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE}


def _needed_without_holes(disk: DiskSource, output: OutputFormat, new_disk: NewDisk | None) -> int:
    """What an output takes in which zeros take room: all of a raw image, and every block with anything in it."""
    dynamic = output is OutputFormat.VHD or (new_disk is not None and new_disk.type is DiskType.DYNAMIC)
    if not dynamic:
        return disk.size if output in _FLAT else 0
    unit = new_disk.block_size if new_disk else _VHD_BLOCK
    rest = new_disk.first_block if new_disk else _VHD_REST
    return rest + count_cells_with_data(disk.windows(0, disk.size), unit) * unit


def name_alone(sink: Sink, _checksums: CellChecksums) -> None:
    """Name the output; what a recovery left beside an older image of this name goes with that image, not with this."""
    if is_own_mapfile(map_of(sink.target)):
        sink.keep()
        sink.remove_older()
        for path in (map_of(sink.target), account_of(sink.target)):
            files.remove(path)
    sink.commit()


def refuse_foreign_map(target: Path, existing: Existing) -> None:
    """Raise OutputError for a map by which an output without one would be read."""
    if existing is not Existing.REPLACE and is_own_mapfile(map_of(target)):
        reason = f"it is the map of an image called {target.name} that was recovered"
        raise OutputError(map_of(target), reason, "move it away, name another target, or replace both with --force")


def run_conversion(
    plan: Plan,
    disk: DiskSource,
    progress: Progress = no_progress,
    *,
    name: Callable[[Sink, CellChecksums], None] = name_alone,
) -> Outcome:
    """Write, flush, read back, rename; raises what reading and writing raise, and VerificationError.

    `name` is called when the output is right, to give it its name, with the checksums of what was written.
    """
    if name is name_alone:
        refuse_foreign_map(plan.target, plan.options.existing)
    elif plan.options.reflink is Reflink.ALWAYS:
        raise refusal(plan.target, "all of it has to be read, for its map")
    disk = plan.with_runs(disk)
    form = _format_of(plan.format)
    kind: type[Sink] = form.sink if form else Sink
    with kind(plan.target, existing=plan.options.existing) as sink:
        holes = leaves_holes(plan.target, plan.format, plan.options)
        if holes and (plan.format is OutputFormat.RAW or plan.options.sparse is Sparse.ALWAYS):
            sink.make_sparse()
        # A name that asks for checksums gets them of everything, which has to be read for that.
        written = _write(plan, disk, sink, progress, are_asked_for=name is not name_alone)
        if not holes:
            sink.fill_holes()
        sink.flush()
        if plan.options.verify is Verify.READ_BACK:
            _verify(plan, written, disk, sink.path, progress)
        disk.require_unchanged()
        name(sink, written.checksums)
        outcome = plan.outcome(len(written.checksums.cells) * CELL, sink.size, disk.findings)
        shared = written.shared or Shared(0, outcome.copied_bytes)
        return replace(outcome, digests=written.digests, cloned_bytes=shared.cloned, copied_bytes=shared.copied)


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written, and what was learnt of it: of cells that share anything no checksum."""

    checksums: CellChecksums
    digests: Mapping[str, str] = field(default_factory=dict)
    shared: Shared | None = None


def _write(plan: Plan, disk: KeptRuns, sink: Sink, progress: Progress, *, are_asked_for: bool) -> _Written:
    cells = cells_with_data(disk.windows(0, disk.size))
    if form := _format_of(plan.format):
        return _Written(*copy_packed(disk, cells, form.writer(sink, plan.image, progress), progress))
    sharing = None if are_asked_for else sharing_of(plan, disk, sink)
    is_verified = plan.options.verify is Verify.READ_BACK
    noting = CellChecksums if is_verified or are_asked_for else CellsAlone
    if plan.new_disk is None:
        sink.set_size(plan.size)  # the end of a disk may be zeros, which nobody writes
        if sharing:
            return _Written(copy_sharing(sharing, cells, int, progress), shared=sharing.account)
        return _Written(copy_cells(disk, cells, sink.write_at, progress, noting))
    writer = VhdxWriter(sink, plan.new_disk)
    if sharing:
        written = _Written(copy_sharing(sharing, cells, writer.place, progress), shared=sharing.account)
    else:
        written = _Written(copy_cells(disk, cells, writer.write, progress, noting))
    writer.finish()
    return written


def _verify(plan: Plan, made: _Written, disk: DiskSource, path: Path, progress: Progress) -> None:
    if form := _format_of(plan.format):
        with closing(form.image(path, plan.image)) as image:
            # Decoders are not to be shared between threads.
            verify_cells(made.checksums, disk, image, cells_of_extents(image.extents()), path, progress, threads=1)
        return
    with open_image(path) if plan.new_disk else _Flat(path) as opened:
        written = KeptRuns(opened)
        for _ in written.windows(0, written.size):  # all at once: from now on they are kept, for both threads
            pass
        held = _held(plan.new_disk, written)
        if made.shared:
            # Nothing has a checksum: all that either side has is compared.
            both = of_either(held, cells_with_data(disk.windows(0, disk.size)))
            verify_cells(CellChecksums(), disk, written, both, path, progress)
        else:
            verify_cells(made.checksums, disk, written, held, path, progress)


class _Flat(RawDisk):
    """A raw image in one run: cells with holes are read whole, which is quicker than what is between the holes."""

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        upto = self.size if end is None else min(end, self.size)
        yield RunTable.of([(start, upto - start, Kind.DATA, 0, start)] if start < upto else [])


def _held(new_disk: NewDisk | None, written: DiskSource) -> Iterator[int]:
    """The cells in which a new file has anything of its own."""
    source = written.sources[0]
    if (new_disk is None or new_disk.type is DiskType.FIXED) and isinstance(source, FileSource):
        # Every byte has its place, and most may be holes of the host's file system, which need no look.
        first, held = new_disk.first_block if new_disk else 0, source.extents()
        inside = (Range.between(max(0, part.start - first), min(part.end - first, written.size)) for part in held)
        return cells_of_extents(inside)
    return cells_with_data(written.windows(0, written.size))


def stream_raw(disk: DiskSource, stream: BinaryIO, progress: Progress = no_progress) -> None:
    """Write the flat disk to a pipe, every byte of it; raises what reading and writing raise."""
    give_flat(disk, stream.write, progress)
    stream.flush()
