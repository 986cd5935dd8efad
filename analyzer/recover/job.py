"""Recover a disk: open what is there, say what it amounts to, write the image and its map."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from analyzer.convert.convert import plan_output, run_conversion
from analyzer.convert.copying import CellChecksums
from analyzer.convert.model import Options, OutputFormat, request_like
from analyzer.convert.model import Plan as ConversionPlan
from analyzer.progress import Progress, Stage, no_progress, no_stage
from analyzer.recover.disk.content import Content
from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance, Row, Totals
from analyzer.recover.disk.wanted import Wanted, wanted_of
from analyzer.recover.inputs.collect import Gathered, gather
from analyzer.recover.inputs.earlier_outputs import identity_of, without_earlier_outputs
from analyzer.recover.inputs.foreign_files import is_layer_beside
from analyzer.recover.inputs.layers import PRESENT, Level, View
from analyzer.recover.inputs.open_file import Opener, take_maps
from analyzer.recover.output.resume import fingerprint_of, open_earlier
from analyzer.recover.rebuild.workspace import BitmapPolicy
from analyzer.recovery_map.beside import account_of, map_of
from analyzer.recovery_map.commit import existing_sidecars, name_anew, name_resumed, write_sidecars
from analyzer.recovery_map.mapfile import Status, is_own_mapfile, mapfile_lines
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.parents import Search
from vhdx.sink import Sink
from vhdx.source_map import BESIDE, SourceMaps
from vhdx.structures.constants import NIL
from vhdx.targets import check_target


class Attempt(Enum):
    """Whether an output that is there already is gone on with."""

    FRESH = "fresh"
    RESUME = "resume"
    """What the map beside it has as known is taken from it; all else is tried again, and what is lost now and stale in
    the map stays as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverOptions:
    """What a recovery is asked for. `target` None: the account alone."""

    inputs: tuple[Path, ...]
    search: Search
    target: Path | None = None
    format: OutputFormat = OutputFormat.RAW
    options: Options = field(default_factory=Options)
    fill: Fill = Fill.ZERO
    assumed_base: Path | None = None
    attempt: Attempt = Attempt.FRESH
    bitmaps: BitmapPolicy = BitmapPolicy.AUTO
    """What becomes of partially present blocks whose sector bitmap is lost."""
    source_maps: SourceMaps = BESIDE
    """Maps of ddrescue for files that they are not beside."""
    view: View = PRESENT
    """Which state of the uppermost file is wanted."""
    only: tuple[str, ...] = ()
    """Files and folders of the disk whose ranges are read, and no others; none: all of the disk."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is going to be read and written. The sources are open until `opened_plan` ends; nothing was touched."""

    request: RecoverOptions
    gathered: Gathered
    filled: FilledDisk
    content: Content
    wanted: Wanted | None
    """What was asked for; None: all."""
    conversion: ConversionPlan | None

    @property
    def disk(self) -> PartialDisk:
        """The disk by its levels."""
        return self.filled.disk

    @property
    def levels(self) -> tuple[Level, ...]:
        """Files and gaps, base first."""
        return self.disk.levels

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is missing, what is wrong with the files, and which of them changed since they were opened."""
        return self.gathered.findings + self.gathered.changed

    @property
    def provenance(self) -> Provenance:
        """What each range of the disk is, by the faults that are known so far."""
        filled = self.filled
        return Provenance(self.disk, filled.faults, filled.earlier, self.content.doubts(), filled.left_out)

    def rows(self) -> Iterator[Row]:
        """What each range of the disk is, by what is known so far; afresh whenever it is asked."""
        return self.provenance.rows()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was written; all sizes are bytes."""

    target: Path
    map: Path
    account: Path
    format: OutputFormat
    size: int
    file_size: int
    verified: bool
    totals: Totals
    changed: tuple[Finding, ...]
    """The files that somebody wrote to, or cut, while they were read."""


Document = Callable[[Plan, Totals], Iterable[str]]
"""The account as text, in pieces: what is written to OUT.json."""


