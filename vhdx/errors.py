"""One tree of errors. Each carries its facts as attributes, makes its text from them, and knows its exit code."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, dataclass_transform
from uuid import UUID

from vhdx.findings import Finding, Severity, counted


@dataclass_transform(eq_default=False)
class VhdxError(Exception):
    """Whatever this library refuses to do, and why.

    A subclass declares its facts, as a dataclass does its fields, and in `text` the sentence that they are put into.
    """

    exit_code: ClassVar[int] = 3
    text: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        # No comparison by value: an error is one event, and `except` and tracebacks need it to be hashed as one.
        dataclass(eq=False, repr=False)(cls)

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is made again of what its class was called with: not of facts that were given by name.
        return _again, (type(self), self.args), vars(self)

    def __str__(self) -> str:
        return self.text.format_map(vars(self))


def _again(kind: type[VhdxError], arguments: tuple[Any, ...]) -> VhdxError:
    """An error without its facts, which pickle then gives it."""
    return kind.__new__(kind, *arguments)


class CorruptFileError(VhdxError):
    """A rule of the format is broken: `finding` says which, and where; the catalogue has what to do."""

    path: Path
    finding: Finding
    leaf: Path | None = None
    """The file of whose chain this one is a lower layer; None where it was opened by itself."""

    @property
    def summary(self) -> str:
        """The sentence without what to do."""
        return f"{self.path}: {self.finding}"

    def __str__(self) -> str:
        advice = self.finding.advice or f"`vhdx explain {self.finding.code}` says what to do"
        return f"{self.summary}; {advice}"


class NotRegularFileError(VhdxError):
    """The path names a folder, a device or a pipe: none of them is ever opened."""

    exit_code = 6
    path: Path

    def __str__(self) -> str:
        if self.path.is_dir():
            return f"{self.path} is a folder; name a file in it, or list its virtual disks with `vhdx scan {self.path}`"
        return f"{self.path} is not a regular file; name a .vhdx or .avhdx file"


class InputOutputError(VhdxError):
    """The operating system could not open, read or write a file."""

    exit_code = 6
    path: Path
    action: str
    reason: str
    offset: int | None = None

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"cannot {self.action} {self.path}{place}: {self.reason}; check the path, its permissions and the medium"


class FileInUseError(InputOutputError):
    """Another program has the file open, and Windows lets nobody else have it meanwhile."""

    def __str__(self) -> str:
        return (
            f"cannot {self.action} {self.path}: {self.reason}; stop the virtual machine or the program that uses it, "
            "or copy the file from a shadow copy"
        )


class NotRescuedError(InputOutputError):
    """A range of a file is asked for that was not read when the file was copied, by the map of the copying program."""

    exit_code = 3

    def __init__(self, path: Path, map_path: Path, start: int, length: int) -> None:
        super().__init__(path, "read", f"by {map_path} it was not read when it was copied", start)
        self.map, self.start, self.length = map_path, start, length

    def __str__(self) -> str:
        return (
            f"{self.path}: {counted(self.length, 'byte')} at byte {self.start} were not read when the file was copied, "
            f"by {self.map}; a further run of ddrescue may read them, `vhdx recover` writes all else"
        )


class ShortReadError(VhdxError):
    """A file ended before the bytes that it must hold."""

    path: Path
    offset: int
    wanted: int
    got: int

    @property
    def summary(self) -> str:
        """The sentence without what to do."""
        return f"{self.path} ends early: of {self.wanted} bytes at byte {self.offset} only {self.got} are there"

    def __str__(self) -> str:
        return (
            f"{self.summary}; the file is truncated or still being copied: get a whole copy, or write what is left "
            "with `vhdx recover`"
        )


class SourceChangedError(VhdxError):
    """Somebody wrote to a source while it was read: what was read may be a mixture."""

    exit_code = 6
    path: Path
    text = "{path} was changed while it was read; stop what writes to it, or copy the chain, and run again"


class LostDataError(VhdxError):
    """A range of the disk is asked for whose content cannot be known."""

    path: Path
    start: int
    length: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path}: {counted(self.length, 'byte')} of the disk at {self.start} cannot be known: {self.reason}; "
            "`vhdx map` lists every such range; another copy of the file may hold it, `vhdx recover` writes all else"
        )


class ChainError(VhdxError):
    """The files do not make up one disk."""

    exit_code = 4


class NeedsParentError(ChainError):
    """A differencing file was read by itself where its parent shows."""

    path: Path
    start: int
    text = "{path} leaves the disk at {start} to its parent; open the chain (vhdx.open_chain), not the file"


class ParentNotFoundError(ChainError):
    """No file is the parent: `tried` has a (place, why not) pair for everywhere that was looked at."""

    identity: ClassVar[str] = "data_write_guid"
    child: Path
    wanted: UUID | None
    hint: str
    tried: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """The sentence without the places."""
        wanted = f"{self.identity} {self.wanted}" if self.wanted else "no known identity"
        return (
            f"{self.child}: its parent ({self.hint or 'no name known'}, {wanted}) was not found; `vhdx scan DIR` finds "
            "it by identity; then name it with --parent FILE, or its folder with --search DIR or --map 'C:\\DIR=/DIR'"
        )

    def __str__(self) -> str:
        looked = (
            "; ".join(f"{place}: {why}" for place, why in self.tried) or "nowhere: the locator names no usable place"
        )
        return f"{self.summary} (looked at {looked})"


class ParentMismatchError(ChainError):
    """The file found is not, or no longer, the one that the child was made from."""

    identity: ClassVar[str] = "data_write_guid"
    child: Path
    parent: Path
    wanted: tuple[UUID, ...]
    found: UUID

    def __str__(self) -> str:
        if not self.wanted:
            return (
                f"{self.child} does not say, in a locator that can be read, which parent it was made from; take "
                f"{self.parent} in spite of it with --on-mismatch accept"
            )
        wanted = " or ".join(str(guid) for guid in self.wanted)
        return (
            f"{self.parent} has {self.identity} {self.found}, but {self.child} was made from {wanted}; `vhdx check "
            "--chain` on the child gathers the evidence; name the right parent's folder with --search DIR, or take "
            "this one with --on-mismatch accept"
        )


class AmbiguousParentError(ChainError):
    """Several different files carry the identity that the child wants."""

    child: Path
    wanted: UUID
    found: tuple[Path, ...]

    def __str__(self) -> str:
        names = ", ".join(str(path) for path in self.found)
        return (
            f"{self.child}: {len(self.found)} files have the identity {self.wanted} ({names}); choose one with --parent"
        )


class ChainLoopError(ChainError):
    """A file is its own ancestor."""

    path: Path
    text = "the chain runs in a circle: {path} is its own ancestor; name the right parents with --parent"


class OwnAncestorError(ChainLoopError):
    """A file is to become a parent of one that it needs itself; `path` is the child."""

    parent: Path
    text = (
        "{parent} cannot be the parent of {path}: it needs that file itself, the chain would run in a circle; name the "
        "file that the child was made from"
    )


class OwnParentError(OwnAncestorError):
    """A file is to become its own parent."""

    text = "a disk cannot be its own parent: {parent} is {path}; name the file that it was made from"


class ChainTooDeepError(ChainError):
    """More layers than the format allows."""

    path: Path
    limit: int
    text = "the chain of {path} has over {limit} layers; merge its lower part first (vhdx merge)"


class SectorSizeMismatchError(ChainError):
    """Layers of one chain disagree on the logical sector size."""

    child: Path
    child_size: int
    parent: Path
    parent_size: int
    text = (
        "{child} has logical sectors of {child_size} bytes, its parent {parent} of {parent_size}; they cannot be one "
        "disk, name the right parent with --parent"
    )


class UnusedParentsError(ChainError):
    """More parents were named than the chain has."""

    base: Path
    unused: tuple[Path, ...]

    def __str__(self) -> str:
        names = ", ".join(str(path) for path in self.unused)
        return f"{self.base} is a base and has no parent, but {names} was named after it; leave that --parent out"


class TooMuchMetadataError(VhdxError):
    """A disk has more metadata items of its own than are put into a new file; sizes are bytes."""

    path: Path
    count: int
    size: int
    most: int
    largest: int

    text = (
        "{path} has {count} metadata items of its own disk, of {size} bytes; at most {most} of {largest} bytes are "
        "copied into a new file: write a raw image, or one of another format, which holds none"
    )


class NoSuchLayerError(ChainError):
    """A layer was asked for that the chain does not have: wrong usage, as with a volume that the disk does not have."""

    exit_code = 2
    leaf: Path
    asked: str
    depth: int

    def __str__(self) -> str:
        last = self.depth - 1
        return f"the chain of {self.leaf} has layers 0 (base) to {last}, not {self.asked}; `vhdx info` lists them"


class OutputError(VhdxError):
    """The target is refused, before anything was written to it."""

    exit_code = 5
    path: Path
    reason: str
    advice: str
    text = "{path}: {reason}; {advice}"


class NoSpaceError(OutputError):
    """The target's file system has less room than the output needs; all numbers are bytes."""

    def __init__(self, path: Path, needed: int, free: int) -> None:
        super().__init__(
            path,
            f"the output needs up to {needed} bytes and only {free} are free there",
            "make room or name a target on another disk",
        )
        self.needed, self.free = needed, free


