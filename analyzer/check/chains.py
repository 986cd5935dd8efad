"""A chain, link by link: every layer by itself, every link, and what the files say of one another."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from analyzer.check.cache import FileCache
from analyzer.linkage.mismatch import Evidence, Verdict, gather_evidence
from vhdx import compiling
from vhdx.chain import Chain, check_growth
from vhdx.errors import (
    ChainError,
    ChainLoopError,
    ChainTooDeepError,
    CorruptFileError,
    ParentMismatchError,
    ParentNotFoundError,
    SectorSizeMismatchError,
    VhdxError,
)
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.parents import Link, OnMismatch, Search, find_parent

_CODES: dict[type[VhdxError], str] = {
    ParentNotFoundError: "CHN-01",
    ParentMismatchError: "CHN-02",
    ChainLoopError: "CHN-03",
    ChainTooDeepError: "CHN-04",
    SectorSizeMismatchError: "CHN-05",
}
_SECTION = "2.6.2.6"
# Layers whose tables together repay what loading a compiler costs.
_MANY = 32
# Seconds by which times of files may differ and say nothing: what FAT counts in.
_CLOCKS_DIFFER = 2.0


@dataclass
class Walk:
    """From a leaf towards its base: what was opened on the way, and what was found."""

    search: Search
    cache: FileCache
    opened: ExitStack
    layers: list[Image] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    broken: bool = False
    """Something keeps the layers from being read as one disk."""

    def findings(self, leaf: Path) -> Iterator[Finding]:
        """Everything about the files and links from `leaf` down, as far as they lead."""
        yield from self._open(leaf)
        while self.layers and not self.broken and self.layers[-1].has_parent:
            yield from self._descend()

    @property
    def chain(self) -> Chain | None:
        """The disk, when all of its layers are there."""
        return None if self.broken or not self.layers else Chain(tuple(self.layers[::-1]), tuple(self.links[::-1]))

    def _open(self, path: Path) -> Iterator[Finding]:
        self.files.append(path)
        yield from self.cache.findings(path)
        try:
            self._take(open_image(path, opened=self.cache.structures))
        except VhdxError:
            self.broken = True  # said by the file's own findings

    def _take(self, image: Image) -> None:
        if len(self.layers) == _MANY:
            compiling.load()
        self.opened.callback(image.close)
        self.layers.append(image)

    def _descend(self) -> Iterator[Finding]:
        child = self.layers[-1]
        try:
            link = self._link(child, self.search.on_mismatch)
        except ParentMismatchError as error:
            yield from self._descend_in_spite(child, error)
        except VhdxError as error:
            yield from self._refuse(error, child)
        else:
            if not link.matches:  # accepted
                accepted = ParentMismatchError(child.path, link.parent.path, link.wanted, link.parent.data_write_guid)
                yield replace(_mismatch(accepted, gather_evidence(child, link.parent)), severity=Severity.WARNING)
            yield from self._follow(child, link)

    def _descend_in_spite(self, child: Image, mismatch: ParentMismatchError) -> Iterator[Finding]:
        """Take the file at the parent's place all the same, for what it says of the link."""
        try:
            link = self._link(child, OnMismatch.ACCEPT)
        except VhdxError as error:
            yield _mismatch(mismatch, None)
            yield from self._refuse(error, child)
            return
        evidence = gather_evidence(child, link.parent)
        yield _mismatch(mismatch, evidence)
        yield from self._follow(child, link)

    def _refuse(self, error: VhdxError, child: Image) -> Iterator[Finding]:
        """What keeps the parent of `child` from being opened; a parent that is there and damaged says so itself."""
        self.broken = True
        if isinstance(error, CorruptFileError) and error.path != child.path:
            self.files.append(error.path)
            yield from self.cache.findings(error.path)
        else:
            where = getattr(error, "child", child.path)
            yield Finding(
                _CODES.get(type(error), "CHN-01"), Severity.ERROR, str(error), None, None, _SECTION, path=where
            )

    def _link(self, child: Image, on_mismatch: OnMismatch) -> Link:
        search = replace(self.search, on_mismatch=on_mismatch, opened=self.cache.structures)
        return find_parent(child, search, next(iter(self.search.parents[len(self.links) :]), None))

    def _follow(self, child: Image, link: Link) -> Iterator[Finding]:
        self.links.append(link)
        self._take(link.parent)
        self.files.append(link.parent.path)
        try:
            check_growth(self.layers)
        except ChainLoopError as error:  # the file was looked at when it was met first
            yield from self._refuse(error, child)
            return
        except ChainError as error:
            yield from self._refuse(error, child)
        yield from self.cache.findings(link.parent.path)
        yield from _compare(child, link)


def _mismatch(error: ParentMismatchError, evidence: Evidence | None) -> Finding:
    wanted = " or ".join(map(str, error.wanted)) or "an identity that cannot be read"
    text = f"the parent {error.parent} has the identity {error.found}; the child was made from {wanted}"
    start, length = evidence.doubtful[0] if evidence and evidence.doubtful else (None, None)
    return Finding(
        "CHN-02",
        Severity.WARNING if evidence and evidence.verdict is Verdict.SAFE else Severity.ERROR,
        f"{text}; {evidence}" if evidence else text,
        section=_SECTION,
        path=error.child,
        expected=wanted,
        found=str(error.found),
        disk_start=start,
        disk_length=length,
    )


def _compare(child: Image, link: Link) -> Iterator[Finding]:
    parent = link.parent
    if link.matches and link.wanted and parent.data_write_guid != link.wanted[0]:
        text = f"{parent.path} is the parent by parent_linkage2"
        yield Finding("CHN-07", Severity.NOTE, text, None, None, _SECTION, path=child.path)
    for what, mine, its in (
        ("disk", child.size, parent.size),
        ("block", child.parameters.block_size, parent.parameters.block_size),
    ):
        if mine != its:
            text = f"the {what} size is {mine}, that of the parent {parent.path} {its}"
            yield Finding("CHN-06", Severity.NOTE, text, None, None, "2.6.2", path=child.path)
    try:
        newer = parent.path.stat().st_mtime - child.path.stat().st_mtime
    except OSError:
        return
    if newer > _CLOCKS_DIFFER:
        text = f"the parent {parent.path} was modified {newer:.0f} s after its child"
        severity = Severity.NOTE if link.matches else Severity.WARNING
        yield Finding("CHN-11", severity, text, path=child.path)
