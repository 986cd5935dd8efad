"""The files of a recovery: those that were named, and the parents that can be found from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from analyzer.linkage.mismatch import Verdict, gather_evidence
from analyzer.linkage.names import own_ending
from analyzer.progress import Stage, no_stage
from analyzer.recover.inputs.earlier_outputs import without_earlier_disks
from analyzer.recover.inputs.foreign_files import drop_foreign_and_duplicate_files, of_another_disk, of_the_same_disk
from analyzer.recover.inputs.layers import PRESENT, Level, Placed, Presence, View, at_earlier_state
from analyzer.recover.inputs.open_file import Opened, Opener, careful_structures, open_carefully, with_help
from analyzer.recover.inputs.order import order, require_one_sector_size
from analyzer.recover.inputs.segments import called, names_as_parent
from analyzer.recover.rebuild.workspace import BitmapPolicy
from vhdx.contents import Structures
from vhdx.errors import AmbiguousParentError, ChainError, CorruptFileError, ParentMismatchError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.parents import OnMismatch, Search, find_parent
from vhdx.ranges import Range, Ranges
from vhdx.source import FileSource, file_identity
from vhdx.source_map import BESIDE
from vhdx.structures.constants import MAX_CHAIN_DEPTH, MAX_DISK_SIZE, MIB, NIL
from vhdx.structures.disk import HAS_PARENT
from vhdx.structures.header import SIGNATURE as HEADER

# What Windows gives a checkpoint, whatever its parent has.
_BLOCK_OF_CHECKPOINT = 2 * MIB
How = Callable[[Path | Structures], Opened]
"""Opens a file as this recovery wants it."""
_CODES = {Presence.MISSING: "CHN-10", Presence.DOUBT: "CHN-02", Presence.UNREADABLE: "FID-11"}


class AssumedTwiceError(ChainError):
    """A file that is a layer already is to be assumed as the base."""

    path: Path
    text = "{path} is one of the files already and cannot be the base too; name another for --assume-base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The files, all of them open, and the levels that they make up, base first."""

    files: tuple[Opened, ...]
    levels: tuple[Level, ...]
    hints: tuple[Finding, ...] = ()
    """Files that were passed over, that could stand in for what is missing, or that may be of another disk."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is missing or in doubt, and what opening found in the files that are there."""
        above = (*self.levels[1:], None)
        return (
            # A gap is said of the file that cannot be read, else of the one that has lost its parent.
            *(
                Finding(
                    _CODES[gap.presence],
                    Severity.WARNING,
                    gap.evidence,
                    path=gap.path or (child.path if child else None),
                )
                for gap, child in zip(self.levels, above, strict=True)
                if gap.image is None
            ),
            *self.hints,
            *(_by_time(level) for level in self.levels if level.placed is Placed.BY_TIME),
            *(finding for level in self.levels if level.image for finding in level.image.findings),
        )

    @property
    def changed(self) -> tuple[Finding, ...]:
        """The files that somebody wrote to, or cut, since they were opened."""
        return tuple(filter(None, map(_change, self.files)))

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()


def _by_time(level: Level) -> Finding:
    text = f"the order of the files is not certain here: {level.evidence}; nothing that depends on it is called known"
    return Finding("CHN-10", Severity.WARNING, text, path=level.path, advice="name the files of the chain between them")


def _change(file: Opened) -> Finding | None:
    below = file.source.below if file.source else None
    try:
        if isinstance(below, FileSource):
            below.require_unchanged()
    except VhdxError:
        text = "the file was changed while it was read: what was taken from it may be a mixture of two states"
        return Finding("FID-11", Severity.WARNING, text, path=file.path, advice="run again once nothing writes to it")
    return None


def gather(
    inputs: Sequence[Path],
    search: Search,
    assumed: Path | None = None,
    opener: Opener = BESIDE.source,
    *,
    bitmaps: BitmapPolicy = BitmapPolicy.AUTO,
    view: View = PRESENT,
    stage: Stage = no_stage,
) -> Gathered:
    """Open the inputs, find what parents can be found, and put all in order; files that do not open are gaps.

    Raises AssumedTwiceError, what the steps in this order raise (`drop_foreign_and_duplicate_files`, `order`,
    `at_earlier_state`, `require_one_sector_size`), and what opening a named file raises where there is none.
    """
    how = partial(open_carefully, opener=opener, bitmaps=bitmaps, stage=stage)
    helped = partial(with_help, bitmaps=bitmaps, stage=stage)
    search = replace(search, on_mismatch=OnMismatch.REFUSE, opened=partial(careful_structures, opener=opener))
    named = (*inputs, *search.parents)
    # One file that is no checkpoint by its name: nothing else of the disk is to be had.
    is_alone = len(named) == len(inputs) == 1 and assumed is None and own_ending(inputs[0]) != ".avhdx"
    files: list[Opened] = []
    bases: list[Opened] = []
    try:
        for path in named:
            if taken := _take(files, path, partial(how, is_alone=is_alone)):
                _require_file(taken)
        files[:], earlier = without_earlier_disks(files)
        _find_parents(files, replace(search, parents=()), assumed, how)
        if assumed:
            base = how(assumed)
            bases.append(base)
            _require_file(base)
            _require_another(base, files)
        files[:] = _with_base([_with_named_identity(file, files) for file in files], helped)
        files[:] = [_with_kin(file, files, helped) for file in files]
        chain, foreign = drop_foreign_and_duplicate_files(files)
        levels = at_earlier_state(order(chain, *bases), view)
        require_one_sector_size([level.image for level in levels if level.image])
    except BaseException:
        for file in (*files, *bases):
            file.close()
        raise
    hints = (*earlier, *foreign, *(of_another_disk(bases[0], levels) if bases else of_the_same_disk(levels, search)))
    return Gathered(files=(*files, *bases), levels=levels, hints=hints)