@contextmanager
def plan_recovery(
    request: RecoverOptions,
    opener: Opener | None = None,
    compared: Progress = no_progress,
    stage: Stage = no_stage,
) -> Iterator[Plan]:
    """Open what is there and look at everything that could refuse the output; the files stay open while it is used.

    `compared` hears of the bytes of an earlier output that must be read to see that nobody wrote to it; `stage` of the
    steps of rebuilding that take long.

    Raises ChainError where the files cannot be one disk or none of them can be read, OutputError, NoSpaceError.
    """
    inputs, earlier = without_earlier_outputs(request.inputs)
    inputs, maps = take_maps(inputs, request.source_maps)
    with ExitStack() as opened:
        gathered = gather(
            *(inputs, request.search, request.assumed_base, opener or maps.source),
            bitmaps=request.bitmaps,
            view=request.view,
            stage=stage,
        )
        opened.callback(gathered.close)
        gathered = replace(gathered, hints=(*earlier, *gathered.hints))
        disk = PartialDisk(gathered.levels)
        filled = FilledDisk(disk, request.fill, _earlier(request, disk, opened, compared))
        wanted = wanted_of(filled, request.only) if request.only else None
        filled = filled.limited_to(wanted.ranges) if wanted else filled
        content, conversion = Content(filled, request.view), _conversion(request, gathered, filled)
        yield Plan(
            request=request, gathered=gathered, filled=filled, content=content, wanted=wanted, conversion=conversion
        )


def _conversion(request: RecoverOptions, gathered: Gathered, filled: FilledDisk) -> ConversionPlan | None:
    if request.target is None:
        return None
    options, sources = request.options, [file.path for file in gathered.files]
    check_target(request.target, sources, options.existing)
    if not is_own_mapfile(map_of(request.target)) and is_layer_beside(request.target, gathered.levels):
        reason = "it is a file of the disk that is recovered, and may be a layer of it"
        raise OutputError(request.target, reason, "name another OUT")
    for place in (map_of(request.target), account_of(request.target)):
        check_target(place, sources, existing_sidecars(request.target, options.existing))
    image = request_like(filled, request.target, request.format, options)
    like = image.like
    if like.disk_id == NIL:  # lost with the metadata: a disk without one could be confused with any other
        like = replace(like, disk_id=options.identities("virtual_disk_id"))
    return plan_output(filled, replace(image, like=like, sources=[*image.sources, *sources]))


def resumes(request: RecoverOptions) -> bool:
    """Whether there is an output of an earlier run to go on with."""
    target = request.target
    return request.attempt is Attempt.RESUME and target is not None and target.exists() and map_of(target).exists()


def _earlier(request: RecoverOptions, disk: PartialDisk, opened: ExitStack, compared: Progress) -> EarlierRun:
    """What an earlier run has, and what reads it; nothing where there is none, or where it is not wanted."""
    if request.target is None or not resumes(request):
        return EarlierRun()
    identity = map_identity(disk, request.view)
    return open_earlier(request.target, request.format, disk.size, identity, opened, compared)


def map_identity(disk: PartialDisk, view: View) -> str:
    """What a map is about: the uppermost file, and which of its states is read."""
    return f"{identity_of(disk.images[-1])} {view}".rstrip()


def run_recovery(plan: Plan, document: Document, progress: Progress = no_progress) -> Outcome:
    """Write the image, its mapfile and its account; raises what writing raises. The sources are never changed.

    See `naming` for the order in which these get their names.
    """
    conversion = plan.conversion
    if conversion is None:
        raise ValueError("a plan without a target cannot be run")
    give_names = name_resumed if resumes(plan.request) else name_anew
    totals = Totals({}, 0, 0)

    def name(image: Sink, checksums: CellChecksums) -> None:
        nonlocal totals
        image.flush()
        known = plan.provenance.ranges(Status.KNOWN)
        fingerprint = fingerprint_of(image.path, conversion.format, checksums, known)
        identity, totals = map_identity(plan.disk, plan.request.view), plan.provenance.totals()
        lines, account = mapfile_lines(plan.provenance.statuses(), identity, fingerprint), document(plan, totals)
        with ExitStack() as opened:
            sidecars = write_sidecars(image.target, plan.request.options.existing, lines, account, opened)
            plan.filled.earlier.close()
            give_names(image, sidecars)

    written = run_conversion(conversion, plan.filled, progress, name=name)
    return Outcome(
        target=conversion.target,
        map=map_of(conversion.target),
        account=account_of(conversion.target),
        format=conversion.format,
        size=conversion.size,
        file_size=written.file_size,
        verified=written.verified,
        totals=totals,
        changed=plan.gathered.changed,
    )