class MergeRefusedError(OutputError):
    """A merge in place is refused, before anything was changed: `reason` says why, `advice` what else there is."""

    text = "nothing was merged into {path}: {reason}; {advice}"


class MergeStoppedError(VhdxError):
    """A merge in place ended before all was merged: nothing is lost, and the same command goes on."""

    exit_code = 6
    path: Path
    leaf: Path
    reason: str
    text = (
        "the merge into {path} stopped: {reason}; nothing is lost: {leaf} shows the same disk as before, and the same "
        "command goes on where this one stopped"
    )


class FileSystemFullError(OutputError):
    """The target's file system takes no more."""

    def __init__(self, path: Path, advice: str = "make room or name a target on another disk") -> None:
        super().__init__(path, "the file system is full", advice)


class VerificationError(VhdxError):
    """What was read back differs from what was written."""

    exit_code = 6
    path: Path
    start: int
    length: int
    text = (
        "{path}: {length} bytes of the disk at {start} do not read back as they were written; the output was removed, "
        "suspect the medium or the memory and write to another disk"
    )


class UnknownCodeError(VhdxError):
    """A code was asked about that no catalogue has; `findings` and `windows` are those that there are."""

    exit_code = 2
    code: str
    findings: tuple[str, ...]
    windows: tuple[str, ...]

    def __str__(self) -> str:
        near = [known for known in self.findings if known[:3] == self.code[:3].upper()]
        known = f"{near[0]} to {near[-1]} are known" if near else f"{self.findings[0]} is one"
        return f"{self.code!r} is no code of a finding or of Windows ({known}); `vhdx explain` lists all"