def _with_named_identity(file: Opened, files: Sequence[Opened]) -> Opened:
    """The file with the identity that another one names as its parent's and that a header of this one has.

    The checksums of its headers are wrong; but 16 bytes that a child has as well do not come from damage. What the
    file holds is likely, no more: the header with the greater number, which is taken, may have been the other one.
    """
    pair = None if file.record.identity or file.source is None else Structures(file.source).headers.value
    headers = [copy for copy in pair.copies if copy.signature == HEADER and copy.data_write_guid != NIL] if pair else []
    newest = max(headers, key=lambda header: header.sequence_number, default=None)
    named = {linkage for other in files if other is not file for linkage in other.record.linkages}
    if newest is None or newest.data_write_guid not in named:
        return file
    doubted = Ranges.of([Range(0, MAX_DISK_SIZE)])
    return replace(file, record=replace(file.record, identity=newest.data_write_guid), doubted=doubted)


def _with_base(files: Sequence[Opened], helped: Callable[..., Opened]) -> Sequence[Opened]:
    """The files, and where none of them can be read the one that is no checkpoint by its name by its volumes alone."""
    bases = [file for file in files if not called(file).endswith(".avhdx")]
    if any(file.image for file in files) or len(bases) != 1:
        return files
    return [helped(file, is_alone=True) if file in bases else file for file in files]


def _with_kin(file: Opened, files: Sequence[Opened], helped: Callable[..., Opened]) -> Opened:
    """A file that lost its front as one of its chain: a checkpoint like another one, a base as the one above has it."""
    others = [other.image for other in files if other.image]
    children = [image for image in others if image.has_parent]
    if file.image or not others or len({image.parameters.disk_id for image in others} - {NIL}) > 1:
        return file
    if called(file).endswith(".avhdx"):
        like = (children or others)[0].parameters
        block_size = like.block_size if children else _BLOCK_OF_CHECKPOINT
        return helped(file, kin=replace(like, flags=HAS_PARENT, block_size=block_size))
    is_missing = all(image.has_parent for image in others) and any(names_as_parent(other, file) for other in files)
    return helped(file, kin=replace(children[0].parameters, flags=0)) if is_missing else file


def _require_file(named: Opened) -> None:
    """A name under which no file can be opened is a slip of the user, and no layer that is lost."""
    if named.error and named.is_no_file:
        raise named.error


def _require_another(base: Opened, files: Sequence[Opened]) -> None:
    identity = file_identity(base.path)
    if identity and any(identity == file_identity(file.path) for file in files):
        raise AssumedTwiceError(base.path)


def _take(files: list[Opened], taken: Path | Structures, how: How) -> Opened | None:
    """Add a file, and open it where it is not open, unless it is there already."""
    path = taken if isinstance(taken, Path) else taken.file.path
    identity = file_identity(path)
    if any(path == file.path or (identity and identity == file_identity(file.path)) for file in files):
        if isinstance(taken, Structures):
            taken.close()
        return None
    files.append(how(taken))
    return files[-1]


def _find_parents(files: list[Opened], search: Search, assumed: Path | None, how: How) -> None:
    """Add the parent of every file whose parent is not among them, as far as parents can be found.

    One that is in doubt is left out when the user has said which base to assume.
    """
    waiting = list(files)
    for _ in range(MAX_CHAIN_DEPTH):
        orphans = [file for file in waiting if file.image and file.image.has_parent and not _has_parent(file, files)]
        parents = (parent for file in orphans for parent in _parents_of(file, search, assumed, how))
        waiting = [found for parent in parents if (found := _take(files, parent, how))]
        if not waiting:
            return


def _has_parent(child: Opened, files: Sequence[Opened]) -> bool:
    return any(file.record.identity in child.record.linkages for file in files if file is not child)


def _parents_of(child: Opened, search: Search, assumed: Path | None, how: How) -> Sequence[Path | Structures]:
    """The file that is the parent, or was it; several where they have one identity, for these are compared."""
    if child.image is None:
        return ()
    try:
        return (find_parent(child.image, search, None).parent.structures,)
    except ParentMismatchError as error:
        return (error.parent,) if assumed is None and _is_plausible(child, error.parent, how) else ()
    except AmbiguousParentError as error:
        return error.found
    except CorruptFileError as error:
        return (error.path,) if error.path != child.path else ()
    except VhdxError:
        return ()


def _is_plausible(child: Opened, path: Path, how: How) -> bool:
    """Whether a file that is where the parent should be is the same disk, at another time."""
    parent = how(path)
    try:
        if child.image is None or parent.image is None:
            return False
        return gather_evidence(child.image, parent.image).verdict is not Verdict.WRONG_PARENT
    except VhdxError:
        return False
    finally:
        parent.close()
