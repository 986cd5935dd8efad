"""Recover a disk: open what is there, say what it amounts to, write the image and its map."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from analyzer import convert
from analyzer.convert import VHDX_FORMATS, Options, OutputFormat, check_further, plan_conversion, run_conversion
from analyzer.progress import Progress, no_progress
from analyzer.raw import RawDisk
from analyzer.recover.account import Row, Status, Totals, rows_of
from analyzer.recover.disk import PartialDisk
from analyzer.recover.filled import NOTHING_EARLIER, Earlier, Fill, FilledDisk
from analyzer.recover.gather import Gathered, gather
from analyzer.recover.levels import Level
from analyzer.recover.mapfile import Stretch, mapfile_lines, read_mapfile
from analyzer.recover.naming import name_again, name_anew
from analyzer.recover.opening import Opener
from analyzer.recover.ranges import Ranges
from analyzer.salvage import BitmapPolicy
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.image import open_image
from vhdx.parents import Search
from vhdx.reader import Reader
from vhdx.sink import Existing, Sink, check_target
from vhdx.source import FileSource

_PIECE = 1 << 20


class Attempt(Enum):
    """Whether an output that is there already is gone on with."""

    FRESH = "fresh"
    RESUME = "resume"
    """What the map beside it has as known is taken from it; all else is tried again, and what is lost now and stale in
    the map stays as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a recovery is asked for. `target` None: the account alone."""

    inputs: tuple[Path, ...]
    search: Search
    target: Path | None = None
    format: OutputFormat = OutputFormat.RAW
    options: Options = field(default_factory=Options)
    fill: Fill = Fill.ZERO
    assumed_base: Path | None = None
    attempt: Attempt = Attempt.FRESH
    bitmaps: BitmapPolicy = BitmapPolicy.LOST
    """What becomes of partially present blocks whose sector bitmap is lost."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is going to be read and written. The sources are open until `opened_plan` ends; nothing was touched."""

    wishes: Wishes
    gathered: Gathered
    filled: FilledDisk
    conversion: convert.Plan | None

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

    def rows(self) -> Iterator[Row]:
        """What each range of the disk is, by what is known so far; afresh whenever it is asked."""
        earlier = self.filled.earlier
        return rows_of(self.disk, self.filled.faults, earlier.known, earlier.stale)


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


def map_of(target: Path) -> Path:
    """Where the mapfile of an output is."""
    return target.with_name(target.name + ".map")


def account_of(target: Path) -> Path:
    """Where the account of an output is."""
    return target.with_name(target.name + ".json")


@contextmanager
def plan_recovery(wishes: Wishes, opener: Opener = FileSource) -> Iterator[Plan]:
    """Open what is there and look at everything that could refuse the output; the files stay open while it is used.

    Raises ChainError where the files cannot be one disk or none of them can be read, OutputError, NoSpaceError.
    """
    with ExitStack() as opened:
        gathered = gather(wishes.inputs, wishes.search, wishes.assumed_base, opener, bitmaps=wishes.bitmaps)
        opened.callback(gathered.close)
        disk = PartialDisk(gathered.levels)
        filled = FilledDisk(disk, wishes.fill, _earlier(wishes, disk, opened))
        yield Plan(wishes=wishes, gathered=gathered, filled=filled, conversion=_conversion(wishes, gathered, filled))


def _conversion(wishes: Wishes, gathered: Gathered, filled: FilledDisk) -> convert.Plan | None:
    if wishes.target is None:
        return None
    options = wishes.options
    sources = [file.path for file in gathered.files]
    for place in (wishes.target, map_of(wishes.target), account_of(wishes.target)):
        check_target(place, sources, options.existing)
    plan = plan_conversion(filled, wishes.target, wishes.format, options)
    check_further(plan, sources)
    return plan


def resumes(wishes: Wishes) -> bool:
    """Whether there is an output of an earlier run to go on with."""
    target = wishes.target
    return wishes.attempt is Attempt.RESUME and target is not None and target.exists() and map_of(target).exists()


def _earlier(wishes: Wishes, disk: PartialDisk, opened: ExitStack) -> Earlier:
    """What an earlier run has; nothing where there is none, or where it is not wanted."""
    target = wishes.target
    if target is None or not resumes(wishes):
        return NOTHING_EARLIER
    if wishes.format is not OutputFormat.RAW and wishes.format not in VHDX_FORMATS:
        reason = f"only raw images and VHDX can be gone on with, not {wishes.format.value}"
        raise OutputError(target, reason, "recover to one of these, or begin anew with --force and without --resume")
    stretches = read_mapfile(map_of(target), disk.size, identity_of(disk))
    # The earlier output is no source, but it is read like one: by position, and closed before it is replaced.
    written = opened.enter_context(
        closing(RawDisk(target) if wishes.format is OutputFormat.RAW else open_image(target))
    )
    if written.size != disk.size:
        raise OutputError(target, f"it has {written.size} bytes and the disk {disk.size}", "begin anew with --force")
    return Earlier(_of(stretches, Status.KNOWN), _of(stretches, Status.STALE), Reader(written).read_into)


def _of(stretches: Iterable[Stretch], wanted: Status) -> Ranges:
    return Ranges((start, end) for start, end, status in stretches if status is wanted)


def identity_of(disk: PartialDisk) -> str:
    """The data_write_guid of the uppermost file: which disk, in which state, a map is about."""
    return str(disk.images[-1].data_write_guid)


def count(plan: Plan) -> Totals:
    """Bytes of the disk by status, as far as is known without reading its data."""
    totals = Totals()
    for _ in totals.counting(plan.rows()):
        pass
    return totals


def run_recovery(plan: Plan, document: Document, progress: Progress = no_progress) -> Outcome:
    """Write the image, its mapfile and its account; raises what writing raises. The sources are never changed.

    See `naming` for the order in which these get their names.
    """
    conversion = plan.conversion
    if conversion is None:
        raise ValueError("a plan without a target cannot be run")
    totals, give_names = Totals(), name_again if resumes(plan.wishes) else name_anew

    def name(image: Sink) -> None:
        image.seal()
        with ExitStack() as papers:
            give_names(image, _papers(plan, conversion.target, totals, document, papers))

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


def _papers(plan: Plan, target: Path, totals: Totals, document: Document, opened: ExitStack) -> list[Sink]:
    """Map and account, written and whole, that wait for their names until `opened` ends."""
    stretches = ((row.start, row.end, row.status) for row in totals.counting(plan.rows()))
    existing = plan.wishes.options.existing
    mapped = _written(map_of(target), mapfile_lines(stretches, identity_of(plan.disk)), existing, opened)
    # The map first: the rows are counted as it is written, and the account has the totals.
    return [mapped, _written(account_of(target), document(plan, totals), existing, opened)]


def _written(path: Path, pieces: Iterable[str], existing: Existing, opened: ExitStack) -> Sink:
    sink = opened.enter_context(Sink(path, existing=existing))
    for block in _blocks(pieces):
        sink.write_at(sink.size, block)
    sink.seal()
    return sink


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """The text in blocks: one write for each line of a long map would take minutes."""
    block = bytearray()
    for piece in pieces:
        block += piece.encode("utf-8", "backslashreplace")
        if len(block) >= _PIECE:
            yield bytes(block)
            block.clear()
    yield bytes(block)