class PartlyWrittenError(VhdxError):
    """Changing a file in its place ended before all was written; `undo` holds what it was."""

    exit_code = 6
    path: Path
    undo: Path
    reason: str
    text = (
        "{path} may be partly changed ({reason}); `vhdx undo {path} {undo}` brings back what it was, and can be "
        "repeated"
    )


class UndoRefusedError(VhdxError):
    """An undo file does not fit the file that it is to be applied to, or is not whole."""

    exit_code = 5
    path: Path
    undo: Path
    reason: str
    advice: str
    text = "{path} was not changed back with {undo}: {reason}; {advice}"


class IdentityDiffersError(ParentMismatchError):
    """A child is to be joined to a parent that it was not made from, and nobody has said that this is meant."""

    def __str__(self) -> str:
        wanted = " or ".join(str(guid) for guid in self.wanted) or "an identity that its locator does not give"
        return (
            f"{self.parent} has {self.identity} {self.found}, but {self.child} was made from {wanted}; look for the "
            "right parent, or join these two in spite of it with --accept-identity"
        )


class DamagedDeltaError(VhdxError):
    """A delta is not whole, or is none."""

    path: Path
    reason: str
    text = "{path} cannot be applied: {reason}; get a whole copy, or make it anew with --export"


class WrongBaseError(ChainError):
    """A delta is to be applied to a disk that it was not made from; `wanted` is the SHA-256 of the one it was."""

    base: Path
    delta: Path
    reason: str
    wanted: str
    text = (
        "{base} is not the state that {delta} was made from ({reason}); give the one whose SHA-256 is {wanted}: LEAF@N "
        "where `vhdx hash LEAF@N` prints that, or a raw image of that SHA-256"
    )


def require(path: Path, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Give back findings that are no errors, with their path; raise the first that is one as CorruptFileError."""
    kept = []
    for finding in located(path, findings):
        if finding.severity is Severity.ERROR:
            raise CorruptFileError(path, finding)
        kept.append(finding)
    return tuple(kept)


def located(path: Path, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, each with the file that it is about."""
    return (replace(finding, path=path) for finding in findings)
