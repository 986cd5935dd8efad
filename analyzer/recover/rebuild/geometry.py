"""Which disk a file without metadata holds: each candidate is put together and asked for its file systems' copies."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from analyzer.recover.rebuild.bat_shape import outermost, whole_first
from analyzer.recover.rebuild.geometry_candidates import (
    NOTHING,
    Candidate,
    SurvivingItems,
    Table,
    geometry_candidates,
    table_at,
)
from analyzer.recover.rebuild.headers import rebuild_identifier
from analyzer.recover.rebuild.regions import write_metadata, write_regions
from analyzer.recover.rebuild.signatures import Witness, witnesses_of
from analyzer.recover.rebuild.workspace import Certainty, RebuildWorkspace, places_of
from analyzer.text import plural
from vhdx.errors import VhdxError
from vhdx.image import image_of
from vhdx.ranges import Range, Ranges
from vhdx.source import ByteSource, read_at
from vhdx.structures.constants import MIB

# A guest that stores disk images has as many tables; with more of them nothing is decided.
_MOST_TABLES = 16
# Some hundred blocks: if none of these uses its upper half, the size of the blocks stays open.
_MOST_READ, _PIECE = 256 * MIB, 64 * 1024
# Two neighbours that are exactly one block apart may be a coincidence once, in a table that was filled in any order.
# test_without_a_file_system_the_blocks_are_known_and_what_a_parent_may_show_is_not needs fewer than 9; no test fails
# with 1.
# So many pairs of neighbouring blocks tell the block size, where no file system does.
_STEPS_ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """The disk that is believed, why, and the file with its metadata and region tables laid over it."""

    candidate: Candidate
    metadata: int
    """The byte of the file at which its metadata region is."""
    certainty: Certainty
    evidence: tuple[str, ...]
    parent_is_open: bool
    view: ByteSource


@dataclass(frozen=True, slots=True)
class _Trial:
    candidate: Candidate
    view: ByteSource
    witnesses: tuple[Witness, ...]

    @property
    def is_proven(self) -> bool:
        """A second copy stands far from the first where it must, and none that is there stands wrong."""
        # All blocks are at least 1 MiB. A copy in the first MiB is at the right place for every block size, and
        # proves none.
        far = any(witness.stands and witness.start >= MIB for witness in self.witnesses)
        return far and all(witness.stands for witness in self.witnesses)

    @property
    def is_refuted(self) -> bool:
        """A place where a second copy must stand holds something else."""
        return not all(witness.stands for witness in self.witnesses)


def decide(work: RebuildWorkspace, table: Range, metadata: int, left: SurvivingItems = NOTHING) -> Decision | None:
    """The one disk that fits the table at a range of the file; None when none or several do.

    `left` is what is sound of the metadata.
    """
    found = table_at(work.view, *table, is_named=True)
    return _of_table(work, found, metadata, left) if found else None


def discover(work: RebuildWorkspace, tables: Iterable[Range]) -> Decision | None:
    """As `decide`, where nothing tells that a table begins there: the second MiB of a table is as good as the first.

    What block 0 holds must look like a disk's front, or sector bitmaps have to be counted from there.
    """
    held = filter(None, (table_at(work.view, *each) for each in tables))
    found = ((table, _of_table(work, table, _room_for_metadata(work, table), NOTHING)) for table in held)
    decisions = (one for table, one in found if one and (table.begins or one.candidate.is_aligned))
    return outermost(
        list(islice(decisions, _MOST_TABLES)), lambda one, other: one.candidate.fit.holds(other.candidate.fit.offset)
    )


def _room_for_metadata(work: RebuildWorkspace, table: Table) -> int:
    """A MiB in front of all blocks, where writers have it, else one behind the file.

    What is laid behind a file makes it longer, and blocks of a file that was cut would be zeros there.
    """
    places, header = places_of(table.entries), work.structures.headers.get().current
    taken = Ranges.of([Range(table.offset, table.length), Range(header.log_offset, header.log_length)])
    front = range(MIB, int(places[places > 0].min()), MIB)
    return next((at for at in front if not taken.touches(Range(at, MIB))), work.behind)


def _of_table(work: RebuildWorkspace, table: Table, metadata: int, left: SurvivingItems) -> Decision | None:
    taken = Ranges.of([Range(metadata, MIB)])
    trials = [
        _try(work, candidate, metadata, left.locator)
        for candidate in geometry_candidates(work.view, table, taken, left)
    ]
    standing = [trial for trial in trials if not trial.is_refuted]
    standing = whole_first(standing, lambda trial: trial.candidate.fit.past_end)
    proven = [trial for trial in standing if trial.is_proven]
    likely = standing
    if left.block_size is None:
        stepping = [trial for trial in standing if trial.candidate.steps >= _STEPS_ENOUGH]
        largest = max((trial.candidate.parameters.block_size for trial in stepping), default=0)
        likely = [
            trial
            for trial in stepping
            if trial.candidate.parameters.block_size == largest and _upper_half_is_used(work.view, trial.candidate)
        ]
    chosen = proven or likely
    # Blocks that each hold the whole disk are all the same to read.
    sizes = {min(trial.candidate.parameters.block_size, trial.candidate.parameters.size) for trial in chosen}
    if len(sizes) != 1:
        return None
    first = min(chosen, key=lambda trial: trial.candidate.parameters.has_parent)
    both = len({trial.candidate.parameters.has_parent for trial in chosen}) > 1
    certainty = Certainty.CERTAIN if proven and not both else Certainty.LIKELY
    kind = "with" if first.candidate.parameters.has_parent else "without"
    parent = f"a table with these entries is that of a disk {kind} a parent"
    if both:
        parent = "no block is partially present and no sector bitmap is listed: it is taken as a disk without a parent"
    return Decision(first.candidate, metadata, certainty, (*_why(first), parent), both and not proven, first.view)


def _try(work: RebuildWorkspace, candidate: Candidate, metadata: int, locator: bytes) -> _Trial:
    trial = RebuildWorkspace(work.view)
    write_metadata(trial, metadata, candidate.parameters, locator if candidate.parameters.has_parent else b"")
    write_regions(trial, metadata, candidate.fit.offset, candidate.fit.length)
    view = trial.view
    rebuild_identifier(trial)
    try:
        return _Trial(candidate, view, tuple(witnesses_of(image_of(trial.structures))))
    except VhdxError:
        return _Trial(candidate, view, ())


def _upper_half_is_used(source: ByteSource, candidate: Candidate) -> bool:
    """A block holds something in its upper half, so that blocks of half the size would leave that to nobody."""
    # Two blocks of half the size would fit the same entries and leave the upper half of each unowned. Data there
    # excludes that; without any, both sizes are possible, and nothing is decided. Held by
    # test_blocks_that_are_far_apart_and_half_empty_do_not_tell_their_size.
    half, budget = candidate.parameters.block_size // 2, _MOST_READ
    for start in candidate.fit.places[:, 0].tolist():
        for at in range(start + half, min(start + 2 * half, source.size), _PIECE):
            if budget <= 0:
                return False
            budget -= _PIECE
            if any(read_at(source, at, min(_PIECE, source.size - at))):
                return True
    return False


def _why(trial: _Trial) -> Iterator[str]:
    candidate = trial.candidate
    for witness in trial.witnesses:
        yield f"{witness.what} stands at byte {witness.start} of the disk, where it must with these blocks"
    yield f"one block apart in the file, and none closer: {plural(candidate.steps, 'pair')} of blocks"
    yield f"the size: {candidate.size_evidence}"
